"""Scores of predictions that a benchmark made itself, in per cent."""

from collections.abc import Mapping

from distil.evaluation.counts import Predictions, metric_from_counts, metric_of, per_row_counts
from distil.tasks.data import Task


def scores_by_model(task: Task, found: Mapping[str, Mapping[str, Predictions]]) -> dict[str, dict[str, float]]:
    """{model: {language: score}}, to two places, of {language: {model: predictions}}."""
    metric = metric_of(task.kind, task.labels)
    scores: dict[str, dict[str, float]] = {}
    for code, models in found.items():
        for name, each in models.items():
            counts = per_row_counts(each, task.labels, metric).sum(axis=0)
            scores.setdefault(name, {})[code] = round(100 * float(metric_from_counts(counts, metric).mean()), 2)
    return scores
