"""Tables from which the page of `distil demo` guesses a text's language: log-probabilities of character trigrams.

Naive Bayes over the trigrams of words (after Cavnar and Trenkle 1994); distil/web/page/language.js adds them up.
"""

import math
import unicodedata
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from distil.core.errors import UserError

LINES = 20_000  # of each language: more change no figure of four digits
KEPT = 1_500  # trigrams of each language


def trigrams(text: str) -> list[str]:
    """The trigrams of a text in lower case, a space before and behind each word."""
    letters = unicodedata.normalize("NFC", text.lower())
    words = "".join(char if unicodedata.category(char)[0] in "LM" else " " for char in letters).split()
    return [f" {word} "[start : start + 3] for word in words for start in range(len(word))]


def trigram_tables(folder: Path) -> dict[str, dict[str, Any]]:
    """A table for each LANG.txt of a folder; none where there is no folder.

    Args:
        folder: data/raw.

    Returns:
        LANG -> {"trigrams": trigram -> natural logarithm of its probability, "rest": that of any other trigram}.

    Raises:
        UserError: a file is not UTF-8.
    """
    return {path.stem: _table(path) for path in sorted(folder.glob("???.txt"))}


def _table(path: Path) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    try:
        with path.open(encoding="utf-8") as lines:
            for line in islice(lines, LINES):
                counts.update(trigrams(line))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); convert it, or give another folder with --text") from None
    total = counts.total() + 1
    kept = sorted(counts, key=lambda trigram: (-counts[trigram], trigram))[:KEPT]
    left = total - sum(counts[trigram] for trigram in kept)
    rest = math.log(left / total / (len(counts) - len(kept) + 1))
    return {
        "rest": round(rest, 2),
        "trigrams": {trigram: round(math.log(counts[trigram] / total), 2) for trigram in kept},
    }
