"""The n-grams of a text, or of each word in its sentence, as rows of a table: hashed, counted and scaled.

The same features are read when the linear model is fitted and when it serves, so nothing but the standard library and
numpy is needed, and the hash is one that every machine and version computes alike (CRC-32, RFC 1952).
"""

from collections import Counter
from itertools import pairwise
from zlib import crc32

import numpy as np

SHORTEST, LONGEST = 2, 5  # characters in an n-gram within a word; 1 to 5 of a word that is tagged
CONTEXT = 2  # words to either side of one that is tagged

Features = tuple[np.ndarray, np.ndarray]  # (N,) int64 rows, ascending, and (N,) float64 values


def hashed_ngrams(text: str, bits: int) -> Features:
    """The rows that a text has in a table of 2 * 2^bits rows, and their values.

    The first half is for one or two words in a row, the second for two to five characters within a word that has a
    space at either end. Upper and lower case are one. A value is 1 + ln(count) over the Euclidean norm of its half.

    Args:
        text: any.
        bits: 1 to 24.

    Returns:
        (N,) int64, ascending, and (N,) float64; none of a text without a word.
    """
    words = text.lower().split()
    return _both([*words, *map(" ".join, pairwise(words))], _characters(words, SHORTEST), bits)


def hashed_windows(words: list[str], bits: int) -> list[Features]:
    """The rows of each word of a sentence, as `hashed_ngrams`.

    The first half is for the word and its neighbours, each with its place, the second for one to five characters of the
    word itself. Upper and lower case differ: they tell names.

    Args:
        words: of one sentence.
        bits: 1 to 24.
    """
    padded = [*[""] * CONTEXT, *words, *[""] * CONTEXT]
    return [
        _both([f"{place}:{near}" for place, near in enumerate(padded[at : at + 2 * CONTEXT + 1])],
              _characters([word], 1), bits)
        for at, word in enumerate(words)
    ]  # fmt: skip


def _both(words: list[str], characters: list[str], bits: int) -> Features:
    rows, values = _half(words, bits)
    character_rows, character_values = _half(characters, bits)
    return np.concatenate([rows, character_rows + (1 << bits)]), np.concatenate([values, character_values])


def _half(grams: list[str], bits: int) -> Features:
    last = (1 << bits) - 1
    counts = Counter(crc32(gram.encode("utf-8", "surrogatepass")) & last for gram in grams)
    rows = np.array(sorted(counts), np.int64)
    values = 1 + np.log(np.array([counts[row] for row in rows.tolist()], np.float64))
    return rows, values / (np.sqrt((values**2).sum()) or 1.0)


def _characters(words: list[str], shortest: int) -> list[str]:
    found = []
    for word in words:
        padded = f" {word} "
        for length in range(shortest, LONGEST + 1):
            if length >= len(padded):
                found.append(padded)  # once, however short it is
                break
            found += [padded[start : start + length] for start in range(len(padded) - length + 1)]
    return found
