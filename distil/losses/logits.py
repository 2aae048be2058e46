"""What the student is taught: pure functions on tensors.

Each returns one value for each position, row or map, unreduced and in float32; `masked_mean` reduces in one place.
Shapes: B batch, P masked positions, V pieces, K cached entries, R attention rows, H heads, T tokens, D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distil.cache.sparse_logits import LogitTargets

LEAST_PROB = 1e-9  # of attention, so that its logarithm stays finite


def logit_kd(student_logits: Tensor, targets: LogitTargets, temperature: float) -> Tensor:
    """KL(teacher ‖ student) at temperature T, times T² (Hinton et al. 2015, section 2), on cached targets.

    Only the K cached pieces are gathered; the student's normaliser is the one pass over V.

    Args:
        student_logits: (P, V) unnormalised scores, T not yet applied.
        targets: the teacher's distribution at temperature T, from `targets.weigh_entries`.
        temperature: T > 0, dimensionless.

    Returns:
        (P,) nats, float32.

    Raises:
        ValueError: the number of positions differs.
    """
    if len(student_logits) != len(targets.ids):
        raise ValueError(f"{len(student_logits)} positions of logits, {len(targets.ids)} of targets")
    scores = student_logits.float()
    if targets.tail is None:
        log_norm = (scores / temperature).logsumexp(dim=-1, keepdim=True)
        log_student = scores.gather(1, targets.ids) / temperature - log_norm
        kl = (targets.probs * (targets.log_probs - log_student)).sum(dim=-1)
    else:
        # The student's K + 1 events at temperature 1, then tempered together, as the teacher's are.
        log_norm = scores.logsumexp(dim=-1, keepdim=True)
        log_top = scores.gather(1, targets.ids) - log_norm
        rest = torch.log1p(-log_top.exp().sum(dim=-1, keepdim=True).clamp(max=1.0 - 1e-6))
        log_student = (torch.cat([log_top, rest], dim=1) / temperature).log_softmax(dim=-1)
        tail = targets.tail[:, None]
        log_probs = torch.cat([targets.log_probs, torch.where(tail > 0, tail, 1.0).log()], dim=1)
        kl = (torch.cat([targets.probs, tail], dim=1) * (log_probs - log_student)).sum(dim=-1)
    return kl * temperature**2


def masked_lm(student_logits: Tensor, gold: Tensor) -> Tensor:
    """Cross-entropy against the true pieces (Devlin et al. 2019, section 3.1).

    Args:
        student_logits: (P, V) unnormalised scores.
        gold: (P,) true ids.

    Returns:
        (P,) nats, float32.
    """
    return F.cross_entropy(student_logits.float(), gold, reduction="none")


def attention_mse(student_probs: Tensor, teacher_probs: Tensor, lengths: Tensor) -> Tensor:
    """Mean squared error between attention rows over the keys that are no padding (AfroXLMR-Comet, equation of L_attn).

    Args:
        student_probs: (R, H, T) probabilities of each query row, after softmax; 0 at padding.
        teacher_probs: (R, H, T) the same of the teacher.
        lengths: (R,) keys that are no padding.

    Returns:
        (R,) float32, the mean over heads and keys.

    Raises:
        ValueError: the shapes differ.
    """
    if student_probs.shape != teacher_probs.shape:
        raise ValueError(f"student {tuple(student_probs.shape)}, teacher {tuple(teacher_probs.shape)}")
    squared = (student_probs.float() - teacher_probs.float()).square()
    return squared.sum(dim=(1, 2)) / (lengths * student_probs.shape[1])


def attention_kl(student_probs: Tensor, teacher_probs: Tensor) -> Tensor:
    """KL(teacher ‖ student) between attention rows (MiniLM, arXiv 2002.10957, section 3.1).

    Probabilities of the student below 1e-9 count as 1e-9. The teacher's rows are divided by their sums, which storage
    in 8 bits leaves a little off 1.

    Args:
        student_probs: (R, H, T) probabilities of each query row, after softmax; 0 at padding.
        teacher_probs: (R, H, T) the same of the teacher.

    Returns:
        (R,) nats, float32, the mean over heads.

    Raises:
        ValueError: the shapes differ.
    """
    if student_probs.shape != teacher_probs.shape:
        raise ValueError(f"student {tuple(student_probs.shape)}, teacher {tuple(teacher_probs.shape)}")
    teacher = teacher_probs.float()
    teacher = teacher / teacher.sum(dim=-1, keepdim=True).clamp_min(LEAST_PROB)
    log_student = student_probs.float().clamp_min(LEAST_PROB).log()
    return (torch.xlogy(teacher, teacher) - teacher * log_student).sum(dim=-1).mean(dim=-1)


def relation_kl(student_vectors: Tensor, teacher_vectors: Tensor, heads: int, mask: Tensor) -> Tensor:
    """KL between the relations of one kind of vectors, such as queries with queries (MiniLMv2, arXiv 2012.15828).

    The vectors of all attention heads stand side by side and are cut into `heads` relation heads, so that teacher and
    student may differ in heads and in width. The relation of a token is the softmax, over the tokens of its sequence,
    of its scaled dot products with them.

    Args:
        student_vectors: (B, T, D_student) queries, keys or values.
        teacher_vectors: (B, T, D_teacher) the same of the teacher.
        heads: relation heads, a divisor of both widths.
        mask: (B, T) bool, true at tokens.

    Returns:
        (B, T) nats, float32, KL(teacher ‖ student), the mean over relation heads; 0 at padding.
    """
    student, teacher = (_log_relations(vectors, heads, mask) for vectors in (student_vectors, teacher_vectors))
    kl = (teacher.exp() * (teacher - student)).sum(dim=-1).mean(dim=1)
    return kl.masked_fill(~mask, 0.0)


def _log_relations(vectors: Tensor, heads: int, mask: Tensor) -> Tensor:
    """(B, heads, T, T) log-probabilities, a very low number at padding."""
    batch, tokens, width = vectors.shape
    split = vectors.float().view(batch, tokens, heads, width // heads).transpose(1, 2)
    scores = split @ split.transpose(2, 3) * (width // heads) ** -0.5
    # A finite number: infinity less infinity would be none.
    return scores.masked_fill(~mask[:, None, None, :], -1e4).log_softmax(dim=-1)


def hidden_mse(student_states: Tensor, teacher_states: Tensor) -> Tensor:
    """Mean squared error between hidden states, each first brought to mean 0 and variance 1 over its width.

    TinyBERT's hidden loss (arXiv 1909.10351, equation 8) on normalised states, so that a few dimensions of large
    numbers, which XLM-R has, do not decide it. It is 2 - 2 r with r the correlation of both over the width: 0 to 4.

    Args:
        student_states: (N, D) already projected to the teacher's width.
        teacher_states: (N, D).

    Returns:
        (N,) float32.

    Raises:
        ValueError: the shapes differ.
    """
    if student_states.shape != teacher_states.shape:
        raise ValueError(f"student {tuple(student_states.shape)}, teacher {tuple(teacher_states.shape)}")
    width = student_states.shape[-1:]
    student, teacher = (F.layer_norm(states.float(), width) for states in (student_states, teacher_states))
    return (student - teacher).square().mean(dim=-1)


def combine_heads(student_probs: Tensor, weights: Tensor) -> Tensor:
    """Convex combinations of the student's heads, one for each of the teacher's maps.

    Args:
        student_probs: (R, H_student, T) probabilities.
        weights: (H_teacher, H_student) unnormalised; zeros give the mean.

    Returns:
        (R, H_teacher, T) probabilities: rows still add up to 1.
    """
    return torch.einsum("gh,rht->rgt", weights.softmax(dim=-1), student_probs)


def masked_mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean of the values whose mask is true; 0 with gradient 0 where none is.

    Args:
        values: (N,).
        mask: (N,) bool, or None for all.
    """
    if mask is not None:
        values = values[mask]
    return values.sum() / max(values.numel(), 1)
