"""Whether a text is one that a model will be scored on. Pure.

Two texts count as the same when their letters are the same after case folding, without diacritics, and without links,
accounts, hashtags, digits, punctuation and emoji: an evaluation text may lie in the corpus with other tone marks or
with the hashtags that a task's normalisation took out.
"""

import unicodedata
from collections.abc import Iterable
from itertools import accumulate

from distil.text.cleaning import without_links

# A shorter text counts only when it is the whole line: "Good morning" inside a sentence gives nothing away.
WORDS_FOR_CONTAINMENT = 4


class _WordLetters(dict[int, int | None]):
    """For str.translate, of decomposed text: letters stay, their marks go, all else parts words."""

    def __missing__(self, code: int) -> int | None:
        major = unicodedata.category(chr(code))[0]
        self[code] = code if major == "L" else None if major == "M" else ord(" ")
        return self[code]


_WORD_LETTERS = _WordLetters()

# Letters at the start of a text under which it is filed for the search, as many as it has.
START_LENGTHS = (32, 16, 8, 4)


def fold(line: str) -> list[str]:
    """The words of a text by which texts are compared; joined without a space they are its key."""
    return unicodedata.normalize("NFD", without_links(line).casefold()).translate(_WORD_LETTERS).split()


def fold_key(line: str) -> str:
    """What two texts share when they count as the same; a text without letters is its own key."""
    return "".join(fold(line)) or line


class HeldOut:
    """A collection of evaluation texts; `in` tells whether a line gives one of them away.

    That is: the line is the same as one of them, or contains one of four words or more, from the start of a word to the
    end of one. Spaces inside do not count: "gine-gine" and "ginegine" are the same.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        folded = {}
        for text in texts:
            words = fold(text)
            folded["".join(words) or text] = len(words)
        self.keys = frozenset(folded)
        # Start of a text -> the texts of four words or more that begin so.
        self.starts: dict[int, dict[str, list[str]]] = {length: {} for length in START_LENGTHS}
        for key in sorted(key for key, words in folded.items() if words >= WORDS_FOR_CONTAINMENT):
            length = next(length for length in START_LENGTHS if length <= len(key))  # four words have four letters
            self.starts[length].setdefault(key[:length], []).append(key)

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, line: str) -> bool:
        words = fold(line)
        key = "".join(words)
        if (key or line) in self.keys:
            return True
        borders = set(accumulate(map(len, words), initial=0))
        for length, texts in self.starts.items():
            if not texts:
                continue
            for start in borders:
                for text in texts.get(key[start : start + length], ()):
                    if start + len(text) in borders and key.startswith(text, start):
                        return True
        return False
