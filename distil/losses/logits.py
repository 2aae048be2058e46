"""Losses on scores over the vocabulary: distillation of cached distributions, and masked-LM cross-entropy."""

import torch
import torch.nn.functional as F
from torch import Tensor

from distil.cache.sparse_logits import SoftTargets


def logit_kd(student_logits: Tensor, targets: SoftTargets, temperature: float) -> Tensor:
    """KL(teacher ‖ student) at temperature T, times T² (Hinton et al. 2015, section 2), on cached targets.

    Only the K cached pieces are gathered; the student's normaliser is the one pass over V.

    Args:
        student_logits: (P, V) unnormalised scores, T not yet applied.
        targets: the teacher's distribution at temperature T, from `targets.soft_targets`.
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
