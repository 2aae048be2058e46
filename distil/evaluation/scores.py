"""Scores of one model on one task, language by language: the JSON of metrics/evaluate/MODEL/TASK.json."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from distil.evaluation.bootstrap import interval, resample
from distil.evaluation.counts import (
    Metric,
    Predictions,
    TagPredictions,
    as_tags,
    flat_labels,
    metric_from_counts,
    metric_of,
    per_row_counts,
    types_of_tags,
)
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

TABLE_COLUMNS = ("task", "language", "model", "score", "low", "high")
SECONDARY_METRICS = ("weighted_f1", "macro_f1", "accuracy")  # given beside the metric, over labels or tags


PredictionsByLanguage = Mapping[str, Predictions | TagPredictions]


def score(
    model: str, task: str, kind: str, labels: list[str], mode: str | None, found: PredictionsByLanguage, resamples: int
) -> dict[str, Any]:
    """Scores by language, with bootstrap intervals, and their means; shapes in docs/reference/output-files.md."""
    metric = metric_of(kind, labels)
    languages, draws = {}, []
    for language, predictions in found.items():
        counts = per_row_counts(predictions, labels, metric)
        draws.append(resample(counts, partial(metric_from_counts, metric=metric), resamples, language).mean(axis=-1))
        languages[language] = _score_language(predictions, counts, draws[-1], labels, metric)
    mean = {
        name: round(float(np.mean([scores[name] for scores in languages.values()])), 6)
        for name in (metric, *SECONDARY_METRICS)
    }
    return {
        "model": model, "task": task, "kind": kind, "labels": labels, "metric": metric, "languages_mode": mode,
        "languages": languages, "mean": mean | {"interval_95": _rounded(interval(np.mean(draws, axis=0)))},
    }  # fmt: skip


def table_rows(scored: Mapping[str, Any]) -> list[list[str]]:
    """A model's scores of one task as rows of TABLE_COLUMNS, the mean last: points with the ends of their interval."""
    each = {**scored["languages"], "mean": scored["mean"]}
    points = {code: (found[scored["metric"]], *found["interval_95"]) for code, found in each.items()}
    return [
        [scored["task"], code, scored["model"], *(f"{100 * share:.2f}" for share in shares)]
        for code, shares in points.items()
    ]


def _score_language(
    predictions: Predictions | TagPredictions, counts: np.ndarray, draws: np.ndarray, labels: list[str], metric: Metric
) -> dict[str, Any]:
    flat = flat_labels(predictions, labels)
    matrices = np.stack([confusion_matrix(flat.gold, said, len(labels)) for said in flat.by_seed])
    shares = {"weighted_f1": weighted_f1(matrices), "macro_f1": macro_f1(matrices), "accuracy": accuracy(matrices)}
    shares |= {metric: metric_from_counts(counts.sum(axis=0), metric)}
    unseen: dict[str, Any] = {}
    if predictions.seen is not None:
        rest = counts[~predictions.seen]
        unseen["unseen"] = {
            "n": len(rest),
            metric: _mean(metric_from_counts(rest.sum(axis=0), metric)) if len(rest) else None,
        }
    return {
        "n": len(predictions.gold),
        "n_train": predictions.train_rows,
        **({"n_train_hidden": predictions.hidden_rows} if predictions.hidden_rows else {}),
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
        tags, names = as_tags(predictions), types_of_tags(labels)
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


def seen_rows(train: Iterable[str], test: Iterable[str]) -> np.ndarray:
    """(N,) bool: whether a test text counts as the same as one of the training texts (see distil/text/overlap.py)."""
    known = {fold_key(text) for text in train}
    return np.array([fold_key(text) in known for text in test], np.bool_)
