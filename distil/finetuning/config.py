"""Section `finetune:` of params.yaml, and what one model takes of it."""

from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from distil.compute.guard import GuardDeviations
from distil.compute.precision import Precision
from distil.core.errors import UserError
from distil.core.params import Params
from distil.evaluation.config import TaskTeachersConfig
from distil.evaluation.controls import control_of
from distil.finetuning.ngrams import NgramsConfig


class FineTuningSchedule(Params):
    """How long and how fast one kind of model is trained: `finetune.teacher:` and `finetune.student:`."""

    epochs: int = Field(ge=1)
    min_steps: int = Field(ge=0)
    learning_rate: float = Field(gt=0, lt=1)  # of text classification
    tagger_learning_rate: float = Field(gt=0, lt=1)  # of token classification


class StudentSchedule(FineTuningSchedule):
    """`finetune.student:`."""

    shared_head: bool  # every seed starts from the head that the first seed draws


class UnlabelledConfig(Params):
    """Section `finetune.unlabelled:` of params.yaml: how rows without a label are learned from their teachers."""

    weight: Literal["even", "entropy"]
    mask_words: float = Field(ge=0, lt=1)  # share of the words that the student reads as <mask>


class FineTuningConfig(Params):
    """Section `finetune:` of params.yaml."""

    teacher: FineTuningSchedule
    student: StudentSchedule
    start: Literal["plain", "pooled"]
    batch_size: int = Field(ge=1)
    max_length: int = Field(ge=8, le=512)
    precision: Precision
    dropout: float = Field(ge=0, le=0.5)
    warmup_fraction: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, lt=1)
    guard: GuardDeviations
    tagger: Literal["words", "chain"]
    task_distillation: bool
    task_teachers: TaskTeachersConfig
    task_temperature: float = Field(gt=0)
    task_weight: float = Field(ge=0, le=1)
    unlabelled: UnlabelledConfig
    ngrams: NgramsConfig

    @model_validator(mode="after")
    def _whole_sequences_need_a_chain(self) -> "FineTuningConfig":
        if self.task_teachers.tags == "sequences" and self.tagger != "chain":
            raise ValueError(
                f"tagger: expected chain, since task_teachers.tags is sequences, found {self.tagger}; set it to chain, "
                "or the tags to words or marginals"
            )
        return self

    def learns_from_teacher(self, model: str) -> bool:
        """Whether a model learns a task from its teachers too: the student, and its controls likewise."""
        return self.task_distillation and (model == "student" or control_of(model) is not None)

    def shares_head(self, model: str) -> bool:
        """Whether all seeds of a model start from one head."""
        return model != "teacher" and self.student.shared_head

    def check_merged(self, task: str) -> None:
        """Raises UserError where the seeds of a task's student are to be merged and start from heads of their own."""
        if not self.student.shared_head:
            raise UserError(
                f"params.yaml: evaluate.merge.tasks: {task}: expected finetune.student.shared_head true, found false: "
                "heads that start apart do not average; set it, or take the task out of the list"
            )

    def recipe(self, model: str, kind: str) -> "FineTuningRecipe":
        """What one model takes for a kind of task; the teacher's pace is its own."""
        pace = self.teacher if model == "teacher" else self.student
        taught = self.learns_from_teacher(model)
        texts = kind == "text_classification"
        rate = pace.learning_rate if texts else pace.tagger_learning_rate
        table = self.ngrams.max_n and (texts or self.ngrams.tag_window)
        return FineTuningRecipe(
            pace.epochs, rate, self.start, self.batch_size, self.precision, self.dropout, self.warmup_fraction,
            self.weight_decay, self.task_temperature if taught else 1.0, self.task_weight if taught else 0.0,
            self.ngrams if table else None, pace.min_steps, self.guard,
            self.unlabelled if taught and self.unlabelled != EVEN else None, "words" if texts else self.tagger,
        )  # fmt: skip


EVEN = UnlabelledConfig(weight="even", mask_words=0.0)


class FineTuningRecipe(NamedTuple):
    """Optimisation of one model; `weight` 0 is plain fine-tuning."""

    epochs: int
    learning_rate: float
    start: str  # of a text classifier, plain or pooled
    batch_size: int
    precision: Precision  # of the steps, and of what the fine-tuned teacher predicts
    dropout: float
    warmup_fraction: float
    weight_decay: float
    temperature: float
    weight: float
    ngrams: NgramsConfig | None  # of the table beside the transformer; None: it has none
    min_steps: int = 0  # optimiser steps; passes are added until there are so many
    guard: float = 0.0  # deviations, see distil/compute/guard.py; 0 is off
    unlabelled: UnlabelledConfig | None = None  # of rows without a label; None: as they are, all of equal weight
    tagger: str = "words"  # chain: a tagger learns transitions between tags

    def steps_per_epoch(self, rows: int) -> int:
        """Optimiser steps of one pass over some rows."""
        return -(-rows // self.batch_size)

    def for_rows(self, rows: int) -> "FineTuningRecipe":
        """The recipe with the passes that `min_steps` asks for: few rows are read more often."""
        return self._replace(epochs=max(self.epochs, -(-self.min_steps // max(1, self.steps_per_epoch(rows)))))

    def as_json(self) -> dict[str, Any]:
        """For a manifest or a key."""
        sections = {"ngrams": self.ngrams.model_dump() if self.ngrams else None}
        found = {**self._asdict(), **sections}
        unlabelled, tagger = found.pop("unlabelled"), found.pop("tagger")
        found |= {"unlabelled": unlabelled.model_dump()} if unlabelled else {}
        return found | ({"tagger": tagger} if tagger == "chain" else {})
