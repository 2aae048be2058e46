"""The n-grams of a text as rows of a table: words and characters, hashed, counted and scaled.

The same features are read when the linear model is fitted and when it serves, so nothing but the standard library and
numpy is needed, and the hash is one that every machine and version computes alike (CRC-32, RFC 1952).
"""

from collections import Counter
from itertools import pairwise
from zlib import crc32

import numpy as np

SHORTEST, LONGEST = 2, 5  # characters in an n-gram within a word


def hashed_ngrams(text: str, bits: int) -> tuple[np.ndarray, np.ndarray]:
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
    rows, values = _half([*words, *map(" ".join, pairwise(words))], bits)
    character_rows, character_values = _half(_characters(words), bits)
    return np.concatenate([rows, character_rows + (1 << bits)]), np.concatenate([values, character_values])


def _half(grams: list[str], bits: int) -> tuple[np.ndarray, np.ndarray]:
    last = (1 << bits) - 1
    counts = Counter(crc32(gram.encode("utf-8", "surrogatepass")) & last for gram in grams)
    rows = np.array(sorted(counts), np.int64)
    values = 1 + np.log(np.array([counts[row] for row in rows.tolist()], np.float64))
    return rows, values / (np.sqrt((values**2).sum()) or 1.0)


def _characters(words: list[str]) -> list[str]:
    found = []
    for word in words:
        padded = f" {word} "
        for length in range(SHORTEST, LONGEST + 1):
            if length >= len(padded):
                found.append(padded)  # once, however short it is
                break
            found += [padded[start : start + length] for start in range(len(padded) - length + 1)]
    return found
