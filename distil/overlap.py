"""Whether a text is one that a model will be scored on. Pure.

Two texts count as the same when their letters are the same after case folding, without diacritics, and without links,
accounts, hashtags, digits, punctuation and emoji: an evaluation text may lie in the corpus with other tone marks or
with the hashtags that a task's normalisation took out.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate, pairwise

from distil.clean import without_links

# A shorter text counts only when it is the whole line: "Good morning" inside a sentence gives nothing away.
WORDS_FOR_CONTAINMENT = 4


class _WordLetters(dict[int, int | None]):
    """For str.translate, of decomposed text: letters stay, their marks go, all else parts words."""

    def __missing__(self, code: int) -> int | None:
        major = unicodedata.category(chr(code))[0]
        self[code] = code if major == "L" else None if major == "M" else ord(" ")
        return self[code]


_WORD_LETTERS = _WordLetters()

# For the sieve: ASCII letters stay, other ASCII is a space; of UTF-8, the first bytes of typographic punctuation and
# emoji are a space, all other bytes go.
_ASCII_LETTERS = bytes(code if chr(code).isalpha() and code < 128 else 32 for code in range(256))
_OTHER_BYTES = bytes(set(range(128, 256)) - {0xC2, 0xE2, 0xF0})
_SIEVE_PAIRS = 3


def fold(line: str) -> list[str]:
    """The words of a text by which texts are compared; joined without a space they are its key."""
    return unicodedata.normalize("NFD", without_links(line).casefold()).translate(_WORD_LETTERS).split()


def fold_key(line: str) -> str:
    """What two texts share when they count as the same; a text without letters is its own key."""
    return "".join(fold(line)) or line


class HeldOut:
    """A collection of evaluation texts; `in` tells whether a line gives one of them away.

    That is: the line is the same as one of them, or contains one of four words or more.

    A sieve spares nearly every line the folding. It sees only the ASCII letters of the line, which follow from its key:
    an equal line has the same ones, and a line that contains a text has its ASCII letters in a row. Which texts to look
    for is told by the line's pairs of neighbouring words: a text is filed under its three rarest (three, since a word
    may be joined to its neighbour in the one and not in the other).
    """

    def __init__(self, texts: Iterable[str]) -> None:
        folded = {}
        for text in texts:
            words = fold(text)
            folded["".join(words) or text] = (len(words), _sieve_words(text))
        self._keys = frozenset(folded)
        self._ascii_keys = frozenset(b"".join(ascii_words) for _, ascii_words in folded.values())
        counts = Counter(pair for _, ascii_words in folded.values() for pair in set(pairwise(ascii_words)))
        self._by_pair: dict[tuple[bytes, bytes], list[tuple[bytes, str]]] = {}
        self._without_pairs: list[tuple[bytes, str]] = []  # in another script; looked for in every line
        for key, (length, ascii_words) in sorted(folded.items()):
            if length < WORDS_FOR_CONTAINMENT:
                continue
            pairs = set(pairwise(ascii_words))
            rarest = sorted(pairs, key=lambda pair: (counts[pair], -len(pair[0]) - len(pair[1]), pair))
            for pair in rarest[:_SIEVE_PAIRS]:
                self._by_pair.setdefault(pair, []).append((b"".join(ascii_words), key))
            if not rarest:
                self._without_pairs.append((b"".join(ascii_words), key))
        self._pairs = frozenset(self._by_pair)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, line: str) -> bool:
        ascii_words = _sieve_words(line)
        ascii_key = b"".join(ascii_words)
        candidates = [key for ascii_text, key in self._without_pairs if ascii_text in ascii_key]
        for pair in self._pairs.intersection(pairwise(ascii_words)):
            candidates += [key for ascii_text, key in self._by_pair[pair] if ascii_text in ascii_key]
        if not candidates and ascii_key not in self._ascii_keys:
            return False
        words = fold(line)
        key = "".join(words)
        if (key or line) in self._keys:
            return True
        return any(text in key and _between_words(text, key, words) for text in candidates)


def _sieve_words(line: str) -> list[bytes]:
    """The ASCII letters of a text without diacritics, in words."""
    line = unicodedata.normalize("NFD", without_links(line).casefold())
    return line.encode(errors="replace").translate(_ASCII_LETTERS, _OTHER_BYTES).split()


def _between_words(text: str, key: str, words: list[str]) -> bool:
    """Whether `text` stands somewhere in `key`, the joined `words`, from the start of a word to the end of one."""
    borders = set(accumulate(map(len, words), initial=0))
    start = key.find(text)
    while start >= 0:
        if start in borders and start + len(text) in borders:
            return True
        start = key.find(text, start + 1)
    return False
