"""Scores of classifications from confusion counts, and of tagged sentences from their entities: numpy only, pure.

C labels. A confusion matrix has gold labels as rows and predicted ones as columns. Scores follow scikit-learn's
definitions with `labels` all C and `zero_division=0`, those of entities seqeval's; tests compare them to 1e-9.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Sentences = Sequence[Sequence[str]]  # tags of each


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


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """The entities of a tagged sentence, each as (type, first token, token after the last).

    Tags are O or B-, I-, E-, S- and a type (IOB2, IOBES). As in seqeval's default mode, which is conlleval's: an I-
    or E- that continues nothing begins an entity.
    """
    found, start, kind, before = set(), 0, "", "O"
    for at, tag in enumerate([*tags, "O"]):
        prefix, name = tag[:1], tag[2:]
        continues = prefix in ("I", "E") and before in ("B", "I") and name == kind
        if before != "O" and not continues:
            found.add((kind, start, at))
        if not continues:
            start = at
        kind, before = name, prefix
    return found


def entity_counts(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], kinds: Sequence[str]
) -> np.ndarray:
    """(N, K, 3) int64: of each sentence and entity type, entities found rightly, predicted ones, and gold ones."""
    numbers = {kind: number for number, kind in enumerate(kinds)}
    counts = np.zeros((len(gold), len(kinds), 3), np.int64)
    for row, (right, said) in enumerate(zip(gold, predicted, strict=True)):
        there, guessed = entities(right), entities(said)
        for place, spans in enumerate((there & guessed, guessed, there)):
            for kind, _, _ in spans:
                counts[row, numbers[kind], place] += 1
    return counts


def entity_scores(counts: np.ndarray) -> LabelScores:
    """Precision, recall and F1 from (..., 3) counts of `entity_counts`, summed over sentences; 0 where undefined.

    Summed over types too, the F1 is seqeval's (micro) `f1_score`.
    """
    hits, predicted, gold = counts[..., 0], counts[..., 1], counts[..., 2]
    return LabelScores(_share(hits, predicted), _share(hits, gold), _share(2 * hits, predicted + gold), gold)
