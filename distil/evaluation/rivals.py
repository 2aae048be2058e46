"""The rivals of the student: section `rivals:` of params.yaml, and the stage that makes one."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from distil.core.errors import UserError
from distil.core.params import PARAMS_FILE, Params, parse_params, read_params
from distil.evaluation.model_names import FINE_TUNED, MODEL_TITLES

FINETUNED = Path("models/finetuned")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class RivalConfig(Params):
    """One block of `rivals:`."""

    base: str = Field(min_length=1)  # a folder of models/finetuned, or an encoder's
    layers: int = Field(ge=0, le=48)  # of an encoder: its first ones; 0 all
    vocabulary: Literal["full", "kept"]
    form: Literal["dynamic", "weights", "static"]

    @property
    def is_finetuned(self) -> bool:
        """Whether the base is one of this run's fine-tuned models, else an encoder."""
        return Path(self.base).parent == FINETUNED

    @field_validator("base")
    @classmethod
    def _known(cls, value: str) -> str:
        if Path(value).parent == FINETUNED and Path(value).name not in FINE_TUNED:
            raise ValueError(f"expected one of {', '.join(FINE_TUNED)} below {FINETUNED}")
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> "RivalConfig":
        if self.is_finetuned and (self.layers or self.form == "static"):
            what = "form static" if self.form == "static" else f"layers {self.layers}"
            raise ValueError(f"{what} takes an encoder such as models/teacher as base, found {self.base}")
        if self.form == "static" and self.layers:
            raise ValueError(f"form static has no layers: expected layers 0, found {self.layers}")
        return self


def load_rivals(path: Path = PARAMS_FILE) -> dict[str, RivalConfig]:
    """The section `rivals:` by name, in its order.

    Raises:
        UserError: it is no mapping, a name is taken or none, or a block is not a `RivalConfig`.
    """
    section = read_params(path).get("rivals")
    if not isinstance(section, Mapping):
        raise UserError(f"{path}: rivals: expected blocks by name, or {{}} for none, found {section!r}")
    found = {}
    for name, block in section.items():
        where = f"{path}: rivals.{name}"
        if not _NAME.fullmatch(str(name)):
            raise UserError(f"{where}: expected a name of letters, digits and underscores that starts with a letter")
        if name in MODEL_TITLES:
            raise UserError(f"{where}: {name} is the name of a model that is scored anyway; choose another")
        if not isinstance(block, Mapping):
            raise UserError(f"{where}: expected the keys {', '.join(RivalConfig.model_fields)}, found {block!r}")
        found[str(name)] = parse_params(block, RivalConfig, where)
    return found
