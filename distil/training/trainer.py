"""The training loop: a student learns from cached teacher outputs, or from the text alone."""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import nn
from transformers import XLMRobertaForMaskedLM

from distil.cache.format import TeacherCache
from distil.compute.checkpoint import load_checkpoint, save_checkpoint
from distil.compute.distributed import ALONE, Ranks, rank_device
from distil.compute.optimizer import adamw, check_finite, parameters_of, set_learning_rate
from distil.compute.precision import Precision, autocast
from distil.compute.prefetch import ahead
from distil.core.params import Params
from distil.runtime.progress import Progress
from distil.training.curves import History, Window
from distil.training.data_loader import Batch, CorpusIndex, Drawn
from distil.training.objective import Objective, Term
from distil.training.text_only import TextOnly
from distil.training.validation import measure

log = logging.getLogger("distil")

LOG_EVERY = 10  # optimiser steps in a row of train.csv


class TrainConfig(Params):
    """Section `train:` of params.yaml."""

    seed: int = Field(ge=0, lt=2**31)
    epochs: int = Field(ge=1)
    batch_tokens: int = Field(ge=16)
    learning_rate: float = Field(gt=0, lt=1)
    warmup_fraction: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, lt=1)
    max_grad_norm: float = Field(gt=0)
    evaluate_every: int = Field(ge=1)
    patience: int = Field(ge=0)
    checkpoint_every: int = Field(ge=1)
    sampling_temperature: float = Field(gt=0)
    precision: Precision


class Outcome(NamedTuple):
    """What a training came to; the student holds the best weights seen."""

    steps: int
    tokens: int
    best_step: int
    stopped_early: bool
    heldout: dict[str, Any]  # heldout.measure of the best weights
    cost: dict[str, float]  # tokens_per_second, data_wait_share


class _Training:
    """The state of one training: what a checkpoint holds, and the step."""

    def __init__(
        self,
        student: XLMRobertaForMaskedLM,
        objective: Objective,
        config: TrainConfig,
        total_tokens: int,
        title: str,
        ranks: Ranks,
    ) -> None:
        self.ranks = ranks
        self.student, self.objective, self.config, self.total_tokens = student, objective, config, total_tokens
        self.title = title
        named = [*student.named_parameters(), *objective.named_parameters()]
        self.optimizer = adamw(named, config.learning_rate, config.weight_decay)
        self.parameters = parameters_of(self.optimizer)
        self.best = {name: copy.deepcopy(module) for name, module in self.modules.items()}
        self.state: dict[str, Any] = {"step": 0, "tokens": 0, "best_step": 0, "best_loss": None, "looks_since_best": 0}

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"student": self.student, "objective": self.objective}

    def learning_rate(self) -> float:
        """Linear warm-up, then linear to zero, by tokens done."""
        done, warm = self.state["tokens"] / self.total_tokens, self.config.warmup_fraction
        share = done / warm if done < warm else (1 - done) / (1 - warm)
        # The first step does not stand still, and neither does one past the estimate of the total.
        return self.config.learning_rate * max(share, 0.001)

    def step(self, batch: Batch | None, languages: list[str]) -> tuple[float, dict[str, Term]]:
        """One optimiser step; returns its loss and terms.

        Of several processes each has its part of the batch (None where there are fewer sequences than processes): every
        mean is taken over the whole batch and gradients are added up, so that all take the step that one alone would.

        Raises:
            UserError: the loss or the gradient is not finite; names the step and the batch.
        """
        set_learning_rate(self.optimizer, self.learning_rate())
        terms = self._terms(batch) if batch else {}
        loss = self.objective.total(terms, self._counts(terms))
        self.optimizer.zero_grad(set_to_none=True)
        if batch:
            loss.backward()
        if self.ranks.world > 1:
            grads = []
            for parameter in self.parameters:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                grads.append(parameter.grad)
            loss = loss.detach()
            self.ranks.sum_([loss, *grads])
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        value = float(loss.detach())
        numbers = batch.languages.tolist() if batch else []
        present = ", ".join(sorted({languages[number] for number in numbers})) or "another process"
        check_finite(
            value, norm, f"{self.title}: step {self.state['step'] + 1}", f"{len(numbers)} sequences of {present}",
            "train.learning_rate",
        )  # fmt: skip
        self.optimizer.step()
        self.state["step"] += 1
        return value, terms

    def _terms(self, batch: Batch) -> dict[str, Term]:
        """The terms of the loss, float32 whatever the forward pass is computed in."""
        with autocast(self.student.device, self.config.precision):
            logits = self.objective.logits(batch)
        return self.objective.terms(batch, logits.float(), "train")

    def _counts(self, terms: dict[str, Term]) -> dict[str, float]:
        """Elements of each term in the whole batch."""
        names = self.objective.terms_used
        return dict(zip(names, self.ranks.sums([len(terms[name].values) if name in terms else 0 for name in names]),
                        strict=True))  # fmt: skip

    def look(self, by_language: dict[str, Any]) -> float:
        """Compare with the best so far; returns the mean loss over languages."""
        loss = self.ranks.of_main(float(np.mean([figures["loss"] for figures in by_language.values()])))
        self.state["looks_since_best"] += 1
        if self.state["best_loss"] is None or loss < self.state["best_loss"]:
            self.state |= {"best_loss": loss, "best_step": self.state["step"], "looks_since_best": 0}
            self.state["best_heldout"] = by_language
            for name, module in self.modules.items():
                self.best[name].load_state_dict(module.state_dict())
        return loss


def train(
    student: XLMRobertaForMaskedLM,
    objective: Objective,
    sources: Sequence[TeacherCache | TextOnly],
    languages: list[str],
    config: TrainConfig,
    metrics: Path,
    scratch: Path,
    live: Callable[[int, dict[str, float]], None],
    title: str,
    ranks: Ranks = ALONE,
) -> Outcome:
    """Train `student` in place; a run killed before continues from its checkpoint in `scratch`.

    Args:
        student: the model, with its first weights.
        objective: what it learns, made for this very student.
        sources: the text of each language, with the teacher's outputs or without, in the order of `languages`.
        languages: codes.
        config: optimisation; its seed decides the order of the batches.
        metrics: folder of train.csv and heldout.csv.
        scratch: folder of the checkpoint, for this very training only.
        live: gets (step, figures) as they come.
        title: the stage, for messages.
        ranks: the processes that train together; the main one alone writes.
    """
    device = rank_device()
    student.to(device)  # type: ignore[arg-type]  # transformers hides the signature
    student.train()
    objective.to(device)
    index, heldout = CorpusIndex(sources, "train"), CorpusIndex(sources, "heldout")
    per_epoch = int(index.length.sum(dtype=np.int64))
    training = _Training(student, objective, config, per_epoch * config.epochs, title, ranks)
    history = History(metrics, languages, objective.terms_used, live)
    checkpoint = scratch / "checkpoint.safetensors"
    everything = {**training.modules, **{f"best_{name}": module for name, module in training.best.items()}}
    restored = load_checkpoint(checkpoint, everything, training.optimizer)
    if restored:
        training.state, history.train, history.heldout = restored["state"], restored["train"], restored["heldout"]
        log.info("%s: continuing after step %d", title, training.state["step"])
    ranks.wait()  # all have read the checkpoint before the main process may write the next
    window, wait, first = Window(languages, objective.terms_used), 0.0, training.state["tokens"]
    stopped = False

    def save() -> None:
        if not ranks.is_main:
            return
        rows = {"state": training.state, "train": history.train, "heldout": history.heldout}
        save_checkpoint(checkpoint, everything, training.optimizer, rows)

    def look() -> None:
        by_language = measure(objective, heldout, languages, config.batch_tokens)
        history.add_heldout(training.state["step"], training.look(by_language), by_language)
        if ranks.is_main:
            history.write()

    def record(epoch: int) -> None:
        rate = float(f"{training.learning_rate():.4g}")
        state = training.state
        history.add_train({"step": state["step"], "epoch": epoch, "tokens": state["tokens"], "learning_rate": rate,
                           **window.take(ranks)})  # fmt: skip

    with Progress(title, training.total_tokens, "tokens") as progress:
        progress.skip(training.state["tokens"])
        plan = _after(index, config, training.state["step"])
        for (epoch, drawn), batch, waited in ahead(plan, lambda item: _load(index, item[1], ranks)):
            wait += waited
            value, terms = training.step(batch and batch.to(device), languages)
            window.add(value, terms)
            training.state["tokens"] += drawn.tokens
            progress.add(drawn.tokens, f"loss {value:.3f}")
            step = training.state["step"]
            if step % LOG_EVERY == 0:
                record(epoch)
            if step % config.evaluate_every == 0:
                look()
                if config.patience and training.state["looks_since_best"] >= config.patience:
                    stopped = True
                    break
            # Only where a row of train.csv has just ended, so that the window is empty.
            if step % config.checkpoint_every == 0 and step % LOG_EVERY == 0:
                save()
        if training.state["step"] % LOG_EVERY:
            record(epoch)  # the last row is a shorter one; of a short training it is the only one
        if training.state["step"] % config.evaluate_every:
            look()
        seconds = progress.seconds
    if ranks.is_main:
        history.write()
    for name, module in training.modules.items():
        module.load_state_dict(training.best[name].state_dict())
    trained = training.state["tokens"] - first
    return Outcome(
        training.state["step"],
        training.state["tokens"],
        training.state["best_step"],
        stopped,
        training.state["best_heldout"],
        {
            "tokens_per_second": round(trained / max(seconds, 1e-9)),
            "data_wait_seconds": round(wait, 1),
            "data_wait_share": round(wait / max(seconds, 1e-9), 4),
        },
    )


def _load(index: CorpusIndex, drawn: Drawn, ranks: Ranks) -> Batch | None:
    """The part of a batch that is this process's; None where none is left for it."""
    part = slice(ranks.rank, None, ranks.world)
    if ranks.rank >= len(drawn.sequences):
        return None
    return index.load(Drawn(drawn.sequences[part], drawn.variants[part], drawn.tokens))


def _after(index: CorpusIndex, config: TrainConfig, done: int) -> Iterator[tuple[int, Any]]:
    """The batches of all epochs, without the first `done`."""
    number = 0
    for epoch in range(config.epochs):
        for drawn in index.plan_epoch(epoch, config.batch_tokens, config.sampling_temperature, config.seed):
            number += 1
            if number > done:
                yield epoch, drawn
