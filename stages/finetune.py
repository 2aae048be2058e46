"""Stages finetune_MODEL@TASK: a masked language model -> a classifier of one task for each seed, and its predictions.

Run as `python -m stages.finetune MODEL TASK`, MODEL teacher, student, student_plain, no_teacher or, for the controls,
student_start and student_masked_lm (finetune_control@CONTROL-TASK).
"""

from pathlib import Path

from distil.core.errors import UserError
from distil.core.files import scratch_folder
from distil.core.params import load_languages, load_params
from distil.evaluation.config import load_evaluate
from distil.evaluation.controls import finetune_stage
from distil.evaluation.predictions import predictions_file
from distil.finetuning.config import FineTuningConfig
from distil.finetuning.run import BASE_MODELS, FineTuning, FineTuningPaths, fine_tune_task
from distil.finetuning.soft_labels import SoftLabels
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.tasks.data import read_task

SOFT_LABELS = Path("data/task_targets")  # the teacher's own
MIXED = Path("data/mixed_targets")  # of all teachers of the task, which the student learns from


def main(model: str, name: str) -> None:
    """Write models/finetuned/MODEL/TASK and the test predictions; for the teacher also data/task_targets/TASK."""
    cost = StageCost()
    if model not in BASE_MODELS:
        raise UserError(f"stages.finetune: expected one of {', '.join(BASE_MODELS)} as MODEL, found {model}")
    languages, scoring = load_languages(), load_evaluate()
    config, task = load_params("finetune", FineTuningConfig), read_task(Path("data/tasks") / name)
    if model == "student" and name in scoring.merge.tasks:
        config.check_merged(name)
    learns = config.learns_from_teacher(model)
    soft_labels = SoftLabels(MIXED / name, task, f"mix_teachers@{name}") if learns else None
    paths = FineTuningPaths(
        models=Path("models/finetuned") / model / name, predictions=predictions_file(Path(), model, name),
        soft_labels=SOFT_LABELS / name if model == "teacher" else None, scratch=scratch_folder("finetune"),
        transformer=predictions_file(Path(), "student_transformer", name) if model == "student" else None,
    )  # fmt: skip
    job = FineTuning(model, task, languages, scoring.languages, list(scoring.seeds), config, soft_labels,
                     scoring.few_labels)  # fmt: skip
    file = finetune_stage(model, name).replace("@", "-")
    cost.write(Path(f"metrics/cost/{file}.json"), **fine_tune_task(job, paths))


if __name__ == "__main__":
    run_stage(main, "MODEL", "TASK")
