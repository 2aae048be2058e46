"""Whether a text is one that a model will be scored on. Pure.

Two texts count as the same when their letters are the same after case folding, without diacritics, and without links,
accounts, hashtags, digits, punctuation and emoji: an evaluation text may be in the corpus with other tone marks or with
the hashtags that a task's normalisation took out. Nor does it matter how a sign is written: apostrophes that Unicode
counts as letters (U+02BC, U+02BB, U+A78C) are punctuation here, full-width letters are plain ones, and HTML character
references and escaped line breaks (a backslash and an n) are resolved. Only the key is folded, never a text.
"""

import html
import re
import unicodedata
from collections.abc import Iterable
from itertools import accumulate

from distil.text.cleaning import without_links

# A shorter text counts only when it is the whole line: "Good morning" inside a sentence gives nothing away.
WORDS_FOR_CONTAINMENT = 4


# Letters by their category, signs in use: U+02BC, U+02BB and the like (02B9 to 02FF), tone letters of Chinese (A700 to
# A71F), a low circumflex, the saltillo in both cases, and the two apostrophes of N'Ko.
_SIGNS = frozenset([*range(0x2B9, 0x300), *range(0xA700, 0xA720), 0xA788, 0xA78B, 0xA78C, 0x7F4, 0x7F5])
_TATWEEL = 0x640  # only lengthens a line of Arabic
_ESCAPED_BREAK = re.compile(r"(?:\\[rn])+")


class _WordLetters(dict[int, int | None]):
    """For str.translate, of decomposed text: letters stay, their marks go, all else separates words."""

    def __missing__(self, code: int) -> int | None:
        major = unicodedata.category(chr(code))[0]
        if major == "M" or code == _TATWEEL:
            self[code] = None
        else:
            self[code] = code if major == "L" and code not in _SIGNS else ord(" ")
        return self[code]


_WORD_LETTERS = _WordLetters()

# `bare` changes no line without one of these characters, `://` or `www.`.
BARE_SIGNS = "@#&\\"

# Letters at the start of a text under which it is filed for the search, as many as it has.
START_LENGTHS = (32, 16, 8, 4)


def bare(line: str) -> str:
    """`line` without links; HTML references are decoded and escaped line breaks are spaces. The result is one line."""
    if "\\" in line:
        line = _ESCAPED_BREAK.sub(" ", line)
    if "&" in line:
        line = html.unescape(line).replace("\n", " ")
    return without_links(line)


def word_letters(text: str) -> str:
    """The folded letters of `text`, with a space for each sign that separates words."""
    return unicodedata.normalize("NFKD", text).casefold().translate(_WORD_LETTERS)


def fold(line: str) -> list[str]:
    """The words of a text by which texts are compared; joined without a space they are its key."""
    return word_letters(bare(line)).split()


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
