"""Predictions of one language, and what each row adds to a task's metric.

Fine-tuning chooses its epoch by these; intervals and tables (scores.py) build on them.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from distil.evaluation.metrics import entity_counts, entity_scores, weighted_f1

Metric = Literal["weighted_f1", "entity_f1"]

_ENTITY_TAG = re.compile(r"O|[BIES]-.+")


class Predictions(NamedTuple):
    """One language's test rows and what a model said of them, as numbers of labels."""

    gold: np.ndarray  # (N,) int64
    predicted: dict[int, np.ndarray]  # seed -> (N,) int64
    train_rows: int = 0
    seen: np.ndarray | None = None  # (N,) bool: the text is one of the training rows too
    hidden_rows: int = 0  # of train, whose label no model was told


class TagPredictions(NamedTuple):
    """One language's test sentences and the tags that a model gave them, as many as there are tokens."""

    gold: list[list[str]]  # N sentences
    predicted: dict[int, list[list[str]]]  # seed -> N sentences
    train_rows: int = 0
    seen: np.ndarray | None = None  # (N,) bool
    hidden_rows: int = 0  # of train, whose label no model was told


def metric_of(kind: str, labels: Sequence[str]) -> Metric:
    """What a task is judged by: entity F1 where labels are entity tags, otherwise weighted F1 over labels or tags."""
    tags = kind == "token_classification" and all(_ENTITY_TAG.fullmatch(label) for label in labels)
    return "entity_f1" if tags else "weighted_f1"


def per_row_counts(predictions: Predictions | TagPredictions, labels: Sequence[str], metric: Metric) -> np.ndarray:
    """What each row adds to the metric.

    Returns:
        (N, S, C, C) confusion counts of each of S seeds, or for entity F1 (N, S, 3): found, predicted, gold entities.
    """
    if metric == "entity_f1":
        tags, kinds = as_tags(predictions), types_of_tags(labels)
        return np.stack([entity_counts(tags.gold, said, kinds).sum(axis=1) for said in tags.predicted.values()], axis=1)
    flat = flat_labels(predictions, labels)
    counts = np.zeros((len(predictions.gold), len(flat.by_seed), len(labels), len(labels)), np.int64)
    for seed, said in enumerate(flat.by_seed):
        np.add.at(counts, (flat.rows, np.full_like(flat.rows, seed), flat.gold, said), 1)
    return counts


def metric_from_counts(totals: np.ndarray, metric: Metric) -> np.ndarray:
    """The metric from sums of `per_row_counts` over rows: (..., C, C) or (..., 3) to (...)."""
    return entity_scores(totals).f1 if metric == "entity_f1" else weighted_f1(totals)


def types_of_tags(labels: Sequence[str]) -> list[str]:
    """The types behind entity tags, in the order of the labels: PER, ORG of O, B-PER, I-PER, B-ORG."""
    return list(dict.fromkeys(label[2:] for label in labels if label != "O"))


def as_tags(predictions: Predictions | TagPredictions) -> TagPredictions:
    """The predictions of a tagger; anything else is a mistake of the caller."""
    assert isinstance(predictions, TagPredictions), "entity F1 needs tags"
    return predictions


class FlatLabels(NamedTuple):
    """Labels of T texts, or of the T tokens of all sentences, as numbers."""

    gold: np.ndarray  # (T,)
    by_seed: list[np.ndarray]  # each (T,)
    rows: np.ndarray  # (T,) the row that each belongs to


def flat_labels(predictions: Predictions | TagPredictions, labels: Sequence[str]) -> FlatLabels:
    """Labels of all texts, or tags of all tokens, as numbers."""
    if isinstance(predictions, Predictions):
        return FlatLabels(predictions.gold, list(predictions.predicted.values()), np.arange(len(predictions.gold)))
    number = {label: at for at, label in enumerate(labels)}

    def numbers(sentences: list[list[str]]) -> np.ndarray:
        return np.array([number[tag] for tags in sentences for tag in tags], np.int64)

    rows = np.repeat(np.arange(len(predictions.gold)), [len(tags) for tags in predictions.gold])
    return FlatLabels(numbers(predictions.gold), [numbers(said) for said in predictions.predicted.values()], rows)
