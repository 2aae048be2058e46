"""Losses on attention probabilities, and the combination of the student's heads that they compare."""

import torch
from torch import Tensor

LEAST_PROB = 1e-9  # of attention, so that its logarithm stays finite


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


def combine_heads(student_probs: Tensor, weights: Tensor) -> Tensor:
    """Convex combinations of the student's heads, one for each of the teacher's maps.

    Args:
        student_probs: (R, H_student, T) probabilities.
        weights: (H_teacher, H_student) unnormalised; zeros give the mean.

    Returns:
        (R, H_teacher, T) probabilities: rows still add up to 1.
    """
    return torch.einsum("gh,rht->rgt", weights.softmax(dim=-1), student_probs)
