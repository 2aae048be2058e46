"""One optimiser step of a student, alone or as one of several processes, and the state that a checkpoint keeps."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from distil.compute.distributed import SINGLE_PROCESS, Processes
from distil.compute.guard import Action, Guard
from distil.compute.optimizer import adamw, parameters_of, set_learning_rate
from distil.compute.precision import autocast
from distil.modeling.xlm_roberta import Student
from distil.training.config import TrainConfig
from distil.training.data_loader import Batch
from distil.training.objective import Objective, Term


class StepResult(NamedTuple):
    """What one step came to."""

    loss: float
    grad_norm: float  # before clipping
    terms: dict[str, Term]
    action: Action  # the optimiser moved only where it is TAKE


class TrainingState:
    """A student, its objective and its optimiser; counters and the best weights so far."""

    def __init__(
        self,
        student: Student,
        objective: Objective,
        config: TrainConfig,
        total_tokens: int,
        guard: Guard,
        processes: Processes = SINGLE_PROCESS,
    ) -> None:
        """`total_tokens` of all epochs, for the learning rate; `guard` decides which steps are taken."""
        self.student, self.objective, self.config, self.total_tokens = student, objective, config, total_tokens
        self.guard, self.processes = guard, processes
        named = [*student.named_parameters(), *objective.named_parameters()]
        self.optimizer = adamw(named, config.learning_rate, config.weight_decay)
        self.parameters = parameters_of(self.optimizer)
        self.best = {name: copy.deepcopy(module) for name, module in self.modules.items()}
        # The weights of the last looks, in turn; a ring.
        self.recent = [copy.deepcopy(self.best) for _ in range(config.average if config.average > 1 else 0)]
        self.counters: dict[str, Any] = {
            "step": 0, "tokens": 0, "best_step": 0, "best_loss": None, "evaluations_since_best": 0, "looks": 0,
            "best_averaged": 1,
        }  # fmt: skip

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is trained."""
        return {"student": self.student, "objective": self.objective}

    @property
    def checkpointed(self) -> dict[str, nn.Module]:
        """Every module that a checkpoint holds."""
        recent = {f"recent_{slot}": each for slot, each in enumerate(self.recent)}
        kept = {"best": self.best, **recent}
        return self.modules | {f"{of}_{name}": each[name] for of, each in kept.items() for name in each}

    def learning_rate(self) -> float:
        """Linear warm-up, then linear to zero, by tokens done."""
        done, warm = self.counters["tokens"] / self.total_tokens, self.config.warmup_fraction
        share = done / warm if done < warm else (1 - done) / (1 - warm)
        # Never zero: neither in the first step nor in one beyond the estimate of the total.
        return self.config.learning_rate * max(share, 0.001)

    def step(self, batch: Batch | None, languages: list[str]) -> StepResult:
        """One optimiser step, unless the guard leaves it out; it is counted in both cases.

        Of several processes each has its part of the batch (None where there are fewer sequences than processes): every
        mean is taken over the whole batch and gradients are added up, so that all take the step that one alone would.

        Raises:
            UserError: see `Guard.judge`; names the step and the batch.
        """
        set_learning_rate(self.optimizer, self.learning_rate())
        terms = self._terms(batch) if batch else {}
        loss = self.objective.total(terms, self._counts(terms))
        self.optimizer.zero_grad(set_to_none=True)
        if batch:
            loss.backward()
        if self.processes.world > 1:
            grads = []
            for parameter in self.parameters:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                grads.append(parameter.grad)
            loss = loss.detach()
            self.processes.all_reduce_([loss, *grads])
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        value = float(loss.detach())
        numbers = batch.languages.tolist() if batch else []
        present = ", ".join(sorted({languages[number] for number in numbers})) or "another process"
        action = self.guard.judge(self.counters["step"] + 1, value, norm, f"{len(numbers)} sequences of {present}")
        if action is Action.TAKE:
            self.optimizer.step()
        self.counters["step"] += 1
        return StepResult(value, float(norm), terms, action)

    def _terms(self, batch: Batch) -> dict[str, Term]:
        """The terms of the loss, float32 whatever the forward pass is computed in."""
        with autocast(self.student.device, self.config.precision):
            logits = self.objective.logits(batch)
        return self.objective.terms(batch, logits.float(), "train")

    def _counts(self, terms: dict[str, Term]) -> dict[str, float]:
        """Elements of each term in the whole batch."""
        names = self.objective.terms_used
        own = [len(terms[name].values) if name in terms else 0 for name in names]
        return dict(zip(names, self.processes.sums(own), strict=True))

    def keep_best(self, by_language: dict[str, Any], learned: Sequence[str], averaged: int = 1) -> float:
        """Keep the weights if the mean held-out loss over languages is the least so far; returns that mean.

        Args:
            by_language: of `evaluate_heldout`.
            learned: the languages that count.
            averaged: looks whose mean the weights are; 1 for those of this look.
        """
        loss = self.processes.from_main(float(np.mean([by_language[code]["loss"] for code in learned])))
        self.counters["evaluations_since_best"] += averaged == 1  # the mean is part of the same look
        if self.counters["best_loss"] is None or loss < self.counters["best_loss"]:
            self.counters |= {"best_loss": loss, "best_step": self.counters["step"], "evaluations_since_best": 0,
                              "best_averaged": averaged}  # fmt: skip
            self.counters["best_heldout"] = by_language
            for name, module in self.modules.items():
                self.best[name].load_state_dict(module.state_dict())
        return loss

    def remember(self) -> None:
        """Put this look's weights among the last ones, in place of the oldest."""
        slot = self.recent[self.counters["looks"] % len(self.recent)]
        for name, module in self.modules.items():
            slot[name].load_state_dict(module.state_dict())
        self.counters["looks"] += 1

    @contextmanager
    def averaged(self) -> Iterator[int]:
        """While the block runs the weights are the mean of those of the last looks, of how many it yields.

        Latest weight averaging (Kaddour 2022, arXiv 2209.14981); training goes on from its own weights.
        """
        last = self.recent[: self.counters["looks"]]
        own = {name: copy.deepcopy(module.state_dict()) for name, module in self.modules.items()}
        for name, module in self.modules.items():
            states = [each[name].state_dict() for each in last]
            # The mean of equal numbers may differ from them in the last bit, and a frozen trunk must not.
            frozen = {
                key for key, weight in module.named_parameters(remove_duplicate=False) if not weight.requires_grad
            }
            module.load_state_dict({key: torch.stack([state[key] for state in states]).mean(dim=0)
                                    if value.is_floating_point() and key not in frozen else value
                                    for key, value in own[name].items()})  # fmt: skip
        try:
            yield len(last)
        finally:
            for name, module in self.modules.items():
                module.load_state_dict(own[name])

    def restore_best(self) -> None:
        """Put the best weights back."""
        for name, module in self.modules.items():
            module.load_state_dict(self.best[name].state_dict())
