"""Bring a masked language model to a task: a new head, and all of the model trained with it.

The order of the rows depends on seed and epoch alone, so a killed run resumes from its checkpoint and ends with the
same weights, bit for bit.
"""

import copy
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from distil.compute.checkpoint import load_checkpoint, save_checkpoint
from distil.compute.guard import EVENTS_FILE, Action, Guard
from distil.compute.optimizer import adamw, set_learning_rate
from distil.evaluation.counts import metric_from_counts, metric_of, per_row_counts
from distil.finetuning.chain import RATE, TagChain
from distil.finetuning.classifier import (
    Classifier,
    decode_labels,
    load_classifier,
    predict_scores,
    to_predictions,
)
from distil.finetuning.config import FineTuningRecipe
from distil.finetuning.encoding import Encoded
from distil.finetuning.mean_pooling import init_mean_pooling
from distil.finetuning.ngrams import NgramOptimizer, new_table
from distil.finetuning.objective import unit_losses
from distil.finetuning.word_masks import WordMasks
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.runtime.progress import Progress

log = logging.getLogger("distil")

POOL_BATCHES = 50
MAX_GRAD_NORM = 1.0
MASK_STREAM = 1_000_000  # of random numbers: more than any number of epochs, which the order of rows takes
CHECKPOINT_SECONDS = 60.0  # between two checkpoints; when they fall changes no result
GUARDED_STEPS = 200  # between two where a guard may go back to the last one, which then must not depend on the clock


class TrainingRows(NamedTuple):
    """What one model is trained on, and chosen by."""

    kind: str
    labels: list[str]
    languages: list[str]
    train: Encoded  # all languages together
    dev: dict[str, Encoded]  # by language, of those that choose; without any the last epoch is kept
    pad_id: int


class FineTuned(NamedTuple):
    """The weights of the best epoch; of each epoch `epoch`, `loss`, `grad_norm` and each language's score."""

    model: Classifier
    best_epoch: int
    history: list[dict[str, float]]
    rows: int  # trained on by this process; fewer than in all where it went on from a checkpoint
    guard: dict[str, dict[str, float]]  # Guard.summary


class FineTuningStart(NamedTuple):
    """What a fine-tuning starts from."""

    folder: Path  # of the masked language model
    made_by: str  # the stage that writes it, named in errors
    max_length: int  # tokens of a row at most, as they were encoded
    seed: int  # dropout, order of the rows
    head_seed: int  # first weights of the head; the same as `seed`, or another where seeds share a head
    title: str  # of this run, in messages


def fine_tune(start: FineTuningStart, rows: TrainingRows, recipe: FineTuningRecipe, checkpoint: Path) -> FineTuned:
    """A classifier from a masked language model; the epoch with the best mean dev score over languages is kept.

    Without dev rows that is the last one.

    Args:
        start: the masked language model and what is drawn.
        rows: to train on and to choose by.
        recipe: optimisation.
        checkpoint: file from which a killed run of the very same inputs resumes; beside it `events_file` lists the
            steps that `recipe.guard` left out.

    Raises:
        UserError: the model does not load, or see `Guard.judge`.
    """
    recipe = recipe.for_rows(len(rows.train.ids))
    model = new_classifier(start, rows, recipe)
    if start.seed != start.head_seed:
        torch.manual_seed(start.seed)
    masks = None
    if recipe.unlabelled and recipe.unlabelled.mask_words:
        masks = WordMasks(load_tokenizer(start.folder, start.made_by), rows.train, recipe.unlabelled.mask_words)
    run = FineTuningRun(model, rows, recipe, start.seed, start.title, checkpoint, masks)
    run.restore()
    saved, before = time.monotonic(), run.state["rows"]
    with Progress(start.title, recipe.epochs * len(rows.train.ids), "rows") as progress:
        progress.skip(before)
        for epoch in range(run.state["epoch"], recipe.epochs):
            model.train()
            for batch in run.rest_of(epoch):
                progress.add(len(batch), f"loss {run.step(batch):.3f}")
                if run.checkpoint_is_due(time.monotonic() - saved):
                    run.save()
                    saved = time.monotonic()
            run.end_epoch()
    model.load_state_dict(run.best.state_dict())
    checkpoint.unlink(missing_ok=True)
    run.guard.write_events()
    return FineTuned(model.eval(), run.state["best_epoch"], run.state["history"], run.state["rows"] - before,
                     run.guard.summary())  # fmt: skip


def events_file(checkpoint: Path) -> Path:
    """Of the guard of a fine-tuning."""
    return checkpoint.with_suffix(f".{EVENTS_FILE}")


def new_classifier(start: FineTuningStart, rows: TrainingRows, recipe: FineTuningRecipe) -> Classifier:
    """The classifier before its first step; arguments and errors as of `fine_tune`."""
    torch.manual_seed(start.head_seed)
    model = load_classifier(
        start.folder, rows.kind, rows.labels, start.max_length, start.made_by, rows.languages,
        hidden_dropout_prob=recipe.dropout, attention_probs_dropout_prob=recipe.dropout,
    )  # fmt: skip
    if recipe.start == "pooled" and rows.kind == "text_classification":
        init_mean_pooling(model, rows.train, rows.pad_id, start.head_seed)
    if model.experts is not None:
        # As X-MOD is fine-tuned: what an expert reads and what the gate of languages reads stay as they are.
        transformer: Any = model.transformer
        transformer.freeze_embeddings_and_language_adapters()
    if recipe.ngrams:
        special = special_ids(load_tokenizer(start.folder, start.made_by))
        pieces = int(model.transformer.config.vocab_size)
        model.ngrams = new_table(recipe.ngrams, rows.kind, rows.labels, pieces, special).to(model.device)
    if recipe.tagger == "chain":
        model.chain = TagChain(rows.labels).to(model.device)
    return model


class FineTuningRun:
    """The state of one fine-tuning: what a checkpoint holds, and the step."""

    def __init__(
        self, model: Classifier, rows: TrainingRows, recipe: FineTuningRecipe, seed: int, title: str, checkpoint: Path,
        masks: WordMasks | None = None,
    ) -> None:  # fmt: skip
        self.model, self.rows, self.recipe, self.seed, self.title = model, rows, recipe, seed, title
        self.checkpoint, self.masks = checkpoint, masks
        self.guard = Guard(recipe.guard, title, "learning_rate in finetune: of params.yaml",
                           events_file(checkpoint) if recipe.guard else None)  # fmt: skip
        self.best = copy.deepcopy(model)
        self.optimizer = adamw(model.transformer.named_parameters(), recipe.learning_rate, recipe.weight_decay)
        self.clipped = list(model.transformer.parameters())
        if model.chain is not None:
            self.clipped.append(model.chain.transitions)
            self.optimizer.add_param_group({"params": [model.chain.transitions], "weight_decay": 0.0})
        self.trained: dict[str, nn.Module] = {"model": model}
        self.ngram_optimizer = None
        if model.ngrams is not None and recipe.ngrams:
            self.ngram_optimizer = NgramOptimizer(model.ngrams, recipe.ngrams.learning_rate)
            self.trained["ngram_optimizer"] = self.ngram_optimizer
        self.lengths = rows.train.lengths()
        self.steps = recipe.epochs * recipe.steps_per_epoch(len(self.lengths))
        self.warm = max(1, round(recipe.warmup_fraction * self.steps))
        self.state: dict[str, Any] = {
            "epoch": 0, "step": 0, "rows": 0, "done": 0, "taken": 0, "loss": 0.0, "grad_norm": 0.0, "best_epoch": 0,
            "best_score": -1.0, "history": [],
        }  # fmt: skip

    def restore(self) -> None:
        """Go on from the checkpoint, if there is one."""
        restored = load_checkpoint(self.checkpoint, {**self.trained, "best": self.best}, self.optimizer)
        if restored is not None:
            self.guard.state = restored.pop("guard")
            self.state = restored
            log.info("%s: continuing after step %d", self.title, self.state["step"])
        elif self.guard.on:
            self.save()  # there is always one to go back to

    def save(self) -> None:
        """Write a checkpoint."""
        state = {**self.state, "guard": self.guard.state}
        save_checkpoint(self.checkpoint, {**self.trained, "best": self.best}, self.optimizer, state)

    def checkpoint_is_due(self, seconds: float) -> bool:
        """Whether to write one after this step, `seconds` after the last."""
        if self.guard.on:
            return self.state["step"] % GUARDED_STEPS == 0 and self.guard.settled
        return seconds >= CHECKPOINT_SECONDS

    def rest_of(self, epoch: int) -> Iterator[np.ndarray]:
        """The rows of each batch of an epoch that is not done yet."""
        rng = np.random.default_rng([self.seed, epoch])
        for number, batch in enumerate(bucketed_batches(self.lengths, self.recipe.batch_size, rng)):
            if number >= self.state["done"]:
                yield batch

    def step(self, batch: np.ndarray) -> float:
        """One optimiser step, unless the guard leaves it out; returns its loss.

        Raises:
            UserError: see `Guard.judge`; names the step and the languages.
        """
        step, recipe = self.state["step"] + 1, self.recipe
        rate = min(step / self.warm, (self.steps - step + 1) / max(1, self.steps - self.warm + 1))
        set_learning_rate(self.optimizer, recipe.learning_rate * rate)
        if self.model.chain is not None:
            self.optimizer.param_groups[-1]["lr"] *= RATE
        losses = self._losses(batch)
        loss = losses.sum() / max(1, len(losses))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.clipped, MAX_GRAD_NORM)
        value = float(loss.detach())
        present = ", ".join(self.rows.languages[number] for number in np.unique(self.rows.train.languages[batch]))
        action = self.guard.judge(step, value, norm, f"{len(batch)} rows of {present}")
        if action is Action.TAKE:
            self.optimizer.step()
            if self.ngram_optimizer is not None:
                self.ngram_optimizer.step()
            self.state |= {"taken": self.state["taken"] + 1, "loss": self.state["loss"] + value,
                           "grad_norm": self.state["grad_norm"] + float(norm)}  # fmt: skip
        elif self.model.ngrams is not None:
            self.model.ngrams.zero_grad(set_to_none=True)
        if action is Action.ROLL_BACK:
            self.guard.roll_back(self.checkpoint, self.trained, self.optimizer)
        self.state |= {"step": step, "rows": self.state["rows"] + len(batch), "done": self.state["done"] + 1}
        return value

    def _losses(self, batch: np.ndarray) -> Tensor:
        """(B,) of the B units of some rows."""
        train = self.rows.train
        if self.masks is not None:  # drawn by the step, so a resumed run draws the same
            train = self.masks.apply(batch, np.random.default_rng([self.seed, MASK_STREAM, self.state["step"]]))
        return unit_losses(self.model, train, batch, self.recipe, self.rows.pad_id)

    def end_epoch(self) -> None:
        """Score the dev rows, keep the weights if they are the best so far, and turn to the next epoch."""
        scores = dev_scores(self.model, self.rows)
        mean, epoch = float(np.mean(list(scores.values()))) if scores else None, self.state["epoch"] + 1
        means = {name: round(self.state[name] / max(1, self.state["taken"]), 6) for name in ("loss", "grad_norm")}
        rounded = {language: round(score, 6) for language, score in scores.items()}
        self.state["history"].append({"epoch": epoch, **means, **rounded})
        said = "no dev rows, the last epoch is kept" if mean is None else f"mean dev score {mean:.3f}"
        log.info("%s: epoch %d of %d: %s", self.title, epoch, self.recipe.epochs, said)
        if mean is None or mean > self.state["best_score"]:
            self.state |= {"best_score": -1.0 if mean is None else mean, "best_epoch": epoch}
            self.best.load_state_dict(self.model.state_dict())
        self.state |= {"epoch": epoch, "done": 0, "taken": 0, "loss": 0.0, "grad_norm": 0.0}


def dev_scores(model: Classifier, rows: TrainingRows) -> dict[str, float]:
    """The task's metric on the dev rows of each language."""
    metric, scores = metric_of(rows.kind, rows.labels), {}
    for language, dev in rows.dev.items():
        scored = predict_scores(model, dev, rows.pad_id)
        decided = decode_labels(scored, dev, rows.kind, rows.labels, model.transitions)
        counts = per_row_counts(to_predictions(dev, {0: decided}, rows.kind, rows.labels), rows.labels, metric)
        scores[language] = float(metric_from_counts(counts.sum(axis=0), metric)[0])
    return scores


def bucketed_batches(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of each batch: shuffled, then sorted by length within pools, so that there is little padding."""
    order = rng.permutation(len(lengths))
    for start in range(0, len(order), POOL_BATCHES * batch_size):
        pool = order[start : start + POOL_BATCHES * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches = [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
        for number in rng.permutation(len(batches)):
            yield batches[number]
