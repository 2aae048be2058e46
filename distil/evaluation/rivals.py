"""The rivals of the student: section `rivals:` of params.yaml, and the stage that makes one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from distil.core.params import PARAMS_FILE, Params
from distil.evaluation.model_names import FINE_TUNED, rival_stage
from distil.evaluation.named_blocks import load_blocks

FINETUNED = Path("models/finetuned")


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
    """The section `rivals:`, see `load_blocks`."""
    return load_blocks("rivals", RivalConfig, path)


def rivals_of(tasks: Sequence[str], path: Path = PARAMS_FILE) -> dict[str, dict[str, str]]:
    """The rivals, which all score each task, each with its stage."""
    return {task: {name: rival_stage(name) for name in load_rivals(path)} for task in tasks}
