"""The models of the tables: their order and their titles."""

from collections.abc import Callable, Sequence
from pathlib import Path

from distil.evaluation.config import EvaluateConfig
from distil.evaluation.controls import finetune_stage, without_controls_off

MODEL_TITLES = {
    "student": "Student",
    "student_merged": "Student, merged",
    "student_linear": "Student and linear model",
    "student_transformer": "Student's transformer alone",
    "student_plain": "Student, plain fine-tuning",
    "no_teacher": "Without a teacher",
    "student_start": "Student's start, not distilled",
    "student_masked_lm": "Student's start, masked-LM training",
    "teacher": "Teacher",
    "teachers": "Teachers together",
    "tfidf": "TF-IDF",
    "majority": "Majority",
}  # in the order of tables
COMPANION, MERGED = "student_linear", "student_merged"
# Rows of the tasks that have them, with the stages that predict: whose student's seeds are merged (merging/
# student_soup.py), with a linear companion (serving/linear_companion.py), whose student has an n-gram table
# (finetuning/ngrams.py), with several teachers (evaluation/teacher_mixture.py). Of the others there are no predictions,
# or a header alone.
PARTS = {
    MERGED: "merge_student", COMPANION: "linear_companion", "student_transformer": "finetune_student",
    "teachers": "mix_teachers",
}  # fmt: skip
BASELINES = ["tfidf", "majority"]
# Fine-tuned, in the order of stages.
FINE_TUNED = ["teacher", "student", "student_plain", "no_teacher", "student_start", "student_masked_lm"]


def models_of(scoring: EvaluateConfig) -> list[str]:
    """The models that a run scores on every task, in the order of tables."""
    return without_controls_off([model for model in MODEL_TITLES if model not in PARTS], scoring.controls)


def fine_tuned_models(scoring: EvaluateConfig) -> list[str]:
    """The models that a run fine-tunes, in the order of stages."""
    return without_controls_off(FINE_TUNED, scoring.controls)


def with_parts(models: Sequence[str], there: Callable[[str], bool]) -> list[str]:
    """The models of one task, in the order of tables: `models`, and the parts that are there."""
    return [model for model in MODEL_TITLES if model in models or (model in PARTS and there(model))]


def scored_models(metrics: Path, models: Sequence[str], task: str) -> list[str]:
    """As `with_parts`, of metrics/evaluate below `metrics`."""
    return with_parts(models, lambda part: (metrics / f"evaluate/{part}/{task}.json").is_file())


def rival_stage(name: str) -> str:
    """The stage that makes a rival of `rivals:` (evaluation/rivals.py), as `dvc repro` takes it."""
    return f"rival@{name}"


def predictions_stage(model: str, task: str) -> str:
    """The stage that predicts the test rows of a task with a model of the tables."""
    if model in PARTS:
        return f"{PARTS[model]}@{task}"
    return f"baselines@{task}" if model in BASELINES else finetune_stage(model, task)
