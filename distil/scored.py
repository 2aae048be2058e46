"""Which models stand in the tables, in which order, and what people call them."""

from pathlib import Path

from pydantic import ConfigDict, Field, field_validator

from distil.params import Params, load_params

NAMES = {
    "student": "Student",
    "student_plain": "Student, plain fine-tuning",
    "no_teacher": "Without a teacher",
    "teacher": "Teacher",
    "tfidf": "TF-IDF",
    "majority": "Majority",
}  # in the order of tables
BASELINES = ("tfidf", "majority")  # scored on every task


class ScoringParams(Params):
    """What comparing and reporting need of the section `evaluate:`; the evaluate stage checks the whole of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tasks: list[str] = Field(min_length=1)
    models: list[str] = ["teacher", "student"]
    seeds: list[int]
    bootstrap_resamples: int = Field(ge=100)

    @field_validator("models")
    @classmethod
    def _known(cls, models: list[str]) -> list[str]:
        unknown = [model for model in models if model not in NAMES or model in BASELINES]
        if unknown or not {"teacher", "student"} <= set(models):
            allowed = ", ".join(name for name in NAMES if name not in BASELINES)
            raise ValueError(f"expected some of {allowed}, teacher and student among them, found {', '.join(models)}")
        return models

    @property
    def rows(self) -> list[str]:
        """Models and baselines in the order of tables."""
        return [model for model in NAMES if model in self.models or model in BASELINES]


def load_scoring(path: Path = Path("params.yaml")) -> ScoringParams:
    """Section `evaluate:` as far as it says what was scored."""
    return load_params("evaluate", ScoringParams, path)


def stage_of(model: str, task: str) -> str:
    """The stage that scores a model on a task."""
    return f"baselines@{task}" if model in BASELINES else f"evaluate@{model}-{task}"
