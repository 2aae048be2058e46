"""Stage baselines: the majority label and TF-IDF with a linear model on one task. `python -m stages.baselines TASK`."""

from pathlib import Path

from distil.core.params import load_languages
from distil.evaluation.baselines import majority, tfidf
from distil.evaluation.config import load_evaluate
from distil.evaluation.predictions import predictions_file, write_predictions
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.tasks.data import read_task


def main(name: str) -> None:
    """Write metrics/predictions/majority/TASK.csv and metrics/predictions/tfidf/TASK.csv."""
    cost = StageCost()
    languages, few = load_languages(), load_evaluate().few_labels
    task = read_task(Path("data/tasks") / name)
    for model, method in (("majority", majority), ("tfidf", tfidf)):
        found = {language: method(task, language, few) for language in languages}
        write_predictions(predictions_file(Path(), model, name), found, task.labels)
    cost.write(Path(f"metrics/cost/baselines-{name}.json"))


if __name__ == "__main__":
    run_stage(main, "TASK")
