"""The training loop: a student learns from cached teacher outputs, or from the text alone."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from distil.cache.format import TeacherCache
from distil.compute.batching import prefetch
from distil.compute.checkpoint import load_checkpoint, save_checkpoint
from distil.compute.distributed import SINGLE_PROCESS, Processes, process_device
from distil.compute.guard import EVENTS_FILE, Action, Guard
from distil.modeling.xlm_roberta import Student
from distil.runtime.progress import Progress
from distil.training.config import RunPaths, TrainConfig
from distil.training.curves import RunningMeans, TrainingCurves
from distil.training.data_loader import Batch, BatchIndices, CachedDataset
from distil.training.objective import Objective
from distil.training.step import TrainingState
from distil.training.text_only import TextOnlyDataset
from distil.training.validation import evaluate_heldout

log = logging.getLogger("distil")

LOG_EVERY = 10  # optimiser steps in a row of train.csv

LogFigures = Callable[[int, dict[str, float]], None]  # (step, figures) as they come


def no_log(step: int, figures: dict[str, float]) -> None:
    """Log nothing."""


class TrainingResult(NamedTuple):
    """What a training came to; the student holds the best weights seen."""

    steps: int
    tokens: int
    best_step: int
    stopped_early: bool
    averaged: int  # looks whose mean the best weights are, 1 where they are those of `best_step`
    heldout: dict[str, Any]  # validation.evaluate_heldout of the best weights
    cost: dict[str, Any]  # tokens_per_second, data_wait_share, and of a guard that is on its summary


class Trainer:
    """Trains a student in place; a run killed before resumes from its checkpoint, bit for bit."""

    def __init__(
        self,
        student: Student,
        objective: Objective,
        config: TrainConfig,
        paths: RunPaths,
        title: str,
        live: LogFigures = no_log,
        processes: Processes = SINGLE_PROCESS,
    ) -> None:
        """Put the student and its objective on this process's device.

        Args:
            student: the model, with its first weights.
            objective: what it learns, made for this very student.
            config: optimisation; its seed decides the order of the batches.
            paths: metrics and scratch are written to.
            title: the stage, for messages.
            live: gets (step, figures) as they come.
            processes: the processes that train together; the main one alone writes.
        """
        self.student, self.objective, self.config, self.paths = student, objective, config, paths
        self.title, self.live, self.processes = title, live, processes
        self.device = process_device()
        student.to(self.device)  # type: ignore[arg-type]  # transformers hides the signature
        student.train()
        objective.to(self.device)
        self.checkpoint = paths.scratch / "checkpoint.safetensors"

    def measure(self, sources: Sequence[TeacherCache | TextOnlyDataset], languages: list[str]) -> dict[str, Any]:
        """Figures of the student as it is on held-out text, as `evaluate_heldout`; arguments as of `train`."""
        data = CachedDataset(sources, "heldout")
        return evaluate_heldout(self.objective, data, languages, self.config.batch_tokens)

    def train(
        self, sources: Sequence[TeacherCache | TextOnlyDataset], languages: list[str], learned: Sequence[str] = ()
    ) -> TrainingResult:
        """Train for all epochs, or until `patience` evaluations brought no improvement.

        Args:
            sources: the text of each language, with the teacher's outputs or without, in the order of `languages`.
            languages: codes.
            learned: those whose text is trained on and whose held-out loss chooses the weights; none: all of them.
        """
        self.languages, self.learned = languages, learned or languages
        only = [languages.index(code) for code in learned]
        self.data, self.heldout = CachedDataset(sources, "train", only), CachedDataset(sources, "heldout")
        total = int(self.data.length.sum(dtype=np.int64)) * self.config.epochs
        events = self.paths.metrics / EVENTS_FILE if self.processes.is_main else None
        self.guard = Guard(self.config.guard, self.title, "train.learning_rate", events)
        self.state = TrainingState(self.student, self.objective, self.config, total, self.guard, self.processes)
        self.curves = TrainingCurves(self.paths.metrics, languages, self.objective.terms_used, self.live)
        self.means, self.skipped, self.waited = RunningMeans(languages, self.objective.terms_used), 0, 0.0
        self._resume()
        first, counters = self.state.counters["tokens"], self.state.counters
        with Progress(self.title, total, "tokens") as progress:
            progress.skip(first)
            stopped = self._run(progress)
            seconds = progress.seconds
        if self.processes.is_main:
            self.curves.write()
        self.guard.write_events()
        self.state.restore_best()
        cost = {
            "tokens_per_second": round((counters["tokens"] - first) / max(seconds, 1e-9)),
            "data_wait_seconds": round(self.waited, 1),
            "data_wait_share": round(self.waited / max(seconds, 1e-9), 4),
            **self.guard.summary(),
        }
        return TrainingResult(counters["step"], counters["tokens"], counters["best_step"], stopped,
                              counters["best_averaged"], counters["best_heldout"], cost)  # fmt: skip

    def _run(self, progress: Progress) -> bool:
        """The steps that are left; returns whether the training stopped early."""
        counters, epoch, stopped = self.state.counters, 0, False
        batches = prefetch(self._batches_left(), lambda item: self._load(item[1]))
        for (epoch, indices), batch, waited in batches:
            self.waited += waited
            result = self.state.step(batch and batch.to(self.device), self.languages)
            if result.action is Action.TAKE:
                self.means.add(result.loss, result.grad_norm, result.terms)
            else:
                self._leave_out(result.action)
            counters["tokens"] += indices.tokens
            progress.add(indices.tokens, f"loss {result.loss:.3f}")
            if counters["step"] % LOG_EVERY == 0:
                self._record(epoch)
            if counters["step"] % self.config.evaluate_every == 0:
                self._evaluate()
                if self.config.patience and counters["evaluations_since_best"] >= self.config.patience:
                    stopped = True
                    break
            # Only where a row of train.csv has just ended, so that no means are pending.
            due = counters["step"] % self.config.checkpoint_every == 0 and counters["step"] % LOG_EVERY == 0
            if due and self.guard.settled:
                self._save()
        if counters["step"] % LOG_EVERY:
            self._record(epoch)  # the last row is a shorter one; of a short training it is the only one
        if counters["step"] % self.config.evaluate_every:
            self._evaluate()
        return stopped

    def _leave_out(self, action: Action) -> None:
        """Count a step that was not taken, and after several of them go back to the weights of the checkpoint."""
        self.skipped += 1
        if action is Action.ROLL_BACK:
            self.guard.roll_back(self.checkpoint, self.state.modules, self.state.optimizer)
            self.processes.barrier()  # all have read the checkpoint before the main process may write the next

    def _batches_left(self) -> Iterator[tuple[int, BatchIndices]]:
        """The batches of all epochs that were not trained on yet, each with its epoch."""
        config, number, done = self.config, 0, self.state.counters["step"]
        for epoch in range(config.epochs):
            planned = self.data.epoch_batches(epoch, config.batch_tokens, config.sampling_temperature, config.seed)
            for indices in planned:
                number += 1
                if number > done:
                    yield epoch, indices

    def _load(self, indices: BatchIndices) -> Batch | None:
        """The part of a batch that is this process's; None where none is left for it."""
        part = slice(self.processes.rank, None, self.processes.world)
        if self.processes.rank >= len(indices.sequences):
            return None
        return self.data.collate(BatchIndices(indices.sequences[part], indices.variants[part], indices.tokens))

    def _record(self, epoch: int) -> None:
        """A row of train.csv."""
        counters, rate = self.state.counters, float(f"{self.state.learning_rate():.4g}")
        self.curves.add_train({"step": counters["step"], "epoch": epoch, "tokens": counters["tokens"],
                               "learning_rate": rate, "skipped": self.skipped,
                               **self.means.take(self.processes)})  # fmt: skip
        self.skipped = 0

    def _evaluate(self) -> None:
        """Measure on held-out text, keep the weights or the mean of the last ones if best, and write the curves."""
        by_language = evaluate_heldout(self.objective, self.heldout, self.languages, self.config.batch_tokens)
        loss = self.state.keep_best(by_language, self.learned)
        self.curves.add_heldout(self.state.counters["step"], loss, by_language)
        if self.state.recent:
            self.state.remember()
            with self.state.averaged() as looks:
                if looks > 1:
                    found = evaluate_heldout(self.objective, self.heldout, self.languages, self.config.batch_tokens)
                    self.state.keep_best(found, self.learned, looks)
        if self.processes.is_main:
            self.curves.write()

    def _resume(self) -> None:
        """Resume from the checkpoint, if there is one."""
        restored = load_checkpoint(self.checkpoint, self.state.checkpointed, self.state.optimizer)
        if restored:
            self.state.counters, self.guard.state = restored["state"], restored["guard"]
            self.curves.train, self.curves.heldout = restored["train"], restored["heldout"]
            log.info("%s: continuing after step %d", self.title, self.state.counters["step"])
        self.processes.barrier()  # all have read the checkpoint before the main process may write the next
        if self.guard.on and not restored:
            self._save()  # there is always one to go back to

    def _save(self) -> None:
        """Write a checkpoint."""
        if self.processes.is_main:
            rows = {"state": self.state.counters, "guard": self.guard.state, "train": self.curves.train,
                    "heldout": self.curves.heldout}  # fmt: skip
            save_checkpoint(self.checkpoint, self.state.checkpointed, self.state.optimizer, rows)
