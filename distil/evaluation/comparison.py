"""Every two models of a task on the same test rows: the difference of their scores with its interval.

A paired bootstrap draws the same rows for both models, so a difference or a ratio is far surer than the two separate
intervals say. Scores are means over a model's own seeds, which are not drawn (see distil/evaluation/bootstrap.py).
"""

from collections.abc import Mapping
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from distil.evaluation.bootstrap import interval, p_value, resample
from distil.evaluation.counts import Predictions, TagPredictions, metric_from_counts, metric_of, per_row_counts


class Resampled(NamedTuple):
    """A model's score in one language, as it is and in each of R resamples."""

    score: float
    draws: np.ndarray  # (R,)


PredictionsByModel = Mapping[str, Mapping[str, Predictions | TagPredictions]]  # language -> model -> predictions


def compare_models(
    task: str, kind: str, labels: list[str], found: PredictionsByModel, resamples: int
) -> dict[str, Any]:
    """Differences between every two models, and what share of the teacher's score each other model keeps.

    Args:
        task: its name.
        kind: of the task.
        labels: in the order of tables.
        found: predictions on the same rows by language and model; the models in the order of tables.
        resamples: of each language's rows.

    Returns:
        The content of metrics/compare/TASK.json, see docs/reference/output-files.md.
    """
    metric = metric_of(kind, labels)
    scored = {language: _resample(models, labels, metric, resamples, language) for language, models in found.items()}
    models = list(next(iter(scored.values())))
    scored_mean = {model: _mean([by_model[model] for by_model in scored.values()]) for model in models}
    return {
        "task": task, "metric": metric, "resamples": resamples, "models": models,
        "differences": [
            {"model": model, "baseline": other, "mean": _difference(scored_mean[model], scored_mean[other]),
             "languages": {code: _difference(each[model], each[other]) for code, each in scored.items()}}
            for model, other in combinations(models, 2)
        ],
        "retention": {
            model: {"mean": _ratio(scored_mean[model], scored_mean["teacher"]),
                    "languages": {code: _ratio(each[model], each["teacher"]) for code, each in scored.items()}}
            for model in models if model != "teacher" and "teacher" in models
        },
    }  # fmt: skip


def _resample(
    models: Mapping[str, Predictions | TagPredictions], labels: list[str], metric: Any, resamples: int, language: str
) -> dict[str, Resampled]:
    """All models of one language on the same draws of its rows."""
    counts = [per_row_counts(predictions, labels, metric) for predictions in models.values()]
    joined, statistic = np.concatenate(counts, axis=1), partial(metric_from_counts, metric=metric)
    ends = np.cumsum([each.shape[1] for each in counts])[:-1]
    scores = np.split(statistic(joined.sum(axis=0)), ends)
    draws = np.split(resample(joined, statistic, resamples, language), ends, axis=1)
    pairs = zip(models, scores, draws, strict=True)
    return {model: Resampled(float(score.mean()), drawn.mean(axis=1)) for model, score, drawn in pairs}


def _mean(languages: list[Resampled]) -> Resampled:
    """The mean over languages; each language's rows are drawn independently."""
    return Resampled(
        float(np.mean([each.score for each in languages])), np.mean([each.draws for each in languages], axis=0)
    )


def _difference(model: Resampled, other: Resampled) -> dict[str, Any]:
    draws = model.draws - other.draws
    return {
        "difference": round(model.score - other.score, 6),
        "interval_95": [round(bound, 6) for bound in interval(draws)],
        "p": round(p_value(draws), 6),
    }


def _ratio(model: Resampled, teacher: Resampled) -> dict[str, Any] | None:
    """None when the teacher scores 0; a draw in which it does has no ratio and is left out."""
    usable = teacher.draws > 0
    if teacher.score == 0 or not usable.any():
        return None
    draws = model.draws[usable] / teacher.draws[usable]
    return {
        "ratio": round(model.score / teacher.score, 6),
        "interval_95": [round(bound, 6) for bound in interval(draws)],
    }
