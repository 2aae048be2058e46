"""Clean a block of lines at once: same verdicts as text/cleaning.py and text/overlap.py, in a few array passes.

Lines that the arrays cannot judge (control characters, another Unicode form, a letter that folds to two) are
judged one by one there. n is the number of lines of a block throughout.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import xxhash

from distil.corpus.character_tables import (
    BEYOND,
    FIRST_LETTER,
    IRREGULAR,
    LINE_END,
    LINK,
    NOT_LETTER,
    ORDER,
    SEVERAL,
    characters,
    codes_of,
    hashed,
)
from distil.corpus.language_id import is_other
from distil.corpus.near_duplicates import bands
from distil.text.cleaning import clean_line, letter_ratio
from distil.text.overlap import HeldOut, bare, fold

# Verdicts from the line itself, in the order in which they are tested. KEPT continues to the tests against other lines.
REASONS = ("kept", "not_utf8", "empty", "too_short", "too_long", "letters", "other_language")
KEPT, NOT_UTF8, EMPTY, TOO_SHORT, TOO_LONG, LETTERS, OTHER_LANGUAGE = range(len(REASONS))

_SPACE = ord(" ")
_BITMAP_BITS = 18


class Block(NamedTuple):
    """A cleaned block; every array has an entry for each line read."""

    text: bytes  # UTF-8, every line with its LF, also those that are dropped
    reasons: np.ndarray  # (n,) uint8, places in REASONS
    held_out: np.ndarray  # (n,) bool; told of lines with reason KEPT only
    hashes: np.ndarray  # (n,) uint64 of the line without case
    sizes: np.ndarray  # (n,) int64, bytes with the LF
    words: np.ndarray  # (n,) int64
    bands: np.ndarray  # (n, BANDS) uint64, keys of near-duplicates; (0, BANDS) where they are not looked for


class BlockCleaner:
    """Cleans blocks of one language."""

    def __init__(
        self, bounds: tuple[int, int, float], held_out: HeldOut, tag: str | None = None, near: bool = False,
        view: Callable[[str], str] | None = None,
    ) -> None:  # fmt: skip
        """Begin.

        Args:
            bounds: least and most characters of a line, least share of letters (0 to 1).
            held_out: evaluation texts.
            tag: of the language in which lines must be (distil/corpus/language_id.py); None for no check.
            near: whether near-duplicates are looked for.
            view: changes a cleaned line; the language check reads the line before this change.
        """
        self._bounds = bounds
        self._sieve = Sieve(held_out)
        self._held_out = held_out
        self._tag = tag
        self._near = near
        self._view = view

    def clean(self, raw: bytes) -> Block:
        """Clean lines that each end at LF; bytes that are not UTF-8 cost their line only."""
        lines, broken, text, codes = _clean_lines(raw.decode("utf-8", "surrogateescape"))
        cleaned = lines
        if self._view:
            lines = list(map(self._view, cleaned))
            text = "".join(line + "\n" for line in lines)
            codes = codes_of(text)
        flags = characters().flags[codes]
        reasons, words = self._judge(lines, codes, flags)
        reasons[broken] = NOT_UTF8
        if self._tag:
            for place in np.flatnonzero(reasons == KEPT):
                if is_other(cleaned[place], self._tag):
                    reasons[place] = OTHER_LANGUAGE
        held_out = np.zeros(len(lines), bool)
        for place in np.flatnonzero(self._sieve.suspects(lines, text, codes, flags) & (reasons == KEPT)):
            held_out[place] = lines[place] in self._held_out
        encoded = text.encode()
        ends = np.flatnonzero(np.frombuffer(encoded, np.uint8) == LF)
        folded = text.casefold().encode().split(b"\n")
        hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, folded[:-1]), np.uint64, len(lines))
        return Block(
            encoded, reasons, held_out, hashes, np.diff(ends, prepend=-1), words, bands(lines if self._near else [])
        )

    def _judge(self, lines: Sequence[str], codes: np.ndarray, flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The reason by the looks of each line, and its words."""
        least, most, min_letters = self._bounds
        ends = np.flatnonzero(codes == LF)
        length = np.diff(ends, prepend=-1) - 1
        spaces = _count(codes == _SPACE, ends)
        signs = length - spaces
        share = 1.0 - _count(flags & NOT_LETTER != 0, ends) / np.maximum(signs, 1)
        for place in _lines_with(flags & BEYOND != 0, ends):
            share[place] = letter_ratio(lines[place])
        reasons = np.full(len(lines), KEPT, np.uint8)
        reasons[share < min_letters] = LETTERS
        reasons[length > most] = TOO_LONG
        reasons[length < least] = TOO_SHORT
        reasons[length == 0] = EMPTY
        return reasons, spaces + 1


LF = ord("\n")


def _clean_lines(text: str) -> tuple[list[str], list[int], str, np.ndarray]:
    """Lines as `clean_line` gives them, places of those not in UTF-8 (which come as empty); their text, its codes."""
    text = text.replace("\r\n", "\n")
    codes = codes_of(text)
    lines = text.split("\n")[:-1]
    irregular = _irregular(codes)
    if not len(irregular):
        return lines, [], text, codes
    broken = []
    for place in irregular:
        line = clean_line(lines[place])
        if line is None:
            broken.append(int(place))
        lines[place] = line or ""
    text = "".join(line + "\n" for line in lines)
    return lines, broken, text, codes_of(text)


def _irregular(codes: np.ndarray) -> np.ndarray:
    """Numbers of the lines that `clean_line` might change."""
    flags = characters().flags[codes]
    ends = np.flatnonzero(codes == LF)
    wrong = flags & (IRREGULAR | BEYOND) != 0
    gap = (codes == _SPACE) | (codes == LF)
    wrong |= (codes == _SPACE) & np.concatenate([gap[1:], [True]])  # before another space or the end
    wrong |= (codes == _SPACE) & np.concatenate([[True], gap[:-1]])
    marks = np.flatnonzero(flags & ORDER)
    if len(marks):
        wrong[marks[~_is_composed(codes, flags, marks)]] = True
    return _lines_with(wrong, ends)


def _is_composed(codes: np.ndarray, flags: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Whether Unicode NFC leaves each of these characters as it is, beyond doubt: it is alone after a plain one."""
    before = np.maximum(marks - 1, 0)
    pairs, places = np.unique(codes[before].astype(np.uint64) << 32 | codes[marks], return_inverse=True)
    stable = np.array([_is_stable(int(pair >> np.uint64(32)), int(pair & np.uint64(2**32 - 1))) for pair in pairs])
    return stable[places] & (flags[before] & (ORDER | BEYOND) == 0) & (marks > 0)


@lru_cache(maxsize=1 << 16)
def _is_stable(first: int, second: int) -> bool:
    return unicodedata.is_normalized("NFC", chr(first) + chr(second))


class Sieve:
    """Finds the few lines that may give an evaluation text away.

    Letters are folded to 32-bit hashes. A line is a suspect if the sum over its letters is that of a text, or if the
    letters from the start of one of its words on are those at the start of a text, whatever spaces are between. Only
    false suspects come of two hashes that are alike.
    """

    def __init__(self, held_out: HeldOut) -> None:
        # A text of nothing but hashtags and the like has no words and is its own key.
        letters = [key for key in held_out.keys if fold(key)]
        self._without_letters = len(letters) < len(held_out.keys)
        sums = [hashed(_raw_codes(key)).sum(dtype=np.uint32) for key in letters]
        self._sums = _Filter(np.array(sums, np.uint32))
        self._starts: list[tuple[int, _Filter]] = []
        for length, texts in sorted(held_out.starts.items()):
            if texts:
                starts = hashed(np.array([_raw_codes(start) for start in texts]))
                self._starts.append((length, _Filter(np.array([_windows(row, length)[0] for row in starts]))))

    def suspects(self, lines: Sequence[str], text: str, codes: np.ndarray, flags: np.ndarray) -> np.ndarray:
        """(n,) bool.

        Args:
            lines: cleaned.
            text: the same with an LF after each.
            codes: of the text.
            flags: of the codes.
        """
        found = self._suspects(characters().folded[codes])
        linked = _linked(text, codes, flags)
        if len(linked):
            plain = "".join(bare(lines[place]) + "\n" for place in linked)
            found[linked] = self._suspects(characters().folded[codes_of(plain)])
        return found

    def _suspects(self, folded: np.ndarray) -> np.ndarray:
        several = _lines_with(folded == SEVERAL, np.flatnonzero(folded == LINE_END))
        folded = folded[folded != 0]  # marks
        is_letter = folded >= FIRST_LETTER
        letters = folded[is_letter]
        before = np.cumsum(is_letter, dtype=np.int64)  # letters up to here, with this one
        ends = np.flatnonzero(folded == LINE_END)
        sums = np.concatenate([np.zeros(1, np.uint32), np.cumsum(letters, dtype=np.uint32)])[before[ends]]
        counts = np.diff(before[ends], prepend=0)
        found = self._sums.contains(np.diff(sums, prepend=np.uint32(0))) & (counts > 0)
        if self._without_letters:
            found |= counts == 0
        found[several] = True
        starts = np.flatnonzero(is_letter & ~np.concatenate([[False], is_letter[:-1]]))
        window, length = letters, 1
        for wanted, texts in self._starts:
            window, length = _widen(window, length, wanted), wanted
            hits = texts.contains(window[before[starts] - 1])
            found[np.searchsorted(ends, starts[hits])] = True
        return found


class _Filter:
    """A set of 32-bit numbers that answers for a whole array."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = np.unique(values.astype(np.uint32))
        self._bitmap = np.zeros(1 << _BITMAP_BITS, bool)
        self._bitmap[self._values >> np.uint32(32 - _BITMAP_BITS)] = True

    def contains(self, values: np.ndarray) -> np.ndarray:
        found = self._bitmap[values >> np.uint32(32 - _BITMAP_BITS)]
        places = np.flatnonzero(found)
        near = np.minimum(np.searchsorted(self._values, values[places]), len(self._values) - 1)
        found[places] = self._values[near] == values[places]
        return found


def _windows(letters: np.ndarray, length: int) -> np.ndarray:
    """The hash of the `length` letters from each place on, a power of two; of fewer near the end."""
    return _widen(letters, 1, length)


def _widen(window: np.ndarray, length: int, wanted: int) -> np.ndarray:
    """Hashes of `wanted` letters from hashes of `length`, by doubling."""
    while length < wanted:
        later = np.zeros_like(window)
        later[: max(len(window) - length, 0)] = window[length:]
        window = (window ^ (window >> np.uint32(15))) * np.uint32(0x9E3779B1) + later
        length *= 2
    return window


def _linked(text: str, codes: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Numbers of the lines that `bare` may change."""
    ends = np.flatnonzero(codes == LF)
    links = [*_places(text, "://"), *_places(text, "www.")]
    return np.union1d(_lines_with(flags & LINK != 0, ends), np.searchsorted(ends, links))


def _places(text: str, part: str) -> Iterator[int]:
    """Positions of `part` in `text`; several times faster than a regular expression."""
    place = text.find(part)
    while place >= 0:
        yield place
        place = text.find(part, place + 1)


def _count(mask: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """How often `mask` is true in each line, (n,) int64."""
    return np.diff(np.searchsorted(np.flatnonzero(mask), ends), prepend=0)


def _lines_with(mask: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Numbers of the lines in which `mask` is true somewhere, in order."""
    return np.unique(np.searchsorted(ends, np.flatnonzero(mask)))


def _raw_codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
