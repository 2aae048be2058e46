"""Section `train:` of params.yaml, and where a training reads and writes."""

from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from distil.compute.guard import GuardDeviations
from distil.compute.precision import Precision
from distil.core.params import Params


class TrainConfig(Params):
    """Section `train:` of params.yaml."""

    seed: int = Field(ge=0, lt=2**31)
    epochs: int = Field(ge=1)
    batch_tokens: int = Field(ge=16)
    learning_rate: float = Field(gt=0, lt=1)
    warmup_fraction: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, lt=1)
    max_grad_norm: float = Field(gt=0)
    guard: GuardDeviations
    evaluate_every: int = Field(ge=1)
    patience: int = Field(ge=0)
    average: int = Field(ge=0, le=100)  # looks whose weights are averaged; 0 and 1 are none
    checkpoint_every: int = Field(ge=1)
    sampling_temperature: float = Field(gt=0)
    precision: Precision


class RunPaths(NamedTuple):
    """Where one training reads and writes."""

    teacher: Path  # models/teacher
    tokenizer: Path  # models/tokenizer
    out: Path  # an empty folder for the model
    metrics: Path  # folder of train.csv, heldout.csv and events.csv
    scratch: Path  # folder of the checkpoint, for this very training only
