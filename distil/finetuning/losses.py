"""What a classifier is taught: pure functions on tensors. U units (texts or words), C labels."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def soft_label_kd(student_logits: Tensor, teacher_log_probs: Tensor, temperature: float) -> Tensor:
    """KL(teacher ‖ student) at temperature T, times T² (Hinton et al. 2015, section 2).

    Args:
        student_logits: (U, C) unnormalised scores, T not yet applied.
        teacher_log_probs: (U, C) log-probabilities at temperature 1; they may be those of an averaged ensemble.
        temperature: T > 0, dimensionless.

    Returns:
        (U,) nats, float32.

    Raises:
        ValueError: the shapes differ.
    """
    if student_logits.shape != teacher_log_probs.shape:
        raise ValueError(f"student {tuple(student_logits.shape)}, teacher {tuple(teacher_log_probs.shape)}")
    teacher = (teacher_log_probs.float() / temperature).log_softmax(dim=-1)
    student = (student_logits.float() / temperature).log_softmax(dim=-1)
    return (teacher.exp() * (teacher - student)).sum(dim=-1) * temperature**2


def confidence(teacher_log_probs: Tensor) -> Tensor:
    """1 - H / log C of a teacher's distribution: 1 where it is sure, 0 where all labels are equally likely.

    Args:
        teacher_log_probs: (U, C) log-probabilities at temperature 1, C at least 2, nan where there are none.

    Returns:
        (U,) from 0 to 1, float32; 0 where there are none.
    """
    log_probs = teacher_log_probs.float()
    entropy = -(log_probs.exp() * log_probs).nan_to_num(nan=0.0).sum(dim=-1)  # 0 * -inf is 0
    share = (1 - entropy / math.log(log_probs.shape[-1])).clamp(0, 1)
    return torch.where(log_probs.isnan().any(dim=-1), torch.zeros_like(share), share)


def task_distillation(
    student_logits: Tensor, gold: Tensor, teacher_log_probs: Tensor, temperature: float, weight: float,
    gold_losses: Tensor | None = None, teacher_losses: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """(1 - weight) * cross-entropy on the gold label + weight * `soft_label_kd`, each where there is one.

    Args:
        student_logits: (U, C) unnormalised scores.
        gold: (U,) int64 labels, negative where none is known.
        teacher_log_probs: (U, C) log-probabilities, nan where there are none.
        temperature: T > 0, dimensionless.
        weight: of the teacher's part, 0 to 1.
        gold_losses: (U,) nats in place of the cross-entropy, such as those of whole sequences of tags.
        teacher_losses: (U,) nats in place of `soft_label_kd`, likewise; they know no temperature.

    Returns:
        (U,) nats, float32.
    """
    labelled, cross = gold >= 0, gold_losses
    if cross is None:
        cross = functional.cross_entropy(student_logits.float(), gold.clamp(min=0), reduction="none")
    taught = ~teacher_log_probs.isnan().any(dim=-1)
    kd = teacher_losses
    if kd is None:
        targets = torch.where(taught[:, None], teacher_log_probs, torch.zeros_like(teacher_log_probs))
        kd = soft_label_kd(student_logits, targets, temperature)
    zero = torch.zeros_like(cross)
    return (1 - weight) * torch.where(labelled, cross, zero) + weight * torch.where(taught, kd, zero)
