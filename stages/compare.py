"""Stage compare: every two models of each task on the same test rows, with intervals and p-values."""

from pathlib import Path

from distil.core.files import atomic_folder, write_json
from distil.core.params import load_languages
from distil.evaluation.comparison import compare
from distil.evaluation.model_names import MODELS, load_scoring
from distil.evaluation.predictions import as_scored, read_task_predictions
from distil.runtime.process import Cost, run
from distil.tasks.data import read_task


def main() -> None:
    """Write metrics/compare/TASK.json for each task that is scored."""
    cost, languages, scoring = Cost(), load_languages(), load_scoring()
    with atomic_folder(Path("metrics/compare")) as folder:
        for name in scoring.tasks:
            task = read_task(Path("data/tasks") / name)
            read = read_task_predictions(Path(), name, MODELS, languages)
            found = {
                code: {model: as_scored(read[model][code], task.labels, task.kind) for model in MODELS}
                for code in languages
            }
            compared = compare(name, task.kind, task.labels, found, scoring.bootstrap_resamples)
            write_json(folder / f"{name}.json", compared)
    cost.write(Path("metrics/cost/compare.json"))


if __name__ == "__main__":
    run(main)
