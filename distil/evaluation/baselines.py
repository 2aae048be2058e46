"""What needs no neural network, one model a language: the most frequent label, and a linear model on TF-IDF.

A language with few labels has a model of the other languages' rows and its own few (evaluation/few_labels.py).

Of tagged sentences, majority gives each word the tag that it had most often in train, and the linear model sees a
token as a small text: itself by its characters, and its neighbours by their place.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from distil.evaluation.config import ALL_LABELS, FewLabelsConfig
from distil.evaluation.counts import Predictions, TagPredictions
from distil.evaluation.few_labels import training_rows
from distil.tasks.data import Row, Task, TextRow, TokenRow, row_text

if TYPE_CHECKING:  # scikit-learn is imported where it is used: it costs a process a second
    from sklearn.pipeline import Pipeline

SEED = 0  # neither baseline depends on a seed; the JSON names one
CONTEXT_WORDS = 2  # words to either side of a token that the linear model sees


def majority(task: Task, language: str, few: FewLabelsConfig = ALL_LABELS) -> Predictions | TagPredictions:
    """The most frequent label of train for every test row; of equally frequent ones the first of the task's labels.

    Of tagged sentences: of a word that is in train its most frequent tag, of any other the most frequent tag of all.
    """
    if task.kind == "token_classification":
        return _tags_by_word(task, language, few)
    train, test = numbers_of(task, training_rows(task, language, few)), label_numbers(task, language, "test")
    most = int(np.bincount(train, minlength=len(task.labels)).argmax())
    return Predictions(test, {SEED: np.full(len(test), most)})


def tfidf(task: Task, language: str, few: FewLabelsConfig = ALL_LABELS) -> Predictions | TagPredictions:
    """A linear support vector machine on sublinear TF-IDF (`linear_model`); majority where train has one label only."""
    rows = training_rows(task, language, few)
    train, inputs = numbers_of(task, rows), documents_of(rows)
    if len(np.unique(train)) < 2:
        return majority(task, language, few)
    if task.kind == "text_classification":
        predicted = fit(linear_model(task.kind), inputs, train).predict(documents(task, language, "test"))
        return Predictions(label_numbers(task, language, "test"), {SEED: np.asarray(predicted, np.int64)})
    # By name: liblinear draws for one label after another, so another order of labels gives other last digits.
    model = fit(linear_model(task.kind), inputs, np.array(task.labels)[train])
    test, said = task.token_rows(language, "test"), iter(model.predict(documents(task, language, "test")).tolist())
    return _tag_predictions(test, [[next(said) for _ in row.tokens] for row in test])


def linear_model(kind: str) -> "Pipeline":
    """A linear support vector machine on sublinear TF-IDF, not fitted, for what `documents` gives.

    Of texts: words (1-2 in a row) and characters within words (2-5). Of tokens: characters of the token (1-5), and the
    token and its neighbours as words marked with their place.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion, Pipeline
    from sklearn.svm import LinearSVC

    if kind == "text_classification":
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
        features = FeatureUnion([("words", words), ("characters", characters)])
    else:
        characters = TfidfVectorizer(
            preprocessor=_own_word, analyzer="char_wb", ngram_range=(1, 5), lowercase=False, sublinear_tf=True
        )
        around = TfidfVectorizer(analyzer=_window_words, sublinear_tf=True)
        features = FeatureUnion([("characters", characters), ("around", around)])
    return Pipeline([("features", features), ("classifier", LinearSVC(random_state=SEED))])


def documents(task: Task, language: str, split: str) -> Sequence[object]:
    """What the linear model reads of each unit: a text, or a token with its neighbours."""
    if split != "unlabelled":
        return documents_of(task.rows(language, split))
    if task.kind == "text_classification":
        return task.unlabelled_texts(language)
    return _windows(task.unlabelled_tokens(language))


def documents_of(rows: Sequence[Row]) -> Sequence[object]:
    """As `documents`, of some rows of one kind."""
    if any(isinstance(row, TokenRow) for row in rows):
        return _windows([row.tokens for row in rows if isinstance(row, TokenRow)])
    return [row_text(row) for row in rows]


def label_numbers(task: Task, language: str, split: str) -> np.ndarray:
    """(U,) int64 number of the label of each unit of a split."""
    return numbers_of(task, task.rows(language, split))


def numbers_of(task: Task, rows: Sequence[Row]) -> np.ndarray:
    """(U,) int64 number of the label of each unit of some rows."""
    labels = [label for row in rows for label in ([row.label] if isinstance(row, TextRow) else row.tags)]
    return np.array([task.labels.index(label) for label in labels], np.int64)


def fit(model: "Pipeline", inputs: Sequence[object], labels: np.ndarray) -> "Pipeline":
    """Fit the linear model; that it has not converged to the last digit is no fault."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs, labels)
    return model


def _tags_by_word(task: Task, language: str, few: FewLabelsConfig) -> TagPredictions:
    train, test = training_rows(task, language, few), task.token_rows(language, "test")
    words: dict[str, Counter[str]] = {}
    for row in train:
        assert isinstance(row, TokenRow)
        for token, tag in zip(row.tokens, row.tags, strict=True):
            words.setdefault(token, Counter())[tag] += 1

    def most(counts: Counter[str]) -> str:
        return max(task.labels, key=lambda tag: counts[tag])  # of equals the first

    usual = most(sum(words.values(), Counter()))
    known = {word: most(counts) for word, counts in words.items()}
    predicted = [[known.get(token, usual) for token in row.tokens] for row in test]
    return _tag_predictions(test, predicted)


def _windows(sentences: list[list[str]]) -> list[list[str]]:
    """For each token of all sentences the words around it, itself in the middle; outside the sentence none."""
    found = []
    for tokens in sentences:
        padded = [*[""] * CONTEXT_WORDS, *tokens, *[""] * CONTEXT_WORDS]
        found += [padded[at : at + 2 * CONTEXT_WORDS + 1] for at in range(len(tokens))]
    return found


def _own_word(window: list[str]) -> str:
    return window[CONTEXT_WORDS]


def _window_words(window: list[str]) -> list[str]:
    return [f"{place}:{word}" for place, word in enumerate(window)]


def _tag_predictions(test: list[TokenRow], predicted: list[list[str]]) -> TagPredictions:
    return TagPredictions([row.tags for row in test], {SEED: predicted})
