"""Predictions -> the JSON of docs/design.md (metrics/evaluate/MODEL/TASK.json) and the predictions behind it as CSV."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from distil.core.files import write_json, write_text
from distil.evaluation.bootstrap import interval, resample
from distil.evaluation.metrics import (
    LabelScores,
    accuracy,
    confusion_matrix,
    entity_counts,
    entity_scores,
    label_scores,
    macro_f1,
    weighted_f1,
)
from distil.text.overlap import fold_key

Metric = Literal["weighted_f1", "entity_f1"]
ALSO = ("weighted_f1", "macro_f1", "accuracy")  # given beside the metric, over labels or tags

_ENTITY_TAG = re.compile(r"O|[BIES]-.+")


class Predictions(NamedTuple):
    """One language's test rows and what a model said of them, as numbers of labels."""

    gold: np.ndarray  # (N,) int64
    predicted: dict[int, np.ndarray]  # seed -> (N,) int64
    train_rows: int
    seen: np.ndarray | None = None  # (N,) bool: the text is one of the training rows too


class TagPredictions(NamedTuple):
    """One language's test sentences and the tags that a model gave them, as many as there are tokens."""

    gold: list[list[str]]  # N sentences
    predicted: dict[int, list[list[str]]]  # seed -> N sentences
    train_rows: int
    seen: np.ndarray | None = None  # (N,) bool


Found = Mapping[str, Predictions | TagPredictions]


def seen_rows(train: Iterable[str], test: Iterable[str]) -> np.ndarray:
    """(N,) bool: whether a test text counts as the same as one of the training texts (see distil/text/overlap.py)."""
    known = {fold_key(text) for text in train}
    return np.array([fold_key(text) in known for text in test], np.bool_)


def metric_of(kind: str, labels: Sequence[str]) -> Metric:
    """What a task is judged by: entity F1 where labels are entity tags, otherwise weighted F1 over labels or tags."""
    tags = kind == "token_classification" and all(_ENTITY_TAG.fullmatch(label) for label in labels)
    return "entity_f1" if tags else "weighted_f1"


def score(
    model: str, task: str, kind: str, labels: list[str], mode: str | None, found: Found, resamples: int
) -> dict[str, Any]:
    """Scores by language, with bootstrap intervals, and their means; shapes in docs/design.md."""
    metric = metric_of(kind, labels)
    languages, draws = {}, []
    for language, predictions in found.items():
        counts = row_counts(predictions, labels, metric)
        draws.append(resample(counts, partial(from_totals, metric=metric), resamples, language).mean(axis=-1))
        languages[language] = _score_language(predictions, counts, draws[-1], labels, metric)
    mean = {name: round(float(np.mean([scores[name] for scores in languages.values()])), 6) for name in (metric, *ALSO)}
    return {
        "model": model, "task": task, "kind": kind, "labels": labels, "metric": metric, "languages_mode": mode,
        "languages": languages, "mean": mean | {"interval_95": _rounded(interval(np.mean(draws, axis=0)))},
    }  # fmt: skip


def row_counts(predictions: Predictions | TagPredictions, labels: Sequence[str], metric: Metric) -> np.ndarray:
    """What each row adds to the metric.

    Returns:
        (N, S, C, C) confusion counts of each of S seeds, or for entity F1 (N, S, 3): found, predicted, gold entities.
    """
    if metric == "entity_f1":
        tags, kinds = _tags(predictions), entity_types(labels)
        return np.stack([entity_counts(tags.gold, said, kinds).sum(axis=1) for said in tags.predicted.values()], axis=1)
    flat = _flat(predictions, labels)
    counts = np.zeros((len(predictions.gold), len(flat.by_seed), len(labels), len(labels)), np.int64)
    for seed, said in enumerate(flat.by_seed):
        np.add.at(counts, (flat.rows, np.full_like(flat.rows, seed), flat.gold, said), 1)
    return counts


def from_totals(totals: np.ndarray, metric: Metric) -> np.ndarray:
    """The metric from sums of `row_counts` over rows: (..., C, C) or (..., 3) to (...)."""
    return entity_scores(totals).f1 if metric == "entity_f1" else weighted_f1(totals)


def entity_types(labels: Sequence[str]) -> list[str]:
    """The types behind entity tags, in the order of the labels: PER, ORG of O, B-PER, I-PER, B-ORG."""
    return list(dict.fromkeys(label[2:] for label in labels if label != "O"))


def _tags(predictions: Predictions | TagPredictions) -> TagPredictions:
    assert isinstance(predictions, TagPredictions), "entity F1 needs tags"
    return predictions


class _Flat(NamedTuple):
    """Labels of T texts, or of the T tokens of all sentences, as numbers."""

    gold: np.ndarray  # (T,)
    by_seed: list[np.ndarray]  # each (T,)
    rows: np.ndarray  # (T,) the row that each belongs to


def _flat(predictions: Predictions | TagPredictions, labels: Sequence[str]) -> _Flat:
    if isinstance(predictions, Predictions):
        return _Flat(predictions.gold, list(predictions.predicted.values()), np.arange(len(predictions.gold)))
    number = {label: at for at, label in enumerate(labels)}

    def numbers(sentences: list[list[str]]) -> np.ndarray:
        return np.array([number[tag] for tags in sentences for tag in tags], np.int64)

    rows = np.repeat(np.arange(len(predictions.gold)), [len(tags) for tags in predictions.gold])
    return _Flat(numbers(predictions.gold), [numbers(said) for said in predictions.predicted.values()], rows)


def _score_language(
    predictions: Predictions | TagPredictions, counts: np.ndarray, draws: np.ndarray, labels: list[str], metric: Metric
) -> dict[str, Any]:
    flat = _flat(predictions, labels)
    matrices = np.stack([confusion_matrix(flat.gold, said, len(labels)) for said in flat.by_seed])
    shares = {"weighted_f1": weighted_f1(matrices), "macro_f1": macro_f1(matrices), "accuracy": accuracy(matrices)}
    shares |= {metric: from_totals(counts.sum(axis=0), metric)}
    unseen: dict[str, Any] = {}
    if predictions.seen is not None:
        rest = counts[~predictions.seen]
        unseen["unseen"] = {"n": len(rest), metric: _mean(from_totals(rest.sum(axis=0), metric)) if len(rest) else None}
    return {
        "n": len(predictions.gold),
        "n_train": predictions.train_rows,
        **{name: _mean(values) for name, values in shares.items()},
        "interval_95": _rounded(interval(draws)),
        **unseen,
        "per_label": _by_label(predictions, matrices.sum(axis=0), labels, metric),
        "confusion": matrices.sum(axis=0).tolist(),
        "seeds": [
            {"seed": seed, **{name: round(float(values[place]), 6) for name, values in shares.items()}}
            for place, seed in enumerate(predictions.predicted)
        ],
    }


def _by_label(
    predictions: Predictions | TagPredictions, confusion: np.ndarray, labels: list[str], metric: Metric
) -> dict[str, dict[str, float | int]]:
    """Scores of each label, or of each entity type, over all seeds together; `n` counts gold cases once."""
    names, scores = labels, label_scores(confusion)
    if metric == "entity_f1":
        tags, names = _tags(predictions), entity_types(labels)
        counts = [entity_counts(tags.gold, said, names).sum(axis=0) for said in tags.predicted.values()]
        scores = entity_scores(np.sum(counts, axis=0))
    return {name: _one_label(scores, at, len(predictions.predicted)) for at, name in enumerate(names)}


def _one_label(scores: LabelScores, at: int, seeds: int) -> dict[str, float | int]:
    shares = {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}
    rounded: dict[str, float | int] = {name: round(float(values[at]), 6) for name, values in shares.items()}
    return rounded | {"n": int(scores.support[at]) // seeds}


def _mean(values: np.ndarray) -> float:
    return round(float(np.mean(values)), 6)


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 6) for value in values]


def write_scores(metrics: Path, scores: dict[str, Any], found: Found) -> None:
    """Write evaluate/MODEL/TASK.json and predictions/MODEL/TASK.csv (seed, language, row, gold, predicted).

    A row is a text with its label, or a sentence with its tags joined by single spaces.
    """
    labels, model, task = scores["labels"], scores["model"], scores["task"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["seed", "language", "row", "gold", "predicted"])
    for language, predictions in found.items():
        for seed, predicted in predictions.predicted.items():
            for row, pair in enumerate(zip(predictions.gold, predicted, strict=True)):
                texts = [" ".join(said) if isinstance(said, list) else labels[said] for said in pair]
                writer.writerow([seed, language, row, *texts])
    write_text(metrics / "predictions" / model / f"{task}.csv", stream.getvalue())
    write_json(metrics / "evaluate" / model / f"{task}.json", scores)
