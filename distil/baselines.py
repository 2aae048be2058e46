"""What needs no neural network: the most frequent label, and a linear model on TF-IDF, one a language."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.svm import LinearSVC

from distil.scoring import Predictions
from distil.tasks import Task

SEED = 0  # neither baseline depends on a seed; the JSON names one


def majority(task: Task, language: str) -> Predictions:
    """The most frequent label of train for every test row; of equally frequent ones the first."""
    train, test = _labels(task, language, "train"), _labels(task, language, "test")
    most = int(np.bincount(train, minlength=len(task.labels)).argmax())
    return Predictions(test, {SEED: np.full(len(test), most)}, len(train))


def tfidf(task: Task, language: str) -> Predictions:
    """Words (1-2 in a row) and characters within words (2-5), sublinear TF-IDF, linear support vector machine."""
    train, test = _labels(task, language, "train"), _labels(task, language, "test")
    if len(np.unique(train)) < 2:
        return majority(task, language)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = Pipeline([
        ("features", FeatureUnion([("words", words), ("characters", characters)])),
        ("classifier", LinearSVC(random_state=SEED)),
    ])  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit([row.text for row in task.text_rows(language, "train")], train)
    predicted = model.predict([row.text for row in task.text_rows(language, "test")])
    return Predictions(test, {SEED: np.asarray(predicted, np.int64)}, len(train))


def _labels(task: Task, language: str, split: str) -> np.ndarray:
    return np.array([task.labels.index(row.label) for row in task.text_rows(language, split)], np.int64)
