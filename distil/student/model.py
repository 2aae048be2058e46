"""The small model: its shape, random first weights, and its folder on disk."""

import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from distil.core.files import seal
from distil.core.params import Params
from distil.modeling.tokenizer import SpecialIds
from distil.runtime.progress import quieten_transformers

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model")


class StudentConfig(Params):
    """Section `student:` of params.yaml."""

    hidden_size: int = Field(ge=8, le=4096)
    num_hidden_layers: int = Field(ge=1, le=48)
    num_attention_heads: int = Field(ge=1, le=64)
    intermediate_size: int = Field(ge=8, le=16384)
    dropout: float = Field(ge=0, le=0.5)
    init: Literal["random", "teacher"]
    init_layers: tuple[int, ...]

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


def build_student(config: StudentConfig, special: SpecialIds, pieces: int, positions: int) -> XLMRobertaForMaskedLM:
    """A student with random weights, drawn from torch's global generator.

    Args:
        config: its shape.
        special: ids of the special pieces.
        pieces: size of its vocabulary.
        positions: rows of the position table, XLM-R's two unused ones included.
    """
    quieten_transformers()
    return XLMRobertaForMaskedLM(
        XLMRobertaConfig(
            vocab_size=pieces,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
            max_position_embeddings=positions,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            bos_token_id=special.bos,
            pad_token_id=special.pad,
            eos_token_id=special.eos,
            tie_word_embeddings=True,
        )
    )


def count_parameters(model: XLMRobertaForMaskedLM) -> dict[str, int]:
    """Parameters, each tensor once: all, the embedding tables (words, positions, types), and the rest."""
    total = sum(parameter.numel() for parameter in model.parameters())
    embeddings = model.roberta.embeddings
    tables = (embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings)
    embedding = sum(table.weight.numel() for table in tables)
    return {"parameters": total, "embedding_parameters": embedding, "body_parameters": total - embedding}


def describe(model: XLMRobertaForMaskedLM) -> dict[str, int]:
    """Sizes for the summary: parameters and shape."""
    config = model.config
    return {
        **count_parameters(model),
        "num_hidden_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_attention_heads,
        "vocabulary": config.vocab_size,
    }


def save_student(model: XLMRobertaForMaskedLM, tokenizer: Path, out: Path) -> None:
    """Write a Hugging Face folder: the model as it is, and the tokenizer's files from the folder `tokenizer`."""
    model.cpu().eval().save_pretrained(out)
    for name in TOKENIZER_FILES:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, out / name)
    seal(out)
