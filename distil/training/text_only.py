"""Tokenised text without teacher outputs, with the interface of a cache: for masked-LM training."""

import numpy as np

from distil.cache.format import AttentionBatch
from distil.tokenization.shards import Shard, TokenizedDataset


class TextOnlyDataset:
    """The text of one language, open for reading, with the interface of a `TeacherCache`."""

    attention_form = "none"

    def __init__(self, prepared: TokenizedDataset) -> None:
        """`prepared`: the language's text."""
        self.prepared = prepared
        self.layers: list[int] = []

    def open(self, split: str, number: int) -> tuple[Shard, "NoTeacherOutputs"]:
        """Shard `number` of a split."""
        return self.prepared.open(self.prepared.shards(split)[number]), NoTeacherOutputs()


class NoTeacherOutputs:
    """The interface of a `CachedShard` without any teacher outputs."""

    def logits(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """No entries at masked positions (P,): ids (P, 0), log-probabilities (P, 0), log_scales (P,) of 0."""
        nothing = np.zeros((len(rows), 0), np.float32)
        return nothing.astype(np.int64), nothing, np.zeros(len(rows), np.float32)

    def attention(self, sequences: np.ndarray, variants: np.ndarray) -> AttentionBatch:
        """No rows: there are no layers."""
        nothing = np.zeros(0, np.int64)
        return AttentionBatch(nothing, nothing, nothing, np.zeros((0, 0, 0), np.float32))
