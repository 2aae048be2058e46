"""What needs no neural network, one model a language: the most frequent label, and a linear model on TF-IDF.

Of tagged sentences, majority gives each word the tag that it had most often in train, and the linear model sees a
token as a small text: itself by its characters, and its neighbours by their place.
"""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.svm import LinearSVC

from distil.evaluation.counts import Predictions, TagPredictions
from distil.tasks.data import Task, TokenRow

SEED = 0  # neither baseline depends on a seed; the JSON names one
CONTEXT_WORDS = 2  # words to either side of a token that the linear model sees


def majority(task: Task, language: str) -> Predictions | TagPredictions:
    """The most frequent label of train for every test row; of equally frequent ones the first of the task's labels.

    Of tagged sentences: of a word that is in train its most frequent tag, of any other the most frequent tag of all.
    """
    if task.kind == "token_classification":
        return _tags_by_word(task, language)
    train, test = _labels(task, language, "train"), _labels(task, language, "test")
    most = int(np.bincount(train, minlength=len(task.labels)).argmax())
    return Predictions(test, {SEED: np.full(len(test), most)})


def tfidf(task: Task, language: str) -> Predictions | TagPredictions:
    """A linear support vector machine on sublinear TF-IDF.

    Of texts: words (1-2 in a row) and characters within words (2-5). Of tokens: characters of the token (1-5), and the
    token and its neighbours as words marked with their place.
    """
    if task.kind == "token_classification":
        return _linear_tagger(task, language)
    train, test = _labels(task, language, "train"), _labels(task, language, "test")
    if len(np.unique(train)) < 2:
        return majority(task, language)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = _fit(FeatureUnion([("words", words), ("characters", characters)]), task.texts(language, "train"), train)
    predicted = model.predict(task.texts(language, "test"))
    return Predictions(test, {SEED: np.asarray(predicted, np.int64)})


def _labels(task: Task, language: str, split: str) -> np.ndarray:
    return np.array([task.labels.index(row.label) for row in task.text_rows(language, split)], np.int64)


def _fit(features: FeatureUnion, documents: Sequence[object], labels: Sequence[object] | np.ndarray) -> Pipeline:
    model = Pipeline([("features", features), ("classifier", LinearSVC(random_state=SEED))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(documents, labels)
    return model


def _tags_by_word(task: Task, language: str) -> TagPredictions:
    train, test = task.token_rows(language, "train"), task.token_rows(language, "test")
    words: dict[str, Counter[str]] = {}
    for row in train:
        for token, tag in zip(row.tokens, row.tags, strict=True):
            words.setdefault(token, Counter())[tag] += 1

    def most(counts: Counter[str]) -> str:
        return max(task.labels, key=lambda tag: counts[tag])  # of equals the first

    usual = most(sum(words.values(), Counter()))
    known = {word: most(counts) for word, counts in words.items()}
    predicted = [[known.get(token, usual) for token in row.tokens] for row in test]
    return _tag_predictions(test, predicted)


def _linear_tagger(task: Task, language: str) -> TagPredictions:
    train, test = task.token_rows(language, "train"), task.token_rows(language, "test")
    tags = [tag for row in train for tag in row.tags]
    if len(set(tags)) < 2:
        return _tags_by_word(task, language)
    characters = TfidfVectorizer(
        preprocessor=_own_word, analyzer="char_wb", ngram_range=(1, 5), lowercase=False, sublinear_tf=True
    )
    around = TfidfVectorizer(analyzer=_window_words, sublinear_tf=True)
    model = _fit(FeatureUnion([("characters", characters), ("around", around)]), _windows(train), tags)
    said = iter(model.predict(_windows(test)).tolist())
    predicted = [[next(said) for _ in row.tokens] for row in test]
    return _tag_predictions(test, predicted)


def _windows(rows: list[TokenRow]) -> list[list[str]]:
    """For each token of all sentences the words around it, itself in the middle; outside the sentence none."""
    found = []
    for row in rows:
        padded = [*[""] * CONTEXT_WORDS, *row.tokens, *[""] * CONTEXT_WORDS]
        found += [padded[at : at + 2 * CONTEXT_WORDS + 1] for at in range(len(row.tokens))]
    return found


def _own_word(window: list[str]) -> str:
    return window[CONTEXT_WORDS]


def _window_words(window: list[str]) -> list[str]:
    return [f"{place}:{word}" for place, word in enumerate(window)]


def _tag_predictions(test: list[TokenRow], predicted: list[list[str]]) -> TagPredictions:
    return TagPredictions([row.tags for row in test], {SEED: predicted})
