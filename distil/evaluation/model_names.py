"""Which models stand in the tables, in which order, and what people call them."""

from pathlib import Path

from pydantic import ConfigDict, Field

from distil.core.params import Params, load_params

NAMES = {
    "student": "Student",
    "student_plain": "Student, plain fine-tuning",
    "no_teacher": "Without a teacher",
    "teacher": "Teacher",
    "tfidf": "TF-IDF",
    "majority": "Majority",
}  # in the order of tables
MODELS = list(NAMES)
BASELINES = ["tfidf", "majority"]
TUNED = ["teacher", "student", "student_plain", "no_teacher"]  # fine-tuned, in the order of stages


class ScoringParams(Params):
    """What comparing and reporting need of the section `evaluate:`; the evaluate stage checks the whole of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tasks: list[str] = Field(min_length=1)
    seeds: list[int]
    bootstrap_resamples: int = Field(ge=100)


def load_scoring(path: Path = Path("params.yaml")) -> ScoringParams:
    """Section `evaluate:` as far as it says what was scored."""
    return load_params("evaluate", ScoringParams, path)


def stage_of(model: str, task: str) -> str:
    """The stage that scores a model on a task."""
    return f"baselines@{task}" if model in BASELINES else f"evaluate@{model}-{task}"
