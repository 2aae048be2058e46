"""Training that guards itself: a step far beyond those before it is left out; after three in a row weights go back.

A step counts as far beyond where its loss or its gradient norm is above the mean of the last `WINDOW` steps by more
than the given number of standard deviations, as in OLMo-core's SkipStepOptimizer, or where one of them is not finite.
Mean and deviations are those of the logarithms: what is left of a loss or a norm falls and varies by factors, and near
a loss of zero a hard batch is many times the mean and yet ordinary.
Going back and leaving out the batches since is PaLM's remedy (arXiv 2204.02311, section 5.1). Values of steps that were
left out never enter the window. With several processes the values are those of the whole batch, so all decide alike.
"""

import csv
import io
import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from distil.compute.checkpoint import load_checkpoint
from distil.compute.optimizer import check_finite
from distil.core.errors import UserError
from distil.core.files import write_text

WINDOW, LEAST = 128, 64  # steps that are compared with, and how many there must be before any counts as far beyond
IN_A_ROW, ROLLBACKS = 3, 3  # steps left out after which the weights go back, and returns that end the training
FEWEST_DEVIATIONS = 4
TINY = 1e-3  # losses (nats) and norms below it are equal, and 0 has a logarithm
LARGEST_LOG = 700.0  # whose exponential is still finite
EVENTS_FILE = "events.csv"
FIELDS = ("step", "action", "batch", "loss", "loss_limit", "grad_norm", "grad_norm_limit")


def _off_or_wide(deviations: float) -> float:
    if 0 < deviations < FEWEST_DEVIATIONS:
        raise ValueError(f"expected 0 (off) or {FEWEST_DEVIATIONS} or more, since ordinary steps are within that")
    return deviations


GuardDeviations = Annotated[float, Field(ge=0, le=1000), AfterValidator(_off_or_wide)]


class Action(StrEnum):
    """What becomes of a step."""

    TAKE = "take"
    SKIP = "skip"
    ROLL_BACK = "roll back"


class Guard:
    """Decides about each step. Its `state` is any JSON value and part of the training's checkpoint."""

    def __init__(self, deviations: float, title: str, key: str, events: Path | None) -> None:
        """A guard without steps.

        Args:
            deviations: beyond the mean of the window; 0 switches it off, and a value that is not finite is an error.
            title: names the training in errors.
            key: the learning rate's name in params.yaml.
            events: file that lists the steps left out; None where another process writes it.
        """
        self.deviations, self.title, self.key, self.events = deviations, title, key, events
        self.state: dict[str, Any] = {
            "losses": [], "norms": [], "in_a_row": 0, "skipped": 0, "rollbacks": 0, "events": [],
        }  # fmt: skip

    @property
    def on(self) -> bool:
        """Whether steps may be left out."""
        return self.deviations > 0

    @property
    def settled(self) -> bool:
        """Whether the last step was taken: a checkpoint made now holds weights worth going back to."""
        return not self.state["in_a_row"]

    def judge(self, step: int, loss: float, norm: Tensor, batch: str) -> Action:
        """What becomes of a step whose gradient is there and whose update is not.

        Args:
            step: its number, from 1.
            loss: of the step.
            norm: of the gradient before clipping, a scalar.
            batch: what was in it, for errors and events.

        Raises:
            UserError: off: loss or norm is not finite. On: it is the third time that the weights would go back.
        """
        if not self.on:
            check_finite(loss, norm, f"{self.title}: step {step}", batch, self.key)
            return Action.TAKE
        values = {"losses": loss, "norms": float(norm)}
        limits = {name: self._limit(self.state[name]) for name in values}
        if all(math.isfinite(value) and value <= limits[name] for name, value in values.items()):
            for name, value in values.items():
                self.state[name] = [*self.state[name], value][-WINDOW:]
            self.state["in_a_row"] = 0
            return Action.TAKE
        self.state["skipped"] += 1
        self.state["in_a_row"] += 1
        action = Action.ROLL_BACK if self.state["in_a_row"] == IN_A_ROW else Action.SKIP
        self.state["rollbacks"] += action is Action.ROLL_BACK
        row = [step, action, batch, *(f"{number:.6g}" for pair in zip(values.values(), limits.values(), strict=True)
                                      for number in pair)]  # fmt: skip
        self.state["events"].append(dict(zip(FIELDS, map(str, row), strict=True)))
        self.write_events()
        if self.state["rollbacks"] == ROLLBACKS:
            where = f"; {self.events} lists them" if self.events else ""
            raise UserError(
                f"{self.title}: step {step}: {IN_A_ROW} steps in a row were beyond the guard's limits for the "
                f"{ROLLBACKS}rd time, the last with loss {loss:.4g} and gradient norm {float(norm):.4g} on {batch}"
                f"{where}; try a lower {self.key}"
            )
        return action

    def roll_back(self, checkpoint: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
        """Put weights, optimiser and window back to those of a checkpoint; what was left out since stays on record.

        Args:
            checkpoint: of this training, with this guard's state under `guard`.
            modules: those that are trained; others of the checkpoint are left alone, such as the best ones so far.
            optimizer: theirs.

        Raises:
            UserError: the checkpoint is missing or damaged.
        """
        before = load_checkpoint(checkpoint, modules, optimizer)
        if before is None:
            raise UserError(f"{self.title}: {checkpoint}: expected the checkpoint to go back to, found none that can "
                            "be read; run the same command again")  # fmt: skip
        self.state |= {"losses": before["guard"]["losses"], "norms": before["guard"]["norms"], "in_a_row": 0}

    def write_events(self) -> None:
        """Write the file of events, a header alone where every step was taken."""
        if self.events:
            stream = io.StringIO()
            writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.state["events"])
            write_text(self.events, stream.getvalue())

    def summary(self) -> dict[str, dict[str, float]]:
        """For metrics/cost: `guard`, its deviations, the steps that were skipped and the rollbacks; off, nothing."""
        counts = {name: self.state[name] for name in ("skipped", "rollbacks")}
        return {"guard": {"deviations": self.deviations, **counts}} if self.on else {}

    def _limit(self, window: list[float]) -> float:
        """The largest value that is not far beyond; infinite while there are too few to say."""
        if len(window) < LEAST:
            return math.inf
        logs = np.log(np.maximum(window, TINY))
        return math.exp(min(float(np.mean(logs) + self.deviations * np.std(logs, ddof=1)), LARGEST_LOG))


def add_up(summaries: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """`Guard.summary` of several trainings with the same guard as one."""
    guards = [summary["guard"] for summary in summaries if summary]
    if not guards:
        return {}
    return {"guard": guards[0] | {name: sum(each[name] for each in guards) for name in ("skipped", "rollbacks")}}
