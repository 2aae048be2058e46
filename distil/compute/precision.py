"""Precision of a forward pass: float32, or matrix products in bfloat16 where a GPU is faster with them."""

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context of a forward pass. Weights, sums over rows and whatever is stored stay float32 in both."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
