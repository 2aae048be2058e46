"""The batches of an epoch, and one batch: text from data/prepared, targets from data/teacher."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distil.cache.format import CachedShard, TeacherCache
from distil.cache.sparse_logits import SparseLogits
from distil.compute.batching import runs
from distil.tokenization.shards import Shard, masked_input
from distil.training.text_only import NoTeacherOutputs, TextOnlyDataset

POOL_BATCHES = 50  # batches that are sorted by length together: little padding, yet batches differ between epochs


class Batch(NamedTuple):
    """B sequences of at most T tokens with what the teacher said of them; R attention rows, E maps, P masked places."""

    input_ids: Tensor  # (B, T) int64
    mask: Tensor  # (B, T) bool, true at tokens
    masked_sequence: Tensor  # (P,) int64
    masked_position: Tensor  # (P,) int64
    gold: Tensor  # (P,) int64
    teacher_logits: SparseLogits  # (P, K)
    query_sequence: Tensor  # (R,) int64
    query_position: Tensor  # (R,) int64
    row_lengths: Tensor  # (R,) int64
    attention: Tensor  # (R, E, T) float32 probabilities, or (R, L, D) states where the cache keeps `inputs`
    languages: Tensor  # (B,) int64, numbers in the list of languages

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        teacher_logits = SparseLogits(*(tensor.to(device) for tensor in self.teacher_logits))
        moved = {name: tensor.to(device) for name, tensor in self._asdict().items() if name != "teacher_logits"}
        return Batch(teacher_logits=teacher_logits, **moved)


class BatchIndices(NamedTuple):
    """One batch of a plan: numbers of sequences in a `CachedDataset` and their mask variants."""

    sequences: np.ndarray  # (B,)
    variants: np.ndarray  # (B,)
    tokens: int  # without padding


class CachedDataset:
    """Every sequence of one split of all languages, by number: 10 bytes of memory each."""

    def __init__(
        self, caches: Sequence[TeacherCache | TextOnlyDataset], split: str, only: Collection[int] = ()
    ) -> None:
        """Open the shards of `split`; memory-mapped, so that only what a batch touches is read.

        `only`: numbers of the caches whose sequences to take; none: all of them.
        """
        self._shards: list[tuple[Shard, CachedShard | NoTeacherOutputs]] = []
        self.pad_id: int = caches[0].prepared.manifest["pad_id"]
        self.has_attention = bool(caches[0].layers)
        self._states = caches[0].attention_form == "inputs"
        languages, shards, numbers, lengths = [], [], [], []
        for language, cache in enumerate(caches):
            if only and language not in only:
                continue
            for number in range(len(cache.prepared.shards(split))):
                shard, cached = cache.open(split, number)
                count = len(shard.lengths)
                languages.append(np.full(count, language, np.uint8))
                shards.append(np.full(count, len(self._shards), np.uint16))
                numbers.append(np.arange(count, dtype=np.uint32))
                lengths.append(shard.lengths.astype(np.uint16))
                self._shards.append((shard, cached))
        self.variants = max(shard.variants for shard, _ in self._shards)
        self.language = np.concatenate(languages)
        self._shard = np.concatenate(shards)
        self._number = np.concatenate(numbers)
        self.length = np.concatenate(lengths)

    def epoch_batches(self, epoch: int, batch_tokens: int, temperature: float, seed: int) -> Iterator[BatchIndices]:
        """The batches of one epoch, the same for the same arguments.

        Args:
            epoch: from 0; decides the mask variant.
            batch_tokens: padded size of a batch at most (a single longer sequence still makes one).
            temperature: languages are drawn in proportion to tokens ** (1 / temperature).
            seed: decides the order.
        """
        rng = np.random.default_rng([seed, epoch])
        chosen, repeats = self._draw(temperature, rng)
        order = rng.permutation(len(chosen))
        chosen, variants = chosen[order], (epoch + repeats[order]) % self.variants
        pool = max(1, int(POOL_BATCHES * batch_tokens / max(1.0, float(self.length.mean()))))
        for start in range(0, len(chosen), pool):
            part = slice(start, start + pool)
            by_length = np.argsort(self.length[chosen[part]], kind="stable")
            sequences, masks = chosen[part][by_length], variants[part][by_length]
            cuts = list(runs(self.length[sequences], batch_tokens))
            for number in rng.permutation(len(cuts)):
                cut = slice(*cuts[number])
                yield BatchIndices(sequences[cut], masks[cut], int(self.length[sequences[cut]].sum(dtype=np.int64)))

    def sequential_batches(self, batch_tokens: int) -> Iterator[BatchIndices]:
        """Every sequence once, variant 0, language by language, for measuring."""
        for language in range(int(self.language.max()) + 1):
            sequences = np.flatnonzero(self.language == language)
            sequences = sequences[np.argsort(self.length[sequences], kind="stable")]
            for start, stop in runs(self.length[sequences], batch_tokens):
                part = sequences[start:stop]
                yield BatchIndices(part, np.zeros(len(part), np.int64), int(self.length[part].sum(dtype=np.int64)))

    def _draw(self, temperature: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the sequences of an epoch and how often each was drawn before in it; as many tokens as there "
        "are.
        """
        tokens = np.bincount(self.language, weights=self.length)
        shares = tokens ** (1.0 / temperature) / (tokens ** (1.0 / temperature)).sum()
        chosen, repeats = [], []
        for language in np.flatnonzero(tokens):
            share = shares[language]
            own = np.flatnonzero(self.language == language)
            count = max(1, round(len(own) * share * tokens.sum() / tokens[language]))
            rounds, rest = divmod(count, len(own))
            for repeat in range(rounds):
                chosen.append(own)
                repeats.append(np.full(len(own), repeat))
            chosen.append(rng.permutation(own)[:rest])
            repeats.append(np.full(rest, rounds))
        return np.concatenate(chosen), np.concatenate(repeats)

    def collate(self, indices: BatchIndices) -> Batch:
        """Assemble a batch from disk."""
        order = np.argsort(self._shard[indices.sequences], kind="stable")
        sequences, variants = indices.sequences[order], indices.variants[order]
        width = int(self.length[sequences].max())
        parts = []
        row = 0
        for number in np.unique(self._shard[sequences]):
            here = self._shard[sequences] == number
            shard, cached = self._shards[number]
            text = masked_input(shard, self._number[sequences[here]], variants[here], self.pad_id)
            arrays = [
                _pad(text.input_ids, width, self.pad_id),
                text.masked_sequence + row,
                text.masked_position,
                text.gold,
            ]
            arrays += cached.logits(text.cached_rows)
            if self.has_attention:
                rows = cached.attention(self._number[sequences[here]], variants[here])
                values = rows.values if self._states else _pad(rows.values, width, 0)
                arrays += [rows.sequence + row, rows.query, rows.lengths, values]
            parts.append(arrays)
            row += int(here.sum())
        if not self.has_attention:
            nothing = [np.zeros(0, np.int64)] * 3 + [np.zeros((0, 0, width), np.float32)]
            parts = [arrays + nothing for arrays in parts]
        joined = [torch.from_numpy(np.concatenate(columns)) for columns in zip(*parts, strict=True)]
        lengths = torch.from_numpy(self.length[sequences].astype(np.int64))
        mask = torch.arange(width) < lengths[:, None]
        languages = torch.from_numpy(self.language[sequences].astype(np.int64))
        names = ("masked_sequence", "masked_position", "gold", "ids", "log_probs", "log_scale",
                 "query_sequence", "query_position", "row_lengths", "attention")  # fmt: skip
        found = dict(zip(names, joined[1:], strict=True))
        teacher_logits = SparseLogits(found.pop("ids"), found.pop("log_probs"), found.pop("log_scale"))
        return Batch(input_ids=joined[0], mask=mask, teacher_logits=teacher_logits, languages=languages, **found)


def _pad(array: np.ndarray, width: int, value: float) -> np.ndarray:
    """Fill the last axis up to `width`."""
    missing = width - array.shape[-1]
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)], constant_values=value) if missing else array
