"""What the cache keeps of the teacher: section `cache_teacher:` of params.yaml."""

from typing import Literal

from pydantic import Field, model_validator

from distil.compute.precision import Precision
from distil.core.params import NO_FOLDER, Params


class CacheConfig(Params):
    """Section `cache_teacher:` of params.yaml."""

    logits: Literal["sampled", "top_k", "full", "hidden", "hidden4"]
    entries: int = Field(ge=1, le=1000)
    heldout_entries: int = Field(ge=1, le=1000)
    sampling_temperature: float = Field(gt=0, le=100)
    attention_layers: tuple[int, ...]
    attention: Literal["mean", "heads", "inputs"]
    attention_rows: float = Field(gt=0, le=1)
    batch_tokens: int = Field(ge=512)
    precision: Precision
    ensemble: str = Field(min_length=1)  # folder of further teachers (distil/teacher/ensemble.py), NO_FOLDER: none

    @model_validator(mode="after")
    def _states_are_of_one_model(self) -> "CacheConfig":
        if self.ensemble != NO_FOLDER and self.logits in ("hidden", "hidden4"):
            raise ValueError(
                f"ensemble {self.ensemble} with logits {self.logits}: expected sampled, top_k or full, since the "
                "states of one model do not give what several predict together"
            )
        return self

    @model_validator(mode="after")
    def _inputs_are_whole(self) -> "CacheConfig":
        if self.attention == "inputs" and self.attention_rows < 1:
            raise ValueError("attention inputs: keys are made from every row, so attention_rows must be 1")
        return self
