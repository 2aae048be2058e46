"""Learned transitions between the tags of neighbouring words: a linear chain over the word scores of a tagger.

The probability of a sequence is in proportion to exp(its word scores + its transitions); sequences that are not valid
(distil/tasks/tag_decoding.py, which decodes and has the same in numpy) have none. The gold loss is the negative
log-likelihood of the gold sequence (conditional random field, Lafferty et al. 2001). The teacher's part is the KL
between both sides' marginals of each word, or the weighted negative log-likelihood of the teacher's K most probable
sequences (both Wang et al. 2020, arXiv 2004.03846). With transitions of 0 and labels without rules the gold loss and
the KL are those of a tagger without a chain.

Legend: B sentences, W words of the longest, U words with a place of all of them, C labels, K sequences of the teacher,
R sequences of known and unknown labels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from distil.finetuning.encoding import NO_LABEL, Encoded
from distil.tasks.tag_decoding import FLOOR, allowed_transitions, read_transitions

# Times the encoder's: at its rate transitions stay near 0. The paper's code has 0.5 beside 5e-5.
RATE = 100
IMPOSSIBLE = -1e4  # in place of -inf, which has no gradient; its exp is 0 all the same


class ChainOutputs(NamedTuple):
    """Of U words."""

    log_marginals: Tensor  # (U, C), the words' own where they are not wanted
    gold_losses: Tensor  # (U,) nats: a sentence's negative log-likelihood, in equal parts on its words with a label
    sequence_losses: Tensor | None  # (U,) nats: likewise, by weight over the teacher's sequences; None without any


class TagChain(nn.Module):
    """(C + 1, C) transitions, label (column) after label (row), the last row the start of a sentence."""

    allowed: Tensor

    def __init__(self, labels: list[str]) -> None:
        """Start with zeros: all valid sequences are equal."""
        super().__init__()
        self.labels = labels
        self.transitions = nn.Parameter(torch.zeros(len(labels) + 1, len(labels)))
        self.register_buffer("allowed", torch.from_numpy(allowed_transitions(labels)), persistent=False)

    def as_array(self) -> np.ndarray:
        """(C + 1, C) float64, for the decoder and the file."""
        return self.transitions.detach().cpu().double().numpy()

    def moves(self) -> Tensor:
        """(C + 1, C) scores, IMPOSSIBLE for what is not valid."""
        return torch.where(self.allowed, self.transitions, IMPOSSIBLE)

    def forward(self, logits: Tensor, rows: Encoded, batch: np.ndarray, marginals: bool) -> ChainOutputs:
        """Losses and marginals; a word without a place has no score, and may have any tag.

        Args:
            logits: (U, C) unnormalised scores of `rows.units(batch)`.
            rows: sentences.
            batch: (B,) numbers of those that were scored.
            marginals: whether they are wanted; nothing but a teacher's soft labels needs them.

        Returns:
            With the losses of the teacher's sequences, where `rows` have some.
        """
        units, owner = rows.units(batch)
        counts = rows.starts[batch + 1] - rows.starts[batch]
        word, real = units - rows.starts[batch][owner], np.arange(max(1, counts.max())) < counts[:, None]
        taught = np.empty((0, len(units)), np.int64) if rows.sequences is None else rows.sequences[units].T
        known = np.full((1 + len(taught), *real.shape), NO_LABEL)  # the gold sequence first
        known[:, owner, word] = np.concatenate([rows.gold[units][None], taught])
        at, labels, mask = (
            torch.from_numpy(each).to(logits.device) for each in (np.stack([owner, word]), known, real)
        )  # fmt: skip
        scores = logits.new_zeros((*real.shape, logits.shape[1]), dtype=torch.float32)
        scores = scores.index_put((at[0], at[1]), logits.float().log_softmax(dim=-1))
        losses = sequence_losses(scores, mask, labels, self.moves())
        losses = losses / (labels != NO_LABEL).sum(dim=2).clamp(min=1)
        of_teacher = None
        if rows.sequence_weights is not None:
            weights = torch.from_numpy(rows.sequence_weights[batch]).to(logits.device)
            of_teacher = (weights.T * losses[1:]).sum(dim=0)[at[0]]
        if marginals:
            scores = log_marginals(scores, mask, self.moves())
        return ChainOutputs(scores[at[0], at[1]], losses[0][at[0]], of_teacher)


def log_partition(scores: Tensor, real: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
    """Log of the sum over all sequences, (B,), and the logs of the forward messages, (B, W, C), each 1 in sum.

    Args:
        scores: (B, W, C) of each word; anything at padding.
        real: (B, W) bool, false at padding, which is behind the words.
        moves: (C + 1, C), see `TagChain.moves`.
    """
    total, messages = scores.new_zeros(len(scores)), []
    before = moves[-1].expand(len(scores), -1)
    for word in range(scores.shape[1]):
        joint = before + scores[:, word]
        norm = joint.logsumexp(dim=-1)
        total = total + torch.where(real[:, word], norm, 0.0)
        messages.append(joint - norm[:, None])
        before = (messages[-1][:, :, None] + moves[:-1]).logsumexp(dim=1)
    return total, torch.stack(messages, dim=1)


def log_marginals(scores: Tensor, real: Tensor, moves: Tensor) -> Tensor:
    """(B, W, C) logs of each word's probabilities over all sequences, FLOOR for what none has; arguments as above."""
    forward, after = log_partition(scores, real, moves)[1], torch.zeros_like(scores[:, 0])
    backward = [after]
    for word in range(scores.shape[1] - 1, 0, -1):
        ways = (moves[:-1] + (scores[:, word] + after)[:, None, :]).logsumexp(dim=2).log_softmax(dim=-1)
        after = torch.where(real[:, word, None], ways, 0.0)
        backward.append(after)
    found = (forward + torch.stack(backward[::-1], dim=1)).log_softmax(dim=-1)
    return torch.where(found < IMPOSSIBLE / 2, FLOOR, found)


def sequence_losses(scores: Tensor, real: Tensor, known: Tensor, moves: Tensor) -> Tensor:
    """(R, B) nats: minus the log-probability of all sequences that have the known labels.

    Args:
        scores: (B, W, C) of each word; anything at padding.
        real: (B, W) bool.
        known: (R, B, W) int64, R for each sentence, negative where a word's label is not known, and at padding.
        moves: (C + 1, C).
    """
    other = torch.arange(scores.shape[-1], device=known.device) != known[..., None]
    held = torch.where(other & (known >= 0)[..., None], IMPOSSIBLE, scores)
    # One pass for the sum over all and those with the known labels: the steps are many and small.
    every = torch.cat([scores[None], held]).flatten(0, 1)
    total = log_partition(every, real.repeat(1 + len(known), 1), moves)[0].unflatten(0, (-1, len(scores)))
    return total[0] - total[1:]


def gold_losses(scores: Tensor, real: Tensor, gold: Tensor, moves: Tensor) -> Tensor:
    """(B,) nats: `sequence_losses` of one sequence for each sentence, (B, W)."""
    return sequence_losses(scores, real, gold[None], moves)[0]


def load_chain(folder: Path, config: Mapping[str, Any], labels: list[str], advice: str) -> TagChain | None:
    """The transitions beside a tagger, None where it has none.

    Args:
        folder: of the model.
        config: its config.json.
        labels: of the task.
        advice: what to do about a fault, for the message.

    Raises:
        UserError: see `read_transitions`.
    """
    if not config.get("transitions"):
        return None
    chain = TagChain(labels)
    with torch.no_grad():
        chain.transitions.copy_(torch.from_numpy(read_transitions(folder, labels, advice)))
    return chain
