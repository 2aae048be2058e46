"""The shape of an XLM-R masked language model: build one with random weights, count its parameters."""

from typing import Any, NamedTuple

from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from distil.modeling.tokenizer import SpecialTokenIds
from distil.runtime.progress import silence_transformers


class ModelShape(NamedTuple):
    """The sizes that decide the weights; vocabulary and positions come with the tokenizer."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    dropout: float


def build_masked_lm(shape: ModelShape, special: SpecialTokenIds, pieces: int, positions: int) -> XLMRobertaForMaskedLM:
    """A model with random weights, drawn from torch's global generator.

    Args:
        shape: its sizes.
        special: ids of the special pieces.
        pieces: size of its vocabulary.
        positions: rows of the position table, XLM-R's two unused ones included.
    """
    silence_transformers()
    return XLMRobertaForMaskedLM(
        XLMRobertaConfig(
            vocab_size=pieces,
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.num_hidden_layers,
            num_attention_heads=shape.num_attention_heads,
            intermediate_size=shape.intermediate_size,
            hidden_dropout_prob=shape.dropout,
            attention_probs_dropout_prob=shape.dropout,
            max_position_embeddings=positions,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            bos_token_id=special.bos,
            pad_token_id=special.pad,
            eos_token_id=special.eos,
            tie_word_embeddings=True,
        )
    )


def count_parameters(model: Any) -> dict[str, int]:
    """Parameters, each tensor once: all, the embedding tables (words, positions, types), and the rest."""
    total = sum(parameter.numel() for parameter in model.parameters())
    embeddings = model.roberta.embeddings
    tables = (embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings)
    embedding = sum(table.weight.numel() for table in tables)
    return {"parameters": total, "embedding_parameters": embedding, "body_parameters": total - embedding}


def describe_model(model: Any) -> dict[str, int]:
    """Sizes for the summary: parameters and shape."""
    config = model.config
    return {
        **count_parameters(model),
        "num_hidden_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_attention_heads,
        "vocabulary": config.vocab_size,
    }
