"""Cleaning of a line of text, and the reasons to leave it out: the plain way. Pure: no files, no settings.

distil/corpus/block_cleaning.py does the same to a block of lines at once and turns to this module for the unusual ones.
"""

import re
import unicodedata

# Not part of the text though inside it: control characters, soft hyphen, zero-width space, word joiner, byte order
# mark, marks of writing direction, interlinear annotation.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
# The zero-width joiners make one emoji of several and shape words in Arabic and Indic scripts; beside a Latin letter,
# a space or an end they do nothing.
_IDLE_JOINER = re.compile(
    "[\u200c\u200d]+(?=[\x00-\u036f\u1e00-\u1eff]|$)|(?<![^\x00-\u036f\u1e00-\u1eff])[\u200c\u200d]+"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def _mark_ranges() -> str:
    """All combining marks (category M) as the inside of a regex class."""
    codes = [code for code in range(0x300, 0x1F000) if unicodedata.category(chr(code)).startswith("M")]
    starts = [code for code in codes if unicodedata.category(chr(code - 1))[0] != "M" or code == 0x300]
    ends = [code for code in codes if unicodedata.category(chr(code + 1))[0] != "M"]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


MARKS = _mark_ranges()
_LINK = re.compile(r"(?:(?i:https?)://|www\.)\S+")
_ACCOUNT = re.compile(r"(?:\b(?i:rt)\s+)?@\w+")
_HASHTAG = re.compile(rf"#[\w{MARKS}]+")
_ASCIINO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
NO_LETTER = re.compile(rf"[^\w\s{MARKS}]|[\d_]")


def clean_line(text: str) -> str | None:
    """`text` as one line of Unicode NFC without control and zero-width characters, white space collapsed.

    Returns:
        The line, perhaps empty; None where `text` was not valid UTF-8, that is, holds a lone surrogate.
    """
    text = " ".join(text.split())
    if not text.isprintable():  # what is to be removed is never printable, so most lines end here
        if _SURROGATE.search(text):
            return None
        text = _IDLE_JOINER.sub("", _INVISIBLE.sub("", text))
        text = " ".join(text.split())  # taking out may have brought two spaces together
    return unicodedata.normalize("NFC", text)


def without_links(line: str) -> str:
    """`line` with a space for each link, account (with the RT of a repeated message) and hashtag."""
    if not ("@" in line or "#" in line or "://" in line or "www." in line):  # faster than the expressions
        return line
    return _HASHTAG.sub(" ", _ACCOUNT.sub(" ", _LINK.sub(" ", line)))


def letter_ratio(line: str) -> float:
    """Share of letters and combining marks among the characters that are not spaces, 0 to 1; 0 for an empty line."""
    characters = len(line) - line.count(" ")
    return 1.0 - len(NO_LETTER.findall(line)) / characters if characters else 0.0


def fault(line: str, min_characters: int, max_characters: int, min_letter_ratio: float) -> str | None:
    """Why a cleaned line is left out, by its own looks: empty, too_short, too_long, letters; None if it is not."""
    if not line:
        return "empty"
    if len(line) < min_characters:
        return "too_short"
    if len(line) > max_characters:
        return "too_long"
    letters = len(line.encode("ascii", "ignore").translate(None, _ASCIINO_LETTERS))  # at least; mostly enough
    if letters < min_letter_ratio * (len(line) - line.count(" ")) and letter_ratio(line) < min_letter_ratio:
        return "letters"
    return None
