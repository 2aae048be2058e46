"""The small model: its shape and its first weights."""

import logging
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from distil.params import Params
from distil.progress import quieten_transformers
from distil.vocabulary import SpecialIds

log = logging.getLogger("distil")

FIRST_POSITION = 2  # XLM-R counts positions from padding's id + 1


class StudentConfig(Params):
    """Section `student:` of params.yaml."""

    hidden_size: int = Field(ge=8, le=4096)
    num_hidden_layers: int = Field(ge=1, le=48)
    num_attention_heads: int = Field(ge=1, le=64)
    intermediate_size: int = Field(ge=8, le=16384)
    dropout: float = Field(ge=0, le=0.5)
    init: Literal["random", "teacher"]

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


@torch.no_grad()
def start_from_teacher(student: XLMRobertaForMaskedLM, teacher: XLMRobertaForMaskedLM, teacher_ids: Tensor) -> float:
    """Give the student the teacher's embeddings, projected onto their leading principal directions.

    Word rows of the kept pieces are multiplied by the h leading right singular vectors of their own matrix (not
    centred:
    the common direction carries the position of the cloud); positions by the same vectors, so that the sum of both
    stays a projection of the teacher's. The head's bias of each piece is copied. A student at least as wide as the
    teacher keeps the teacher's rows, rotated and padded with zeros. Encoder layers stay random.

    Args:
        student: changed in place.
        teacher: read only.
        teacher_ids: (V,) the teacher's id of each piece of the student.

    Returns:
        The share of the squared length of the kept rows that the projection keeps, 0 to 1.
    """
    source, target = teacher.roberta.embeddings, student.roberta.embeddings
    words = source.word_embeddings.weight[teacher_ids].double()
    values, vectors = torch.linalg.eigh(words.T @ words)
    width = min(student.config.hidden_size, len(values))
    basis = vectors.flip(1)[:, :width]
    # The sign of an eigenvector is arbitrary; make its largest component positive, so that the result is one.
    basis = basis * basis.gather(0, basis.abs().argmax(dim=0, keepdim=True)).sign()
    rows = min(len(target.position_embeddings.weight), len(source.position_embeddings.weight))
    for table in (target.word_embeddings, target.position_embeddings, target.token_type_embeddings):
        table.weight.zero_()
    target.word_embeddings.weight[:, :width] = (words @ basis).float()
    target.position_embeddings.weight[:rows, :width] = (
        source.position_embeddings.weight[:rows].double() @ basis
    ).float()
    target.token_type_embeddings.weight[:, :width] = (source.token_type_embeddings.weight.double() @ basis).float()
    student.lm_head.bias.copy_(teacher.lm_head.bias[teacher_ids])
    kept = float(values.flip(0)[:width].sum() / values.sum())
    log.info("student starts from the teacher's embeddings: %.1f %% of their squared length kept", 100 * kept)
    return kept


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
