"""Section `evaluate:` of params.yaml: what is scored, and how often."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from distil.core.params import PARAMS_FILE, Params, load_params


class EvaluateConfig(Params):
    """Section `evaluate:` of params.yaml."""

    tasks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(min_length=1)
    languages: Literal["joint", "separate"]
    bootstrap_resamples: int = Field(ge=100)


def load_evaluate(path: Path = PARAMS_FILE) -> EvaluateConfig:
    """Section `evaluate:`, checked."""
    return load_params("evaluate", EvaluateConfig, path)
