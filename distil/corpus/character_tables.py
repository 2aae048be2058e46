"""What cleaning asks of a character, as arrays over code points, so that a block of text is judged in a few passes.

Letters are folded as texts are compared (distil/text/overlap.py): by case, and without diacritics.
"""

import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from distil.text.cleaning import NO_LETTER
from distil.text.overlap import BARE_SIGNS, word_letters

# Code points from here on, CJK of other planes and tags, are judged line by line.
LIMIT = 0x20000

# Bits of `Characters.flags`.
IRREGULAR = 1  # control, invisible, or white space that is not a plain space
ORDER = 2  # may compose with the character before it, or be in another order: Unicode NFC is not certain
NOT_LETTER = 4  # neither letter nor mark nor white space
BEYOND = 8  # LIMIT or more
LINK = 16  # may be part of what `bare` takes out (distil/text/overlap.py)

# Values of `Characters.folded` below the first hash of a letter.
MARK, SEPARATOR, SEVERAL, LINE_END, FIRST_LETTER = 0, 1, 2, 3, 4


class Characters(NamedTuple):
    """Tables of LIMIT + 1 entries; the last one covers every code point from LIMIT on."""

    flags: np.ndarray  # uint8
    folded: np.ndarray  # uint32: the hash of the one letter that it folds to, or one of the values above


@lru_cache(maxsize=1)
def characters() -> Characters:
    """The tables, made once in a process (0.2 s)."""
    every = "".join(map(chr, range(LIMIT)))
    flags = np.zeros(LIMIT + 1, np.uint8)
    folded = np.zeros(LIMIT + 1, np.uint32)
    seconds = {ord(parts[-1]) for character in every if len(parts := unicodedata.normalize("NFD", character)) > 1}
    for code, character in enumerate(every):
        if not character.isprintable():
            flags[code] |= IRREGULAR
        if unicodedata.combining(character) or not unicodedata.is_normalized("NFC", character):
            flags[code] |= ORDER
        letters = word_letters(character)
        if not letters.strip():
            folded[code] = SEPARATOR if letters else MARK
        elif len(letters) == 1:
            folded[code] = hashed(np.array([ord(letters)], np.uint32))[0]
        else:
            folded[code] = SEVERAL
    flags[list(seconds)] |= ORDER
    flags[[match.start() for match in NO_LETTER.finditer(every)]] |= NOT_LETTER
    flags[[ord(sign) for sign in BARE_SIGNS]] |= LINK
    flags[ord("\n")] = 0
    flags[LIMIT] = BEYOND
    folded[LIMIT] = SEVERAL
    folded[ord("\n")] = LINE_END
    return Characters(flags, folded)


def codes_of(text: str) -> np.ndarray:
    """The code points of a text as indices into the tables, (len(text),) uint32; LIMIT for all from there on."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return np.minimum(codes, LIMIT)


def hashed(codes: np.ndarray) -> np.ndarray:
    """A 32-bit number, FIRST_LETTER or more, for each code point (the finaliser of MurmurHash3)."""
    value: np.ndarray = codes.astype(np.uint32)
    value = (value ^ (value >> 16)) * np.uint32(0x85EBCA6B)
    value = (value ^ (value >> 13)) * np.uint32(0xC2B2AE35)
    value ^= value >> 16
    return np.maximum(value, np.uint32(FIRST_LETTER))
