"""The student model: its settings and its folder on disk."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from transformers import XLMRobertaForMaskedLM

from distil.core.errors import UserError
from distil.core.files import read_json, write_checksums
from distil.core.params import NO_FOLDER, Params
from distil.modeling.experts import LanguageGate
from distil.modeling.shape import ModelShape, build_masked_lm
from distil.modeling.tokenizer import copy_tokenizer, load_tokenizer, special_ids
from distil.modeling.xlm_roberta import Student


class StudentConfig(Params):
    """Section `student:` of params.yaml."""

    hidden_size: int = Field(ge=8, le=4096)
    num_hidden_layers: int = Field(ge=1, le=48)
    num_attention_heads: int = Field(ge=1, le=64)
    intermediate_size: int = Field(ge=8, le=16384)
    dropout: float = Field(ge=0, le=0.5)
    init: Literal["random", "teacher"]
    init_layers: tuple[int, ...]
    experts: int = Field(ge=0)
    trunk: str = Field(min_length=1)

    @model_validator(mode="after")
    def _layers_fit(self) -> "StudentConfig":
        found = list(self.init_layers)
        if found and self.init == "random":
            raise ValueError(f"init_layers {found} with init random: expected no layers; set init to teacher")
        if len(found) > self.num_hidden_layers:
            raise ValueError(
                f"init_layers {found}: expected at most num_hidden_layers, {self.num_hidden_layers}, of them"
            )
        return self

    @model_validator(mode="after")
    def _heads_divide(self) -> "StudentConfig":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of num_attention_heads {self.num_attention_heads}"
            )
        return self

    @model_validator(mode="after")
    def _experts_fit(self) -> "StudentConfig":
        if self.experts and self.hidden_size % self.experts:
            raise ValueError(f"experts {self.experts}: expected 0 or a divisor of hidden_size {self.hidden_size}")
        if self.trunk != NO_FOLDER and not self.experts:
            raise ValueError(
                f"trunk {self.trunk} with experts 0: a new language on a frozen trunk learns an expert; set experts to "
                "its width, such as 32"
            )
        return self

    @property
    def shape(self) -> ModelShape:
        """The sizes of the model."""
        return ModelShape(
            self.hidden_size, self.num_hidden_layers, self.num_attention_heads, self.intermediate_size, self.dropout
        )


def random_student(config: StudentConfig, seed: int, tokenizer: Path, teacher_config: Path) -> XLMRobertaForMaskedLM:
    """A student of this shape with random weights; also sets torch's generator to `seed`.

    Args:
        config: the shape.
        seed: of the weights.
        tokenizer: models/tokenizer, for the pieces.
        teacher_config: models/teacher/config.json, for the length of the position table.

    Raises:
        UserError: the teacher's config does not say how many positions it has.
    """
    fast, positions = load_tokenizer(tokenizer), read_json(teacher_config, "teacher").get("max_position_embeddings")
    if not isinstance(positions, int):
        raise UserError(f"{teacher_config}: expected max_position_embeddings, found none; run `dvc repro teacher`")
    torch.manual_seed(seed)
    return build_masked_lm(config.shape, special_ids(fast), fast.get_vocab_size(), positions)


def save_student(model: Student, tokenizer: Path, out: Path, gate: LanguageGate | None = None) -> None:
    """Write a Hugging Face folder: the model as it is, and the tokenizer's files from the folder `tokenizer`.

    With `gate`, of a model with language experts, also language_gate.safetensors.
    """
    model.cpu().eval().save_pretrained(out)
    copy_tokenizer(tokenizer, out)
    if gate is not None:
        gate.save(out)
    write_checksums(out)
