"""Stage evaluate: fine-tune one model on one task and score it language by language.

Run as `python -m stages.evaluate MODEL TASK`, MODEL teacher or student.
"""

from pathlib import Path

from distil.evaluate import EvaluateConfig, evaluate
from distil.params import load_languages, load_params
from distil.runner import Cost, arguments, run
from distil.scoring import score, write_scores
from distil.tasks import read_task


def main() -> None:
    """Write metrics/evaluate/MODEL/TASK.json and metrics/predictions/MODEL/TASK.csv."""
    cost, (model, name) = Cost(), arguments("MODEL", "TASK")
    config, languages = load_params("evaluate", EvaluateConfig), load_languages()
    task = read_task(Path("data/tasks") / name)
    found = evaluate(Path("models") / model, model, task, languages, config)
    scores = score(model, name, task.kind, task.labels, config.languages, found, config.bootstrap_resamples)
    write_scores(Path("metrics"), scores, found)
    cost.write(Path(f"metrics/cost/evaluate-{model}-{name}.json"))


if __name__ == "__main__":
    run(main)
