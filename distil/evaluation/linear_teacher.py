"""The linear TF-IDF model of the baselines as a teacher: calibrated soft labels.

On the rows that it was fitted on, a linear model is almost always sure and right, which says nothing. So the training
rows are predicted out of fold: each by a model that has not seen it. The scores become probabilities by a logistic
regression on the out-of-fold scores (Platt 1999, for several classes). For languages with few labels see
evaluation/pooled_teacher.py.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline

from distil.evaluation.baselines import SEED, documents, fit, label_numbers, linear_model
from distil.tasks.data import Row, Task, TextRow

FOLDS = 5
LEAST = 1e-6  # probability of a label that no training row has


def linear_soft_labels(task: Task, language: str, splits: Sequence[str]) -> dict[str, np.ndarray]:
    """(units, C) float32 log-probabilities of some splits, `train` and `unlabelled` among the possible ones.

    One model a language, as in the baselines. Where a fold would see one label only, each row gets the labels'
    frequencies in train.
    """
    inputs = {split: documents(task, language, split) for split in {"train": None} | dict.fromkeys(splits)}
    gold, classes = label_numbers(task, language, "train"), len(task.labels)
    held_out = out_of_fold(linear_model(task.kind), inputs["train"], gold, training_unit_rows(task, language), classes)
    if held_out is None:
        return {split: frequencies(gold, classes, len(inputs[split])) for split in splits}
    calibration = LogisticRegression(max_iter=1000).fit(held_out, gold)
    model = fit(linear_model(task.kind), inputs["train"], gold)
    scores = {split: decision_scores(model, each, classes) for split, each in inputs.items()} | {"train": held_out}
    return {split: calibrated(calibration, scores[split]) for split in splits}


def frequencies(gold: np.ndarray, classes: int, units: int) -> np.ndarray:
    """(units, C) float32 logs of the labels' frequencies in `gold`."""
    return _log(np.tile(np.bincount(gold, minlength=classes) / len(gold), (units, 1)))


def calibrated(calibration: LogisticRegression, scores: np.ndarray) -> np.ndarray:
    """(U, C) float32 log-probabilities of (U, C) scores."""
    probs = np.zeros(scores.shape)
    if len(scores):
        probs[:, calibration.classes_] = calibration.predict_proba(scores)
    return _log(probs)


def training_unit_rows(task: Task, language: str) -> np.ndarray:
    """(U,) the row of each training unit: the words of a sentence, and its two views, are held out together."""
    return np.array(task.row_numbers(language), np.int64)[unit_rows(task.rows(language, "train"))]


def unit_rows(rows: Sequence[Row]) -> np.ndarray:
    """(U,) the row that each unit is of."""
    return np.repeat(np.arange(len(rows)), [1 if isinstance(row, TextRow) else len(row.tokens) for row in rows])


def out_of_fold(
    model: Pipeline, inputs: Sequence[object], gold: np.ndarray, rows: np.ndarray, classes: int
) -> np.ndarray | None:
    """`decision_scores` of each unit from a model that was fitted without its row.

    Args:
        model: a new copy is fitted for each fold; this one is not changed.
        inputs: U units.
        gold: (U,) numbers of their labels.
        rows: (U,) row of each unit; those of one row are held out together.
        classes: C.

    Returns:
        (U, C), or None where some fold would see one label only.
    """
    found = np.zeros((len(gold), classes))
    parts = row_folds(gold, rows)
    if not parts or any(len(np.unique(gold[seen])) < 2 for seen, _ in parts):
        return None
    for seen, held in parts:
        seeing = fit(clone(model), [inputs[unit] for unit in seen], gold[seen])
        found[held] = decision_scores(seeing, [inputs[unit] for unit in held], classes)
    return found


def row_folds(gold: np.ndarray, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The units that are seen and those that are held out, FOLDS times; none where there is too little to split."""
    folds = min(FOLDS, len(np.unique(rows)))
    if folds < 2 or len(np.unique(gold)) < 2:
        return []
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # it is in some folds, then
        return list(splitter.split(np.zeros((len(gold), 1)), gold, rows))


def decision_scores(model: Pipeline, inputs: Sequence[object], classes: int) -> np.ndarray:
    """(U, C) distances to the hyperplanes; a label that the model does not know is below all others."""
    if not len(inputs):
        return np.zeros((0, classes))
    scores = np.asarray(model.decision_function(inputs), np.float64)
    if scores.ndim == 1:  # two labels
        scores = np.stack([-scores, scores], axis=1)
    found = np.tile(scores.min(axis=1, keepdims=True) - 1, (1, classes))
    found[:, model.classes_] = scores
    return found


def _log(probs: np.ndarray) -> np.ndarray:
    floored = np.maximum(probs, LEAST)
    return np.log(floored / floored.sum(axis=1, keepdims=True)).astype(np.float32)
