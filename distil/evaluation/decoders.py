"""Section `decoders:` of params.yaml: causal language models that are scored beside the others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from distil.core.params import PARAMS_FILE, Params
from distil.evaluation.named_blocks import load_blocks

TEXT, LABEL = "{text}", "{label}"


class DecoderConfig(Params):
    """One block of `decoders:`."""

    source: Literal["folder", "hub"]
    path: str = Field(min_length=1)
    id: str = Field(min_length=1)
    revision: str = Field(min_length=1)
    precision: Literal["float32", "bfloat16"]
    batch_tokens: int = Field(ge=64)
    max_text_tokens: int = Field(ge=1)
    shots: int = Field(ge=0, le=64)
    calibrate: bool
    prompts: dict[str, str] = Field(min_length=1)  # by task
    names: dict[str, dict[str, str]]  # by task and label; a label that is not there is its own name

    @model_validator(mode="after")
    def _prompts_can_be_filled(self) -> "DecoderConfig":
        for task, prompt in self.prompts.items():
            found = f"found {prompt!r}"
            if prompt.count(TEXT) != 1 or prompt.count(LABEL) != 1 or not prompt.endswith(LABEL):
                raise ValueError(f"prompts.{task}: expected {TEXT} and {LABEL} once each, {LABEL} last, {found}")
            if not prompt.replace(TEXT, "").replace(LABEL, "").strip():
                raise ValueError(f"prompts.{task}: expected words of its own beside {TEXT} and {LABEL}, {found}")
        for task, names in self.names.items():
            if task not in self.prompts:
                raise ValueError(f"names.{task}: expected a task of prompts, {', '.join(self.prompts)}")
            if any(not name.strip() for name in names.values()):
                raise ValueError(f"names.{task}: expected a word or more for each label, found an empty one")
        return self


def load_decoders(path: Path = PARAMS_FILE) -> dict[str, DecoderConfig]:
    """The section `decoders:`, see `load_blocks`."""
    return load_blocks("decoders", DecoderConfig, path)


def decoders_of(tasks: Sequence[str], path: Path = PARAMS_FILE) -> dict[str, dict[str, str]]:
    """The decoders that score each task, each with its stage."""
    decoders = load_decoders(path)
    return {
        task: {name: f"decoder@{name}" for name, decoder in decoders.items() if task in decoder.prompts}
        for task in tasks
    }
