"""What every training step shares: AdamW, and the check for a finite loss."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from distil.core.errors import UserError

# Biases, normalisation and the weights that combine attention heads are not decayed.
NO_DECAY = ("bias", "LayerNorm", "layer_norm", "heads")


def adamw(
    named: Iterable[tuple[str, nn.Parameter]], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) with decoupled weight decay on matrices only.

    Args:
        named: parameters by name; those without gradient are left out.
        learning_rate: its peak; see `set_learning_rate`.
        weight_decay: of the parameters whose name has none of `NO_DECAY`.
    """
    trained = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    plain = [parameter for name, parameter in trained if any(part in name for part in NO_DECAY)]
    decayed = [parameter for name, parameter in trained if not any(part in name for part in NO_DECAY)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """All parameters that it trains, those with weight decay first."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """The rate of the next step, of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def check_finite(loss: float, gradient_norm: Tensor, step: str, batch: str, key: str) -> None:
    """Refuse a step that would destroy the weights.

    Args:
        loss: of the step.
        gradient_norm: before clipping, a scalar.
        step: the training and the number of the step, for the message.
        batch: what was in it.
        key: the setting to lower, with its place.

    Raises:
        UserError: one of the two is not finite.
    """
    if not (np.isfinite(loss) and bool(torch.isfinite(gradient_norm))):
        raise UserError(
            f"{step}: the loss is {loss}, its gradient's norm {float(gradient_norm)}, on {batch}; the last checkpoint "
            f"is kept; try a lower {key}"
        )
