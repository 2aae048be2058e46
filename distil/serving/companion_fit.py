"""Fit the linear model that is served beside an exported classifier of texts or words (linear_companion.py).

One model a language, a linear support vector machine as in the baselines, on hashed features without document
frequencies. Its probabilities are calibrated on scores out of fold (evaluation/linear_teacher.py); its share in the
mixture is the one of least dev loss (evaluation/teacher_mixture.py). U units: the texts or words of a task; C labels.
"""

import shutil
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from distil.core.errors import UserError
from distil.core.files import atomic_folder, read_json, sha256_file, write_json
from distil.evaluation.baselines import SEED, fit, label_numbers
from distil.evaluation.config import CompanionConfig
from distil.evaluation.counts import Predictions, TagPredictions
from distil.evaluation.linear_teacher import LEAST, out_of_fold, training_unit_rows
from distil.evaluation.teacher_mixture import mixture_weights
from distil.serving.hashed_ngrams import Features, hashed_ngrams, hashed_windows
from distil.serving.linear_companion import COMPANION_FILE, LanguageModel, LinearCompanion, LinearModel
from distil.serving.predictor import Predictor, logs, softmax
from distil.tasks.data import Task
from distil.tasks.tag_decoding import Decoder


class _Split(NamedTuple):
    texts: list[Features]  # of each row, which tell its language
    units: list[Features]
    starts: np.ndarray  # (rows + 1,) the units of row n are starts[n]:starts[n + 1]
    gold: np.ndarray  # (U,) numbers of the labels
    student: np.ndarray  # (U, C) probabilities of the classifier, nan of a word that it cannot read; 0 in train


class Fitted(NamedTuple):
    """The companion of a task and what the mixture says of its test rows."""

    companion: LinearCompanion
    predictions: dict[str, Predictions | TagPredictions]  # by language
    figures: dict[str, dict[str, float]]  # by language: share, dev loss, share of dev rows whose language is guessed


def fit_companion(task: Task, predictor: Predictor, languages: Sequence[str], config: CompanionConfig) -> Fitted:
    """Fit it on a task's training rows, weigh it on the dev rows, and predict the test rows.

    Args:
        task: of texts or words.
        predictor: the exported classifier, without a companion.
        languages: of params.yaml.
        config: section `evaluate.linear_companion:`.

    Raises:
        UserError: a language's training rows have one label only.
    """
    read = {(code, split): _read(task, code, split, predictor, config.bits)
            for code in languages for split in ("train", "dev", "test")}  # fmt: skip
    guesser = None
    if len(languages) > 1:
        stacked = [features for code in languages for features in read[code, "train"].texts]
        said = np.repeat(np.arange(len(languages)), [len(read[code, "train"].texts) for code in languages])
        guesser = _rounded(fit(_svm(config.bits), stacked, said))
    models = {
        code: _fit_language(task, code, read[code, "train"], read[code, "dev"], config.bits) for code in languages
    }
    companion = LinearCompanion(config.bits, models, guesser)
    predictions, figures = {}, {}
    for code in languages:
        dev, test = read[code, "dev"], read[code, "test"]
        mixed = {split: np.array([companion.mix_features(*features, probs, code) for features, probs in zip(
                     each.units, each.student, strict=True)]).reshape(-1, len(task.labels))
                 for split, each in (("dev", dev), ("test", test))}  # fmt: skip
        guessed = [companion.guess(*features) == code for features in dev.texts]
        predictions[code] = _predictions(task, code, test, mixed["test"])
        own = mixed["dev"][np.arange(len(dev.gold)), dev.gold]
        own = own[~np.isnan(own)]
        figures[code] = {
            "share": round(models[code].share, 6),
            "dev_loss": round(float(-np.log(own).mean()), 6) if len(own) else 0.0,
            "language_guessed": round(float(np.mean(guessed)), 6) if guessed else 0.0,
        }
    return Fitted(companion, predictions, figures)


def _predictions(task: Task, code: str, test: _Split, mixed: np.ndarray) -> Predictions | TagPredictions:
    """What a served folder says of the test rows (`Predictor`), from the (U, C) mixture."""
    if task.kind == "text_classification":
        return Predictions(test.gold, {SEED: mixed.argmax(axis=1)})
    decode, placed = Decoder(task.labels, None), ~np.isnan(mixed).any(axis=1)
    said = [[task.labels[number] for number in decode(logs(mixed[start:stop]), placed[start:stop])]
            for start, stop in pairwise(test.starts.tolist())]  # fmt: skip
    return TagPredictions([row.tags for row in task.token_rows(code, "test")], {SEED: said})


def write_companion(fitted: Fitted, exported: Path, out: Path) -> None:
    """Write `out`: the exported folder, its manifest with the companion, and linear.npz."""
    with atomic_folder(out) as folder:
        shutil.copytree(exported, folder, dirs_exist_ok=True)
        fitted.companion.save(folder)
        manifest: dict[str, Any] = read_json(folder / "manifest.json", "export")
        sums = manifest["sha256"] | {COMPANION_FILE: sha256_file(folder / COMPANION_FILE)}
        write_json(folder / "manifest.json", {**manifest, "sha256": sums, "linear_companion": fitted.figures})


def _read(task: Task, code: str, split: str, predictor: Predictor, bits: int) -> _Split:
    texts, gold = task.texts(code, split), label_numbers(task, code, split)
    found, student = [hashed_ngrams(text, bits) for text in texts], np.zeros((len(gold), len(task.labels)))
    if task.kind == "text_classification":
        if split != "train":
            for row, logits in predictor.rows(predictor.encode(texts)):
                student[row] = softmax(logits.astype(np.float64))
        return _Split(found, found, np.arange(len(texts) + 1), gold, student)
    sentences = [row.tokens for row in task.token_rows(code, split)]
    starts = np.cumsum([0, *map(len, sentences)])
    if split != "train":
        scored = predictor.word_logits(predictor.encode_words(sentences))
        for start, (logits, placed) in zip(starts, scored, strict=False):
            probs = predictor.word_probs(logits, placed)
            student[start : start + len(probs)] = np.where(placed[:, None], probs, np.nan)
    return _Split(found, [word for each in sentences for word in hashed_windows(each, bits)], starts, gold, student)


def _matrix(features: Sequence[Features], bits: int) -> csr_matrix:
    """(U, F) features of texts from those of each."""
    starts = np.cumsum([0, *(len(rows) for rows, _ in features)])
    rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in features)])
    values = np.concatenate([np.empty(0), *(values for _, values in features)])
    return csr_matrix((values, rows, starts), shape=(len(features), 2 << bits))


def _svm(bits: int) -> Pipeline:
    return make_pipeline(FunctionTransformer(partial(_matrix, bits=bits)), LinearSVC(random_state=SEED))


def _rounded(model: Pipeline) -> LinearModel:
    """Weights in 8 bits with a scale for each class."""
    machine = model[-1]
    weights, intercept = machine.coef_, machine.intercept_
    if len(weights) == 1:  # two classes
        weights, intercept = np.concatenate([-weights, weights]), np.concatenate([-intercept, intercept])
    scales = np.maximum(np.abs(weights).max(axis=1), 1e-12) / 127
    return LinearModel(
        np.round(weights / scales[:, None]).T.astype(np.int8), scales.astype(np.float32), intercept.astype(np.float32)
    )


def _fit_language(task: Task, code: str, train: _Split, dev: _Split, bits: int) -> LanguageModel:
    gold, classes = train.gold, len(task.labels)
    held_out = out_of_fold(_svm(bits), train.units, gold, training_unit_rows(task, code), classes)
    if held_out is None:
        raise UserError(
            f"{task.folder}/{code}/train.jsonl: expected enough rows of two labels for a linear model, found "
            f"{np.bincount(gold, minlength=classes).tolist()} by label; take the task out of "
            "evaluate.linear_companion.tasks"
        )
    model = fit(_svm(bits), train.units, gold)
    calibration = LogisticRegression(max_iter=1000).fit(held_out, gold)
    coef, intercept = calibration.coef_, calibration.intercept_
    if len(coef) == 1:  # two labels
        coef, intercept = np.concatenate([0 * coef, coef]), np.concatenate([0 * intercept, intercept])
    table = np.zeros((classes, classes + 1), np.float32)
    table[:, -1] = np.log(LEAST)  # of a label that no training row has
    table[calibration.classes_] = np.concatenate([coef, intercept[:, None]], axis=1)
    found = LanguageModel(_rounded(model), np.asarray(model.classes_, np.int64), table, 1.0)
    linear = np.array([found.log_probs(*features) for features in dev.units]).reshape(-1, classes)
    share = mixture_weights([np.log(np.maximum(dev.student, LEAST)), linear], dev.gold)[1]
    return found._replace(share=float(share))
