"""What is scored, and how often: section `evaluate:` of params.yaml, and the teachers of a task."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from distil.core.params import PARAMS_FILE, Params, load_params

MergeMethod = Literal["linear", "slerp", "ties", "dare"]  # distil/merging/methods.py


class MergeConfig(Params):
    """Section `evaluate.merge:` of params.yaml: tasks whose student is also one model of all seeds."""

    tasks: tuple[str, ...]
    method: MergeMethod
    density: float = Field(gt=0, le=1)


class CompanionConfig(Params):
    """Section `evaluate.linear_companion:` of params.yaml (serving/linear_companion.py)."""

    tasks: tuple[str, ...]
    bits: int = Field(ge=8, le=20)


class EvaluateConfig(Params):
    """Section `evaluate:` of params.yaml."""

    tasks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(min_length=1)
    languages: Literal["joint", "separate"]
    controls: tuple[Literal["start", "masked_lm"], ...]
    linear_companion: CompanionConfig
    merge: MergeConfig
    bootstrap_resamples: int = Field(ge=100)

    @field_validator("controls")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("expected each control once")
        return value

    @model_validator(mode="after")
    def _companions_of_scored_tasks(self) -> "EvaluateConfig":
        tasks, found = self.linear_companion.tasks, ", ".join(self.linear_companion.tasks)
        if len(set(tasks)) < len(tasks) or not set(tasks) <= set(self.tasks):
            raise ValueError(f"linear_companion.tasks: expected tasks of evaluate.tasks, each once, found {found}")
        if tasks and self.languages == "separate":
            raise ValueError(
                f"linear_companion.tasks is [{found}], which needs languages joint; set it or empty the list"
            )
        return self

    @model_validator(mode="after")
    def _merge_what_is_scored_with_several_seeds(self) -> "EvaluateConfig":
        found = ", ".join(self.merge.tasks)
        if len(set(self.merge.tasks)) < len(self.merge.tasks) or not set(self.merge.tasks) <= set(self.tasks):
            raise ValueError(f"merge.tasks: expected tasks of evaluate.tasks, each once, found {found}")
        if self.merge.tasks and len(self.seeds) < 2:
            raise ValueError(
                f"merge.tasks is [{found}] with {len(self.seeds)} seed: expected two seeds or more in evaluate.seeds, "
                "whose models are merged; or an empty list"
            )
        return self


class TaskTeachersConfig(Params):
    """Section `finetune.task_teachers:` of params.yaml: whose soft labels a student learns a task from."""

    path: str = Field(min_length=1)
    use: tuple[Literal["transformer", "linear", "folder"], ...] = Field(min_length=1)

    @field_validator("use")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a teacher is named twice")
        return names


def load_evaluate(path: Path = PARAMS_FILE) -> EvaluateConfig:
    """Section `evaluate:`, checked."""
    return load_params("evaluate", EvaluateConfig, path)
