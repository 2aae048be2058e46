"""Test rows whose text is a training row too."""

from collections.abc import Iterable

import numpy as np

from distil.text.overlap import fold_key


def seen_rows(train: Iterable[str], test: Iterable[str]) -> np.ndarray:
    """(N,) bool: whether a test text counts as the same as one of the training texts (see distil/text/overlap.py)."""
    known = {fold_key(text) for text in train}
    return np.array([fold_key(text) in known for text in test], np.bool_)
