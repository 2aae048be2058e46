"""Labels from a rival's graph, for rows encoded as in fine-tuning, so that every model answers the same units."""

from pathlib import Path

import numpy as np
import torch

from distil.evaluation.counts import Predictions, TagPredictions, metric_from_counts, metric_of, per_row_counts
from distil.finetuning.classifier import decode_labels, to_predictions
from distil.finetuning.encoding import Encoded
from distil.finetuning.saved_models import Scored
from distil.serving.runtime import OnnxRuntime, each_row
from distil.tasks.data import Task


def open_graph(folder: Path) -> OnnxRuntime:
    """model.onnx of a rival, with as many threads as torch has."""
    return OnnxRuntime(folder / "model.onnx", torch.get_num_threads())


def graph_scores(runtime: OnnxRuntime, rows: Encoded, pad_id: int, labels: int) -> np.ndarray:
    """(U, C) float32 unnormalised scores of the units; nan for one without a place."""
    found = np.full((len(rows.gold), labels), np.nan, np.float32)
    for row, logits in each_row(runtime, rows.ids, pad_id, labels):
        units = slice(int(rows.starts[row]), int(rows.starts[row + 1]))
        places = rows.places[units]
        found[units][places >= 0] = logits if logits.ndim == 1 else logits[places[places >= 0]]
    return found


def predictions(scores: dict[int, Scored], rows: Encoded, task: Task) -> Predictions | TagPredictions:
    """Labels from the scores of each seed."""
    decided = {
        seed: decode_labels(each.logits, rows, task.kind, task.labels, each.transitions)
        for seed, each in scores.items()
    }
    return to_predictions(rows, decided, task.kind, task.labels)


def score_of(scores: Scored, rows: Encoded, task: Task) -> float:
    """The task's metric, 0 to 1."""
    metric = metric_of(task.kind, task.labels)
    counts = per_row_counts(predictions({0: scores}, rows, task), task.labels, metric)
    return round(float(metric_from_counts(counts.sum(axis=0), metric)[0]), 6)
