"""Several teachers of one task as one: a mixture of their probabilities, weighted in each language by dev loss.

After Collective Wisdom (arXiv 2010.05445), in which teachers are weighted by their loss. Here the weights are those of
the mixture with the least dev loss. U units, C labels.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from distil.core.mixture import least_loss_weights
from distil.evaluation.counts import Predictions, TagPredictions
from distil.tasks.data import Task
from distil.tasks.tag_decoding import Decoder

SEED = 0  # a mixture has one prediction a row, whatever the seeds of its teachers


class Mixture(NamedTuple):
    """Soft labels of one language."""

    weights: dict[str, float]  # of each teacher, 1 in sum
    dev_loss: dict[str, float]  # nats a unit by teacher, and of `together`
    log_probs: dict[str, np.ndarray]  # (U, C) float32 by split


def mix_teachers(found: Mapping[str, Mapping[str, np.ndarray]], dev_gold: np.ndarray) -> Mixture:
    """One set of soft labels from those of K teachers.

    Args:
        found: (U, C) log-probabilities by teacher and split; nan where a teacher could not read a unit.
        dev_gold: (U,) labels of the dev units.
    """
    names = list(found)
    weights = mixture_weights([found[name]["dev"] for name in names], dev_gold)
    mixed = mix_by_weights(found, weights)
    losses = {name: _loss(found[name]["dev"], dev_gold) for name in names} | {
        "together": _loss(mixed.log_probs["dev"], dev_gold)
    }
    return mixed._replace(dev_loss=losses)


def mix_by_weights(found: Mapping[str, Mapping[str, np.ndarray]], weights: np.ndarray) -> Mixture:
    """As `mix_teachers` with (K,) weights that are given; it looks at no dev label and has no `dev_loss`."""
    names = list(found)
    splits = {split: weighted_mean([found[name][split] for name in names], weights) for split in found[names[0]]}
    return Mixture(dict(zip(names, weights.round(6).tolist(), strict=True)), {}, splits)


def mixture_weights(dev: Sequence[np.ndarray], gold: np.ndarray) -> np.ndarray:
    """(K,) weights that give the mixture the least loss on dev (distil/core/mixture.py).

    Args:
        dev: K arrays (U, C) of log-probabilities; a unit with nan is left out.
        gold: (U,) labels.
    """
    own = np.stack([each[np.arange(len(gold)), gold] for each in dev])  # (K, U)
    return least_loss_weights(own[:, ~np.isnan(own).any(axis=0)])


def weighted_mean(log_probs: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """(U, C) float32 logs of the weighted mean of K arrays of probabilities, of each unit over those that read it."""
    stacked = np.stack(log_probs).astype(np.float64)
    read = np.logical_not(np.isnan(stacked).any(axis=2))  # (K, U)
    shares = np.where(read, weights[:, None], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.where(read[..., None], stacked + np.log(shares / shares.sum(axis=0))[..., None], -np.inf)
        mean = np.logaddexp.reduce(logs, axis=0)
    mean[~read.any(axis=0)] = np.nan
    return mean.astype(np.float32)


def _loss(log_probs: np.ndarray, gold: np.ndarray) -> float:
    """Mean cross-entropy in nats of the units that were read; 0 without any."""
    own = log_probs[np.arange(len(gold)), gold]
    own = own[~np.isnan(own)]
    return round(float(-own.mean()), 6) + 0.0 if len(own) else 0.0


def mixture_predictions(task: Task, language: str, log_probs: np.ndarray) -> Predictions | TagPredictions:
    """The most probable label of each test row; of a sentence the most probable valid sequence of tags.

    Args:
        task: with its test rows.
        language: code.
        log_probs: (U, C) of the test units.
    """
    if task.kind == "text_classification":
        gold = np.array([task.labels.index(row.label) for row in task.text_rows(language, "test")], np.int64)
        return Predictions(gold, {SEED: log_probs.argmax(axis=1)})
    rows, decode = task.token_rows(language, "test"), Decoder(task.labels, None)
    placed = ~np.isnan(log_probs).any(axis=1)
    ends: Any = np.cumsum([0, *(len(row.tokens) for row in rows)])
    decided = [decode(log_probs[start:stop], placed[start:stop]) for start, stop in pairwise(ends)]
    said = [[task.labels[number] for number in numbers] for numbers in decided]
    return TagPredictions([row.tags for row in rows], {SEED: said})
