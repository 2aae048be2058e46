"""The stage distil with muP's learning rates for Adam, in a folder of benchmarks.rates.

    python -m benchmarks.mup

Tensor Programs V (Yang et al. 2022, arXiv 2203.03466), table 3: the rate of a matrix between two widths falls with its
fan-in, that of embeddings, biases and normalisation stays. Of a student as wide as BASE_WIDTH every rate is
`train.learning_rate`. The other half of muP, the scale of random weights, does not apply to a student that starts from
its teacher.
"""

from collections.abc import Iterable
from functools import partial
from unittest.mock import patch

import torch
from torch import nn

import distil.training.step
import stages.distil
from distil.compute.optimizer import adamw
from distil.core.params import read_params
from distil.runtime.launch import run_ranks

BASE_WIDTH = 64
HIDDEN = ("encoder.layer.", "lm_head.dense.")


def mup_adamw(
    named: Iterable[tuple[str, nn.Parameter]], learning_rate: float, weight_decay: float, width: int
) -> torch.optim.Optimizer:
    """`adamw`, in whose steps the matrices inside layers take BASE_WIDTH / width of the rate that was set.

    Args:
        named: parameters by name.
        learning_rate: its peak.
        weight_decay: as of `adamw`.
        width: of the student's hidden states.
    """
    listed = list(named)
    between = {id(parameter) for name, parameter in listed
               if parameter.ndim == 2 and any(part in name for part in HIDDEN)}  # fmt: skip
    optimizer = adamw(listed, learning_rate, weight_decay)
    for group in list(optimizer.param_groups):
        scaled = [parameter for parameter in group["params"] if id(parameter) in between]
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in between]
        if scaled:
            # Decay is times the rate, and muP keeps what is decayed in a step as it is.
            decay = group["weight_decay"] * width / BASE_WIDTH
            optimizer.add_param_group({**group, "params": scaled, "weight_decay": decay, "mup": BASE_WIDTH / width})

    def scale(optimizer: torch.optim.Optimizer, *_: object) -> None:
        # The training sets the rate of every group before each step.
        for group in optimizer.param_groups:
            group["lr"] *= group.get("mup", 1.0)

    optimizer.register_step_pre_hook(scale)
    return optimizer


def main() -> None:
    """The stage, with the optimiser above."""
    width = read_params()["student"]["hidden_size"]
    with patch.object(distil.training.step, "adamw", partial(mup_adamw, width=width)):
        stages.distil.main()


if __name__ == "__main__":
    run_ranks(main, "benchmarks.mup")
