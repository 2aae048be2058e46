"""Predictions -> the JSON of docs/design.md (metrics/evaluate/MODEL/TASK.json) and the predictions behind it as CSV."""

import csv
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distil.files import write_json, write_text
from distil.metrics import accuracy, bootstrap_interval, confusion_matrix, label_scores, macro_f1, weighted_f1

METRIC = "weighted_f1"


class Predictions(NamedTuple):
    """One language's test rows and what a model said of them, as numbers of labels."""

    gold: np.ndarray  # (N,) int64
    predicted: dict[int, np.ndarray]  # seed -> (N,) int64
    train_rows: int


def score(
    model: str, task: str, kind: str, labels: list[str], mode: str | None, found: dict[str, Predictions], resamples: int
) -> dict[str, Any]:
    """Scores by language, with bootstrap intervals, and their means; shapes in docs/design.md."""
    languages = {language: _score_language(predictions, labels, resamples) for language, predictions in found.items()}
    names = (METRIC, "macro_f1", "accuracy")
    mean = {name: round(float(np.mean([scores[name] for scores in languages.values()])), 6) for name in names}
    return {
        "model": model, "task": task, "kind": kind, "labels": labels, "metric": METRIC, "languages_mode": mode,
        "languages": languages, "mean": mean,
    }  # fmt: skip


def _score_language(predictions: Predictions, labels: list[str], resamples: int) -> dict[str, Any]:
    gold, count = predictions.gold, len(labels)
    matrices = [confusion_matrix(gold, predicted, count) for predicted in predictions.predicted.values()]
    by_seed = [
        {"seed": seed, METRIC: round(float(weighted_f1(matrix)), 6), "macro_f1": round(float(macro_f1(matrix)), 6),
         "accuracy": round(float(accuracy(matrix)), 6)}
        for seed, matrix in zip(predictions.predicted, matrices, strict=True)
    ]  # fmt: skip
    total = np.sum(matrices, axis=0)
    by_label = label_scores(total)
    stacked = np.stack(list(predictions.predicted.values()))
    interval = bootstrap_interval(gold, stacked, count, resamples, np.random.default_rng(0))
    return {
        "n": len(gold),
        "n_train": predictions.train_rows,
        **{name: round(float(np.mean([s[name] for s in by_seed])), 6) for name in (METRIC, "macro_f1", "accuracy")},
        "interval_95": [round(bound, 6) for bound in interval],
        "per_label": {
            label: {"precision": round(float(by_label.precision[number]), 6),
                    "recall": round(float(by_label.recall[number]), 6),
                    "f1": round(float(by_label.f1[number]), 6), "n": int(np.sum(gold == number))}
            for number, label in enumerate(labels)
        },
        "confusion": total.tolist(),
        "seeds": by_seed,
    }  # fmt: skip


def write_scores(metrics: Path, scores: dict[str, Any], found: dict[str, Predictions]) -> None:
    """Write evaluate/MODEL/TASK.json and predictions/MODEL/TASK.csv (seed, language, row, gold, predicted label)."""
    labels, model, task = scores["labels"], scores["model"], scores["task"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["seed", "language", "row", "gold", "predicted"])
    for language, predictions in found.items():
        for seed, predicted in predictions.predicted.items():
            for row, pair in enumerate(zip(predictions.gold, predicted, strict=True)):
                writer.writerow([seed, language, row, *(labels[number] for number in pair)])
    write_text(metrics / "predictions" / model / f"{task}.csv", stream.getvalue())
    write_json(metrics / "evaluate" / model / f"{task}.json", scores)
