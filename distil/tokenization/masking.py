"""Which texts are held out, which tokens are masked and what replaces them (Devlin et al. 2019, section 3.1).

Masks are drawn once, when text is prepared, so that the teacher's outputs can be kept for exactly those inputs. Several
variants of a sequence are masked without overlap while its tokens last: with the rate 0.15, six variants see 90 % of
the tokens masked once, where independent draws would see 62 %.
"""

import hashlib
from typing import NamedTuple

import numpy as np

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1  # the rest stays as it is


class Masks(NamedTuple):
    """Masked positions of N sequences in V variants; variant-major, then sequence, then position."""

    offsets: np.ndarray  # (V, N + 1) int64, where the positions of variant v and sequence i begin
    positions: np.ndarray  # (M,) uint16, counted inside the sequence
    inputs: np.ndarray  # (M,) int64, the id at that place of the input


def draw_masks(
    ids: np.ndarray,
    offsets: np.ndarray,
    rate: float,
    variants: int,
    mask_id: int,
    candidates: np.ndarray,
    rng: np.random.Generator,
) -> Masks:
    """Masks for sequences that begin with <s> and end with </s>, which are never masked.

    Args:
        ids: (tokens,) of all sequences.
        offsets: (N + 1,) where each begins.
        rate: share of the inner tokens masked in a variant; every variant masks at least one token.
        variants: how many.
        mask_id: the id of <mask>.
        candidates: (C,) ids that may be put in as random pieces.
        rng: decides all draws.
    """
    inner = np.diff(offsets) - 2  # maskable tokens of each sequence
    per_variant = np.maximum(1, np.rint(inner * rate)).astype(np.int64)
    sequence = np.repeat(np.arange(len(inner)), inner)
    place = np.arange(len(sequence)) - np.repeat(np.cumsum(inner) - inner, inner)
    order = np.lexsort((rng.random(len(sequence)), sequence))
    rank = np.empty_like(order)
    rank[order] = place  # a random order of each sequence's tokens
    counts, positions = [], []
    for variant in range(variants):
        # A window of the random order; after its end it begins again.
        shifted = (rank - variant * per_variant[sequence]) % inner[sequence]
        chosen = shifted < per_variant[sequence]
        counts.append(np.bincount(sequence[chosen], minlength=len(inner)))
        positions.append(place[chosen] + 1)
    flat = np.concatenate(positions)
    starts = np.cumsum(np.concatenate([np.zeros(1, np.int64), np.concatenate(counts)]))
    mask_offsets = np.stack([starts[v * len(inner) : (v + 1) * len(inner) + 1] for v in range(variants)])
    lengths = np.concatenate(counts)
    gold = ids[np.repeat(np.tile(offsets[:-1], variants), lengths) + flat].astype(np.int64)
    how = rng.random(len(flat))
    noise = candidates[rng.integers(0, len(candidates), len(flat))]
    inputs = np.where(how < MASK_SHARE, mask_id, np.where(how < MASK_SHARE + RANDOM_SHARE, noise, gold))
    return Masks(mask_offsets, flat.astype(np.uint16), inputs)


def is_held_out(line: str, fraction: float) -> bool:
    """Whether a line belongs to the held-out `fraction`; what a smaller fraction holds out, a larger one does too."""
    number = int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest(), "big")
    return number < fraction * 2**64
