"""Which rows without a label to keep: those that resemble the training rows (`tasks.NAME.unlabelled_choice: near`).

Importance resampling (Xie et al. 2023, arXiv 2302.03169): a row is drawn with a probability in proportion to how much
likelier its words are in the training rows than in the text at large. The ratio is that of a logistic regression
between the two (density ratio by classification: Bickel, Brückner and Scheffer 2009), so a long row weighs no more than
a short one. Each row is judged by a model that was fitted without it. No label is read.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

BITS = 14  # 2^14 buckets for hashed words and pairs of words; the paper has 10,000
FOLDS = 5
SEED = 0  # of the folds; the draw has the task's own


class Choice(NamedTuple):
    """The rows that were drawn, and how much rows resemble the training rows before and after: 0 to 1, 0.5 is even."""

    places: list[int]  # ascending
    all_rows: float  # mean probability of being a training row
    kept: float


def near_rows(texts: Sequence[str], train: Sequence[str], limit: int, seed: str) -> Choice:
    """Draw `limit` of `texts` without replacement, in proportion to their odds of being a training row.

    Args:
        texts: N rows without a label, more than `limit`.
        train: two training rows or more.
        limit: 1 or more.
        seed: decides the draw.
    """
    odds = _log_odds(texts, train)
    # The Gumbel top-k trick: the `limit` largest of log-odds plus noise are such a draw (Kool et al. 2019).
    noise = np.random.default_rng(list(seed.encode())).gumbel(size=len(odds))
    places = np.sort(np.argsort(-(odds + noise), kind="stable")[:limit])
    likely = 1 / (1 + np.exp(-odds))
    return Choice(places.tolist(), float(likely.mean()), float(likely[places].mean()))


def _log_odds(texts: Sequence[str], train: Sequence[str]) -> np.ndarray:
    """(N,) log-odds of each text, training rows and others counting alike; to six digits, so that machines agree."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    hashing = HashingVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", n_features=2**BITS, alternate_sign=False)
    inputs: Any = hashing.transform([*train, *texts])
    is_train = np.arange(len(train) + len(texts)) < len(train)
    model = LogisticRegression(class_weight="balanced", C=10.0, max_iter=1000)
    folds = StratifiedKFold(min(FOLDS, len(train)), shuffle=True, random_state=SEED)
    scores = cross_val_predict(model, inputs, is_train, cv=folds, method="decision_function")
    return np.round(scores[len(train) :], 6)
