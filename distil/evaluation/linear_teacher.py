"""The linear TF-IDF model of the baselines as a teacher: calibrated soft labels.

On the rows that it was fitted on, a linear model is almost always sure and right, which says nothing. So the training
rows are predicted out of fold: each by a model that has not seen it. The scores become probabilities by a logistic
regression on the out-of-fold scores (Platt 1999, for several classes).
"""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline

from distil.evaluation.baselines import SEED, documents, fit, label_numbers, linear_model
from distil.tasks.data import Task

FOLDS = 5
LEAST = 1e-6  # probability of a label that no training row has


def linear_soft_labels(task: Task, language: str, splits: Sequence[str]) -> dict[str, np.ndarray]:
    """(units, C) float32 log-probabilities of some splits, `train` and `unlabelled` among the possible ones.

    One model a language, as in the baselines. Where a fold would see one label only, each row gets the labels'
    frequencies in train.
    """
    inputs = {split: documents(task, language, split) for split in {"train": None} | dict.fromkeys(splits)}
    gold, classes = label_numbers(task, language, "train"), len(task.labels)
    held_out = out_of_fold(linear_model(task.kind), inputs["train"], gold, _rows(task, language), classes)
    if held_out is None:
        usual = np.bincount(gold, minlength=classes) / len(gold)
        return {split: _log(np.tile(usual, (len(inputs[split]), 1))) for split in splits}
    calibration = LogisticRegression(max_iter=1000).fit(held_out, gold)
    model = fit(linear_model(task.kind), inputs["train"], gold)
    scores = {split: decision_scores(model, each, classes) for split, each in inputs.items()} | {"train": held_out}
    found = {}
    for split in splits:
        each = scores[split]
        probs = np.zeros((len(each), classes))
        if len(each):
            probs[:, calibration.classes_] = calibration.predict_proba(each)
        found[split] = _log(probs)
    return found


def _rows(task: Task, language: str) -> np.ndarray:
    """(U,) the row of each training unit: the words of a sentence are held out together."""
    rows = task.rows(language, "train")
    counts = [1 if task.kind == "text_classification" else len(row.tokens) for row in rows]  # type: ignore[union-attr]
    return np.repeat(np.arange(len(rows)), counts)


def out_of_fold(
    model: Pipeline, inputs: Sequence[object], gold: np.ndarray, rows: np.ndarray, classes: int
) -> np.ndarray | None:
    """`decision_scores` of each unit from a model that was fitted without its row.

    Args:
        model: fitted anew for each fold; stays as it is.
        inputs: U units.
        gold: (U,) numbers of their labels.
        rows: (U,) row of each unit; those of one row are held out together.
        classes: C.

    Returns:
        (U, C), or None where some fold would see one label only.
    """
    found = np.zeros((len(gold), classes))
    folds = min(FOLDS, len(np.unique(rows)))
    if folds < 2 or len(np.unique(gold)) < 2:
        return None
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # it is in some folds, then
        parts = list(splitter.split(np.zeros((len(gold), 1)), gold, rows))
    for seen, held in parts:
        if len(np.unique(gold[seen])) < 2:
            return None
        seeing = fit(clone(model), [inputs[unit] for unit in seen], gold[seen])
        found[held] = decision_scores(seeing, [inputs[unit] for unit in held], classes)
    return found


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
