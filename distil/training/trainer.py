"""The training loop: a student learns from cached teacher outputs, or from the text alone."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from transformers import XLMRobertaForMaskedLM

from distil.cache.format import TeacherCache
from distil.compute.batching import prefetch
from distil.compute.checkpoint import load_checkpoint, save_checkpoint
from distil.compute.distributed import SINGLE_PROCESS, Processes, process_device
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
    heldout: dict[str, Any]  # validation.evaluate_heldout of the best weights
    cost: dict[str, float]  # tokens_per_second, data_wait_share


class Trainer:
    """Trains a student in place; a run killed before resumes from its checkpoint, bit for bit."""

    def __init__(
        self,
        student: XLMRobertaForMaskedLM,
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

    def train(self, sources: Sequence[TeacherCache | TextOnlyDataset], languages: list[str]) -> TrainingResult:
        """Train for all epochs, or until `patience` evaluations brought no improvement.

        Args:
            sources: the text of each language, with the teacher's outputs or without, in the order of `languages`.
            languages: codes.
        """
        self.languages = languages
        self.data, self.heldout = CachedDataset(sources, "train"), CachedDataset(sources, "heldout")
        total = int(self.data.length.sum(dtype=np.int64)) * self.config.epochs
        self.state = TrainingState(self.student, self.objective, self.config, total, self.title, self.processes)
        self.curves = TrainingCurves(self.paths.metrics, languages, self.objective.terms_used, self.live)
        self.means, self.waited = RunningMeans(languages, self.objective.terms_used), 0.0
        self._resume()
        first, counters = self.state.counters["tokens"], self.state.counters
        with Progress(self.title, total, "tokens") as progress:
            progress.skip(first)
            stopped = self._run(progress)
            seconds = progress.seconds
        if self.processes.is_main:
            self.curves.write()
        self.state.restore_best()
        cost = {
            "tokens_per_second": round((counters["tokens"] - first) / max(seconds, 1e-9)),
            "data_wait_seconds": round(self.waited, 1),
            "data_wait_share": round(self.waited / max(seconds, 1e-9), 4),
        }
        return TrainingResult(counters["step"], counters["tokens"], counters["best_step"], stopped,
                              counters["best_heldout"], cost)  # fmt: skip

    def _run(self, progress: Progress) -> bool:
        """The steps that are left; returns whether the training stopped early."""
        counters, epoch, stopped = self.state.counters, 0, False
        batches = prefetch(self._batches_left(), lambda item: self._load(item[1]))
        for (epoch, indices), batch, waited in batches:
            self.waited += waited
            value, terms = self.state.step(batch and batch.to(self.device), self.languages)
            self.means.add(value, terms)
            counters["tokens"] += indices.tokens
            progress.add(indices.tokens, f"loss {value:.3f}")
            if counters["step"] % LOG_EVERY == 0:
                self._record(epoch)
            if counters["step"] % self.config.evaluate_every == 0:
                self._evaluate()
                if self.config.patience and counters["evaluations_since_best"] >= self.config.patience:
                    stopped = True
                    break
            # Only where a row of train.csv has just ended, so that no means are pending.
            if counters["step"] % self.config.checkpoint_every == 0 and counters["step"] % LOG_EVERY == 0:
                self._save()
        if counters["step"] % LOG_EVERY:
            self._record(epoch)  # the last row is a shorter one; of a short training it is the only one
        if counters["step"] % self.config.evaluate_every:
            self._evaluate()
        return stopped

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
                               "learning_rate": rate, **self.means.take(self.processes)})  # fmt: skip

    def _evaluate(self) -> None:
        """Measure on held-out text, keep the weights if they are the best, and write the curves."""
        by_language = evaluate_heldout(self.objective, self.heldout, self.languages, self.config.batch_tokens)
        self.curves.add_heldout(self.state.counters["step"], self.state.keep_best(by_language), by_language)
        if self.processes.is_main:
            self.curves.write()

    def _resume(self) -> None:
        """Resume from the checkpoint, if there is one."""
        restored = load_checkpoint(self.checkpoint, self.state.checkpointed, self.state.optimizer)
        if restored:
            self.state.counters = restored["state"]
            self.curves.train, self.curves.heldout = restored["train"], restored["heldout"]
            log.info("%s: continuing after step %d", self.title, self.state.counters["step"])
        self.processes.barrier()  # all have read the checkpoint before the main process may write the next

    def _save(self) -> None:
        """Write a checkpoint."""
        if self.processes.is_main:
            rows = {"state": self.state.counters, "train": self.curves.train, "heldout": self.curves.heldout}
            save_checkpoint(self.checkpoint, self.state.checkpointed, self.state.optimizer, rows)
