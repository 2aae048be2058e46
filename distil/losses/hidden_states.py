"""TinyBERT's loss on hidden states, on normalised ones."""

import torch.nn.functional as F
from torch import Tensor


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
