"""Scores of classifications, from confusion counts: pure functions on arrays, numpy only.

C labels. A confusion matrix has gold labels as rows and predicted ones as columns. Scores follow scikit-learn's
definitions with `labels` all C and `zero_division=0`; tests compare them to 1e-9.
"""

from typing import NamedTuple

import numpy as np


class LabelScores(NamedTuple):
    """Scores of each label, shares from 0 to 1."""

    precision: np.ndarray  # (..., C)
    recall: np.ndarray  # (..., C)
    f1: np.ndarray  # (..., C)
    support: np.ndarray  # (..., C) gold rows


def confusion_matrix(gold: np.ndarray, predicted: np.ndarray, labels: int) -> np.ndarray:
    """(C, C) int64 counts from numbers of labels, gold (N,) and predicted (N,)."""
    return np.bincount(gold * labels + predicted, minlength=labels**2).reshape(labels, labels)


def label_scores(confusion: np.ndarray) -> LabelScores:
    """Precision, recall and F1 of each label from (..., C, C) counts; 0 where undefined."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    gold, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    return LabelScores(_share(hits, predicted), _share(hits, gold), _share(2 * hits, gold + predicted), gold)


def weighted_f1(confusion: np.ndarray) -> np.ndarray:
    """(...,) F1 of the labels, weighted by their gold rows, from (..., C, C) counts."""
    scores = label_scores(confusion)
    return _share((scores.f1 * scores.support).sum(axis=-1), scores.support.sum(axis=-1))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """(...,) plain mean of the labels' F1 from (..., C, C) counts."""
    return label_scores(confusion).f1.mean(axis=-1)


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """(...,) share of rows predicted right from (..., C, C) counts."""
    return _share(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def bootstrap_interval(
    gold: np.ndarray, predicted: np.ndarray, labels: int, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The 95 % percentile interval of weighted F1, the mean over seeds, when the rows are drawn anew.

    A row enters a score only by its gold label and its predictions, so drawing N rows is drawing the counts of the
    distinct combinations from one multinomial distribution: exact, and independent of N in time and memory.

    Args:
        gold: (N,) numbers of labels.
        predicted: (S, N) predictions of S seeds for the same rows.
        labels: C.
        resamples: how many.
        rng: decides the draws.
    """
    combinations, counts = np.unique(np.vstack([gold, predicted]), axis=1, return_counts=True)
    draws = rng.multinomial(counts.sum(), counts / counts.sum(), size=resamples)  # (resamples, combinations)
    scores = np.zeros(resamples)
    for column in combinations[1:]:
        cell = combinations[0] * labels + column
        into_cells = (cell[:, None] == np.arange(labels**2)).astype(np.int64)
        scores += weighted_f1((draws @ into_cells).reshape(resamples, labels, labels))
    low, high = np.percentile(scores / len(predicted), [2.5, 97.5])
    return float(low), float(high)
