"""Stage baselines: the majority label and TF-IDF with a linear model on one task. `python -m stages.baselines TASK`."""

from pathlib import Path

from distil.core.params import load_languages
from distil.evaluation.baselines import majority, tfidf
from distil.evaluation.scores import score, write_scores
from distil.runtime.process import Cost, arguments, run
from distil.tasks.data import read_task

RESAMPLES = 10_000


def main() -> None:
    """Write metrics/evaluate/majority/TASK.json, metrics/evaluate/tfidf/TASK.json and metrics/predictions."""
    cost, (name,) = Cost(), arguments("TASK")
    languages, task = load_languages(), read_task(Path("data/tasks") / name)
    for model, method in (("majority", majority), ("tfidf", tfidf)):
        found = {language: method(task, language) for language in languages}
        scores = score(model, name, task.kind, task.labels, None, found, RESAMPLES)
        write_scores(Path("metrics"), scores, found)
    cost.write(Path(f"metrics/cost/baselines-{name}.json"))


if __name__ == "__main__":
    run(main)
