"""Stages finetune_MODEL@TASK: a masked language model -> a classifier of one task for each seed.

Run as `python -m stages.finetune MODEL TASK`, MODEL teacher, student, student_plain or no_teacher.
"""

from pathlib import Path

from distil.core.errors import UserError
from distil.core.files import scratch_folder
from distil.core.params import load_languages, load_params
from distil.finetuning.run import STARTS, finetune_task
from distil.finetuning.soft_labels import Targets
from distil.finetuning.test_predictions import EvaluateConfig
from distil.finetuning.trainer import FinetuneConfig
from distil.runtime.process import Cost, arguments, run
from distil.tasks.data import read_task


def main() -> None:
    """Write models/finetuned/MODEL/TASK."""
    cost, (model, name) = Cost(), arguments("MODEL", "TASK")
    if model not in STARTS:
        raise UserError(f"stages.finetune: expected one of {', '.join(STARTS)} as MODEL, found {model}")
    languages, scoring = load_languages(), load_params("evaluate", EvaluateConfig)
    config, task = load_params("finetune", FinetuneConfig), read_task(Path("data/tasks") / name)
    taught = model == "student" and config.task_distillation
    targets = Targets(Path("data/task_targets") / name, task) if taught else None
    figures = finetune_task(
        model, task, languages, scoring.languages, list(scoring.seeds), config, targets,
        Path("models/finetuned") / model / name, scratch_folder("finetune"),
    )  # fmt: skip
    cost.write(Path(f"metrics/cost/finetune_{model}-{name}.json"), **figures)


if __name__ == "__main__":
    run(main)
