"""The teacher's distribution at a position, cut down to a few pieces: what cache_teacher keeps of it.

Shapes: P positions, V pieces, K entries kept. Everything is computed in float32.

*sampled*. K different pieces are drawn so that the target is unbiased with the least variance that K pieces allow
(threshold sampling: Duffield, Lund and Thorup 2007, section 2; fixed size by systematic draws: Madow 1949). Piece i is
kept with probability min(1, r_i / tau), where r is the teacher's distribution at the sampling temperature S and tau
makes the probabilities add up to K; so the most probable pieces are always kept and exact, and the rest of the mass is
shared by draws of equal weight. Plain draws with replacement (arXiv 2503.16870) spend most of them on pieces already
drawn.

*top_k*. The K most probable pieces; what they leave is one bucket.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 64  # neighbouring pieces that are searched together
CHUNK_ELEMENTS = 2**20  # positions * pieces that are worked on together on a CPU


class SparseLogits(NamedTuple):
    """What is kept of P distributions. Entry 0 is always the most probable piece."""

    ids: Tensor  # (P, K) int64
    log_probs: Tensor  # (P, K) nats, the teacher's at temperature 1
    log_scale: Tensor  # (P,) sampled: c, where log of the probability to be kept = min(0, log_probs / S - c)


def sample_logits(
    log_probs: Tensor, entries: int, sampling_temperature: float, generator: torch.Generator
) -> SparseLogits:
    """Draw `entries` pieces at each position without bias (see the top of this module).

    Args:
        log_probs: (P, V) nats, the teacher's log-probabilities at temperature 1.
        entries: K; all V are kept if there are no more.
        sampling_temperature: S > 0; a loss at temperature S needs no reweighting.
        generator: decides the draws.

    Returns:
        SparseLogits with K = min(entries, V).
    """
    positions, pieces = log_probs.shape
    if entries >= pieces:
        order = log_probs.argsort(dim=-1, descending=True, stable=True)
        everything = torch.full((positions,), -torch.inf, device=log_probs.device)
        return SparseLogits(order, log_probs.gather(1, order), everything)
    start = torch.rand((positions, 1), generator=generator, device=generator.device).to(log_probs.device)
    # Some positions at a time: the passes over V then stay in the processor's cache, three times as fast on a CPU.
    rows = max(1, CHUNK_ELEMENTS // pieces) if log_probs.device.type == "cpu" else positions
    parts = [
        _sample(*part, entries, sampling_temperature)
        for part in zip(log_probs.split(rows), start.split(rows), strict=True)
    ]
    return SparseLogits(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _sample(log_probs: Tensor, start: Tensor, entries: int, sampling_temperature: float) -> SparseLogits:
    """`sample_logits` of some positions; `start` (P, 1) in [0, 1) places the systematic draws.

    Pieces are searched in two steps, blocks and then those in a block, so that nothing is sorted or summed up piece by
    piece over all V: on a CPU, of 250,002, that takes half as long again (docs/internals/log.md).
    """
    pieces, device = log_probs.shape[1], log_probs.device
    highest = log_probs.max(dim=-1, keepdim=True).values
    # What fills up the last block is below every weight, and later has none.
    tail = log_probs.new_full((len(log_probs), -(-pieces // BLOCK) * BLOCK), -1.0)
    weights = tail[:, :pieces]  # (P, V) r, still without its normaliser
    torch.sub(log_probs, highest, out=weights).div_(sampling_temperature).exp_()
    norm = weights.sum(dim=-1, keepdim=True)
    log_norm = norm.log() + highest / sampling_temperature
    blocks = tail.view(len(tail), -1, BLOCK)  # (P, N, BLOCK)
    top, top_ids = _largest(blocks, entries)
    tail[:, pieces:] = 0.0
    top = top / norm
    # With the first m kept for certain, tau = (mass of the rest) / (K - m). m is the least number, at least 1, for
    # which the next piece is not above tau.
    rest = (1.0 - top.cumsum(dim=-1)).clamp_min(0.0)  # (P, K) mass left after m = 1..K
    draws_left = torch.arange(entries - 1, -1, -1, device=device)
    fits = top[:, 1:] * draws_left[:-1] <= rest[:, :-1]  # (P, K - 1) for m = 1..K-1
    last = torch.ones((len(top), 1), dtype=torch.bool, device=device)
    certain = torch.cat([fits, last], dim=1).int().argmax(dim=-1, keepdim=True) + 1  # (P, 1) m
    is_certain = torch.arange(entries, device=device) < certain
    tail.scatter_(1, top_ids, torch.where(is_certain, 0.0, top * norm))
    cumulative = blocks.sum(dim=-1).cumsum(dim=-1)  # (P, N)
    mass = cumulative[:, -1:]  # the mass left, as the sums see it; still without the normaliser
    draws = entries - certain  # (P, 1) K - m
    slot = torch.arange(entries, device=device) - certain  # (P, K) 0.. for drawn entries
    points = ((slot + start) / draws.clamp_min(1) * mass).clamp_min(0.0)
    ids = torch.where(is_certain, top_ids, _pieces_at(points, blocks, cumulative))
    log_tau = (mass / (norm * draws.clamp_min(1))).log()
    return SparseLogits(ids, log_probs.gather(1, ids), (log_tau + log_norm).squeeze(1))


def _largest(blocks: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of all of (P, N, BLOCK) at each position, descending, and their numbers; (P, count) each.

    They are in the blocks with the `count` largest maxima.
    """
    chosen = blocks.amax(dim=-1).topk(min(count, blocks.shape[1]), dim=-1).indices  # (P, M)
    candidates = _take_blocks(blocks, chosen).flatten(1)  # (P, M * BLOCK)
    values, places = candidates.topk(count, dim=-1)
    return values, chosen.gather(1, places // BLOCK) * BLOCK + places % BLOCK


def _pieces_at(points: Tensor, blocks: Tensor, cumulative: Tensor) -> Tensor:
    """(P, K) the piece whose interval each point falls into, with all pieces' weights end to end on a line.

    Args:
        points: (P, K), from 0 to below the whole length.
        blocks: (P, N, BLOCK) weights.
        cumulative: (P, N) where each block ends.
    """
    block = torch.searchsorted(cumulative, points.contiguous(), right=True).clamp_max(blocks.shape[1] - 1)
    begins = torch.nn.functional.pad(cumulative, (1, 0)).gather(1, block)
    inside = _take_blocks(blocks, block).cumsum(dim=-1)  # (P, K, BLOCK)
    # A sum in another order may end a little before the point: then it is the last piece that weighs anything.
    beyond = (inside <= (points - begins).unsqueeze(-1)).sum(dim=-1)
    return block * BLOCK + torch.minimum(beyond, (inside < inside[:, :, -1:]).sum(dim=-1))


def _take_blocks(blocks: Tensor, numbers: Tensor) -> Tensor:
    """(P, M, BLOCK) the blocks of those numbers (P, M)."""
    return blocks.gather(1, numbers.unsqueeze(-1).expand(-1, -1, BLOCK))


def top_k_logits(log_probs: Tensor, entries: int) -> SparseLogits:
    """The `entries` most probable pieces at each position.

    Args:
        log_probs: (P, V) nats.
        entries: K; all V are kept if there are no more.
    """
    top, ids = log_probs.topk(min(entries, log_probs.shape[-1]), dim=-1)
    return SparseLogits(ids, top, torch.zeros(len(log_probs), device=log_probs.device))


class SoftTargets(NamedTuple):
    """A distribution to learn from at each of P positions, over K pieces and perhaps one bucket for all others.

    `probs` are weights that estimate the teacher's distribution; `log_probs` is the teacher's own value for each
    piece. The two belong to the same distribution and differ where a drawn piece represents others: the mean of
    `log_probs - log_student` under `probs` is an unbiased estimate of KL(teacher ‖ student), so that a loss over few
    entries has the height of the loss over all, and not only its gradient. At one position it may be negative.
    """

    ids: Tensor  # (P, K) int64
    probs: Tensor  # (P, K), at the temperature asked for
    log_probs: Tensor  # (P, K) nats, at the same temperature
    tail: Tensor | None  # (P,) probability of all pieces not in `ids`; None where the weights of `ids` represent all


def soft_targets(kept: SparseLogits, form: str, temperature: float, sampling_temperature: float) -> SoftTargets:
    """Targets at a temperature from kept entries: the one call through which every cached form is read.

    All but top_k: weights p_i^(1/T) / P(i is kept), normalised over the kept entries; at T = S, and where all pieces
    are kept, these are the unbiased weights themselves, elsewhere the usual ratio estimate. top_k: the K pieces and the
    bucket of the rest, tempered as one distribution of K + 1 events.

    Args:
        kept: from the cache; `log_probs` at temperature 1.
        form: sampled, top_k, full, hidden or hidden4.
        temperature: T > 0.
        sampling_temperature: S of the cache; only for sampled.
    """
    if form == "top_k":
        rest = torch.log1p(-kept.log_probs.exp().sum(dim=-1, keepdim=True).clamp(max=1.0 - 1e-6))
        events = (torch.cat([kept.log_probs, rest], dim=1) / temperature).log_softmax(dim=-1)
        return SoftTargets(kept.ids, events[:, :-1].exp(), events[:, :-1], events[:, -1].exp())
    log_kept = torch.zeros_like(kept.log_probs)
    if form == "sampled":
        log_kept = (kept.log_probs / sampling_temperature - kept.log_scale[:, None]).clamp(max=0.0)
        log_kept[:, 0] = 0.0  # the most probable piece is always kept
    weights = kept.log_probs / temperature - log_kept
    log_norm = weights.logsumexp(dim=-1, keepdim=True)  # the log of sum_i p_i^(1/T): 0 at T = 1, exact at T = S
    known = torch.zeros_like(log_norm) if temperature == 1.0 else log_norm
    return SoftTargets(kept.ids, (weights - log_norm).exp(), kept.log_probs / temperature - known, None)
