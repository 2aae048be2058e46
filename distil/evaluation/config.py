"""What is scored, and how often: section `evaluate:` of params.yaml, and the teachers of a task."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from distil.core.errors import UserError
from distil.core.params import PARAMS_FILE, Params, load_languages, load_params


class FewLabelsConfig(Params):
    """Section `evaluate.few_labels:` of params.yaml."""

    languages: tuple[str, ...]
    rows: int = Field(ge=0)  # of train that keep their label, in each of these languages

    @field_validator("languages")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("expected each language once")
        return value


ALL_LABELS = FewLabelsConfig(languages=(), rows=0)

MergeMethod = Literal["linear", "slerp", "ties", "dare"]  # distil/teacher/merge_methods.py


class MergeConfig(Params):
    """Section `evaluate.merge:` of params.yaml: tasks whose student is also one model of all seeds."""

    tasks: tuple[str, ...]
    members: Literal["all", "greedy"]
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
    few_labels: FewLabelsConfig
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

    def optional_stages(self) -> dict[str, tuple[str, ...]]:
        """Stages that only some tasks have, and those tasks."""
        return {"merge_student": self.merge.tasks, "linear_companion": self.linear_companion.tasks}

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

    @model_validator(mode="after")
    def _a_model_has_labels(self) -> "EvaluateConfig":
        few = self.few_labels
        for key, tasks in (("linear_companion", self.linear_companion.tasks), ("merge", self.merge.tasks)):
            if few.languages and tasks:
                raise ValueError(
                    f"{key}.tasks: expected none while few_labels.languages names {', '.join(few.languages)}, since it "
                    f"reads labels that are hidden, found {', '.join(tasks)}; empty one of the lists"
                )
        if few.languages and not few.rows and self.languages == "separate":
            raise ValueError(
                f"few_labels.rows: expected 1 or more, since with languages `separate` {few.languages[0]} has a model "
                "of its own, found 0; raise it or set evaluate.languages to joint"
            )
        return self


class TaskTeachersConfig(Params):
    """Section `finetune.task_teachers:` of params.yaml: whose soft labels a student learns a task from."""

    path: str = Field(min_length=1)
    use: tuple[Literal["transformer", "linear", "folder"], ...] = Field(min_length=1)
    tags: Literal["words", "marginals", "sequences"]
    sequences: int = Field(ge=1, le=32)  # how many of each sentence; only with tags `sequences`

    @field_validator("use")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a teacher is named twice")
        return names


def load_evaluate(path: Path = PARAMS_FILE) -> EvaluateConfig:
    """Section `evaluate:`, checked; where `few_labels` names languages, against `languages:` too.

    Raises:
        UserError: a value is out of range, or `few_labels` leaves no label or names a language that is not there.
    """
    config = load_params("evaluate", EvaluateConfig, path)
    if few := config.few_labels.languages:
        languages, where = load_languages(path), f"{path}: evaluate.few_labels"
        if unknown := [code for code in few if code not in languages]:
            raise UserError(
                f"{where}.languages: expected some of {', '.join(languages)}, found {unknown[0]}; take it out or add "
                "it to `languages:`"
            )
        if set(languages) <= set(few) and not config.few_labels.rows:
            raise UserError(
                f"{where}: expected a language with labels, found all of {', '.join(languages)} with rows 0; take one "
                "out or raise rows"
            )
    return config
