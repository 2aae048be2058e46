"""A block of `tasks:` in params.yaml."""

import re
from pathlib import PurePath
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from distil.core.params import Params
from distil.tasks.data import Kind
from distil.text.views import Script, TextView

_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class TaskConfig(Params):
    """A block of `tasks:` in params.yaml, which documents each key."""

    source: Literal["sample", "files", "url", "none"]
    path: str = Field(min_length=1)
    pattern: str
    verify: str
    kind: Kind
    text_column: str = Field(min_length=1)
    label_column: str = Field(min_length=1)
    labels: list[str]
    normalise: bool
    marks: Literal["keep", "drop", "both"]
    script: Script
    dev_from_train: float = Field(ge=0, le=0.5)
    max_train_rows: int = Field(ge=0, le=10**9)
    max_dev_rows: int = Field(ge=0, le=10**9)
    max_test_rows: int = Field(ge=0, le=10**9)
    unlabelled_path: str = Field(min_length=1)
    unlabelled: str
    max_unlabelled_rows: int = Field(ge=0, le=10**9)
    unlabelled_choice: Literal["random", "near"]

    @field_validator("pattern")
    @classmethod
    def _has_places(cls, pattern: str) -> str:
        if "{lang}" not in pattern or "{split}" not in pattern or PurePath(pattern).is_absolute():
            raise ValueError("expected a relative path with {lang} and {split} in it")
        return pattern

    @field_validator("unlabelled")
    @classmethod
    def _has_place_or_none(cls, pattern: str) -> str:
        if pattern and ("{lang}" not in pattern or PurePath(pattern).is_absolute()):
            raise ValueError("expected a relative path with {lang} in it, or nothing")
        return pattern

    @field_validator("text_column", "label_column", mode="before")
    @classmethod
    def _number_as_text(cls, column: Any) -> Any:
        if column == 0 and not isinstance(column, bool):
            raise ValueError("expected a column's name, its number from 1, or -1 for the last one")
        return str(column) if isinstance(column, int) and not isinstance(column, bool) else column

    @field_validator("label_column")
    @classmethod
    def _another_column(cls, column: str, info: ValidationInfo) -> str:
        if column == info.data.get("text_column"):
            raise ValueError("expected another column than text_column")
        return column

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str]) -> list[str]:
        if (
            len(labels) < 2
            or len(set(labels)) < len(labels)
            or not all(label.strip() == label != "" and not _BREAKS.search(label) for label in labels)
        ):
            raise ValueError(
                "expected at least two labels, all different, none empty, with spaces around it or a line break in it"
            )
        return labels

    @field_validator("normalise")
    @classmethod
    def _text_only(cls, normalise: bool, info: ValidationInfo) -> bool:
        if normalise and info.data.get("kind") == "token_classification":
            raise ValueError("token_classification is never normalised, expected false")
        return normalise

    @field_validator("unlabelled_choice")
    @classmethod
    def _something_to_choose(cls, choice: str, info: ValidationInfo) -> str:
        if choice == "near" and not (info.data.get("unlabelled") and info.data.get("max_unlabelled_rows")):
            raise ValueError(
                "near chooses among rows without labels; expected `unlabelled` and max_unlabelled_rows above 0"
            )
        return choice

    @property
    def view(self) -> TextView:
        """How every split is read, and text at serving."""
        return TextView(self.normalise, "drop" if self.marks == "drop" else "keep", self.script)
