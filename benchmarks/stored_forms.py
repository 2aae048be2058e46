"""Forms in which a teacher's distribution can be kept, those of the cache and those of others, for fidelity.py."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distil.cache.bit_packing import bits_for, row_bytes
from distil.cache.format import PROB_BITS, decode_log_probs, encode_log_probs
from distil.cache.quantisation import quantise_states, quantise_states_4, restore_states, restore_states_4, rotation
from distil.cache.sparse_logits import SoftTargets, SparseLogits, sample_logits, soft_targets, top_k_logits
from distil.modeling.xlm_roberta import MaskedHead


class Form(NamedTuple):
    """One way of keeping a distribution."""

    name: str
    unbiased: bool
    bytes_per_position: Callable[[int], float]  # from the number of pieces
    keep: Callable[["Said", float, torch.Generator], SoftTargets]  # (what the teacher says, temperature, generator)


class Said(NamedTuple):
    """The teacher at P masked places."""

    log_probs: Tensor  # (P, V) nats at temperature 1
    states: Tensor  # (P, D) the head's last hidden state
    head: MaskedHead  # which makes scores of it
    near: Callable[[], Tensor]  # (P, V) log_probs of another pass, in bfloat16
    coarse: Callable[[], Tensor]  # likewise, with 8-bit weights and activations


def stored(kept: SparseLogits) -> SparseLogits:
    """What comes back from disk: log-probabilities and scale as they are coded there."""
    codes = decode_log_probs(encode_log_probs(kept.log_probs.numpy()))
    return SparseLogits(kept.ids, torch.from_numpy(codes), kept.log_scale.half().float())


def entry_bytes(entries: int, extra: int) -> Callable[[int], float]:
    """Bytes of the bit-packed ids and codes of a position."""
    return lambda pieces: row_bytes(entries, bits_for(pieces)) + row_bytes(entries, PROB_BITS) + extra


def threshold(entries: int) -> Form:
    """What the cache keeps as `sampled`."""
    return Form(
        f"sampled {entries}", True, entry_bytes(entries, 2),
        lambda said, t, g: soft_targets(stored(sample_logits(said.log_probs, entries, t, g)), "sampled", t, t),
    )  # fmt: skip


def with_bucket(entries: int) -> Form:
    """What the cache keeps as `top_k`."""
    return Form(
        f"top-{entries} with bucket", False, entry_bytes(entries, 0),
        lambda said, t, g: soft_targets(stored(top_k_logits(said.log_probs, entries)), "top_k", t, t),
    )  # fmt: skip


def renormalised(entries: int) -> Form:
    """Top-k as most tools do it: the rest of the mass is forgotten."""

    def keep(said: Said, temperature: float, generator: torch.Generator) -> SoftTargets:
        kept = top_k_logits(said.log_probs, entries)
        scores = (kept.log_probs / temperature).log_softmax(dim=-1)
        return SoftTargets(kept.ids, scores.exp(), scores, None)

    return Form(f"top-{entries} renormalised", False, entry_bytes(entries, 0), keep)


def draws(count: int) -> Form:
    """Plain draws with replacement (arXiv 2503.16870), distinct ids with counts, three bytes each as published."""

    def keep(said: Said, temperature: float, generator: torch.Generator) -> SoftTargets:
        tempered = (said.log_probs / temperature).log_softmax(dim=-1)
        ids = torch.multinomial(tempered.exp(), count, replacement=True, generator=generator)
        distinct.append(float(np.mean([len(set(row)) for row in ids.tolist()])))
        return SoftTargets(ids, torch.full(ids.shape, 1.0 / count), tempered.gather(1, ids), None)

    distinct: list[float] = []
    return Form(f"{count} draws with replacement", True, lambda pieces: 3 * float(np.mean(distinct)), keep)


def hidden(width: int) -> Form:
    """What the cache keeps as `hidden`: the state behind the scores in 8 bits."""
    return _of_states("hidden", width + 2, lambda states: restore_states(*quantise_states(states)))


def hidden_4(width: int) -> Form:
    """What the cache keeps as `hidden4`: the same in 4 bits."""

    def again(states: np.ndarray) -> np.ndarray:
        turn = rotation(width)
        return restore_states_4(*quantise_states_4(states @ turn), width) @ turn.T

    return _of_states("hidden4", row_bytes(width, 4) + 2, again)


def _of_states(name: str, size: int, again: Callable[[np.ndarray], np.ndarray]) -> Form:
    """`again`: states as they come back from disk."""

    def keep(said: Said, temperature: float, generator: torch.Generator) -> SoftTargets:
        states = torch.from_numpy(again(said.states.numpy()))
        scores = torch.nn.functional.linear(states, said.head.weight, said.head.bias).detach()
        return exact(scores.log_softmax(dim=-1), temperature)

    return Form(name, False, lambda pieces: size, keep)


def in_bfloat16() -> Form:
    """The full distribution of a pass with `cache_teacher.precision: bfloat16`: what the rounding alone loses."""
    return Form("full, bfloat16", False, lambda pieces: 4 * pieces, lambda said, t, g: exact(said.near(), t))


def in_int8() -> Form:
    """The full distribution of a pass with 8-bit weights and activations, which the pipeline does not offer."""
    return Form("full, int8", False, lambda pieces: 4 * pieces, lambda said, t, g: exact(said.coarse(), t))


def exact(log_probs: Tensor, temperature: float) -> SoftTargets:
    """The full distribution."""
    scores = (log_probs / temperature).log_softmax(dim=-1)
    return SoftTargets(torch.arange(scores.shape[1]).expand(scores.shape), scores.exp(), scores, None)
