"""SentencePiece's table of characters as rules that the tokenizers of JavaScript follow too.

`@huggingface/tokenizers` does not read the table (`Precompiled` in tokenizer.json): it applies the rules of XLM-R's,
which are not those of every teacher. Here they are taken from the table itself, which is 0.3 MB and goes. On text in
NFC, which `clean_line` gives, the ids stay the same, but for rare letters that are younger than the table.
"""

import json
import sys
import unicodedata
from base64 import b64decode
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tokenizers import normalizers

from distil.core.errors import UserError
from distil.serving.model_info import Card

MOST_OTHERS = 100  # XLM-R's table differs from NFKC for 75 characters


_WITHOUT_MARKS = [
    {"type": "NFD"}, {"type": "Replace", "pattern": {"Regex": "\\p{Mn}"}, "content": ""}, {"type": "NFC"}
]  # fmt: skip


class Rules(NamedTuple):
    """What a table does, NFKC left out."""

    gone: str  # characters that it leaves out
    spaces: str  # characters of which it makes a space
    others: int  # number of characters for which it differs from NFKC otherwise


def check_script(folder: Path, card: Card) -> None:
    """See that JavaScript can read a text as the model does.

    Raises:
        UserError: texts are transliterated first.
    """
    if card.script == "latin":
        raise UserError(
            f"{folder}: a model of texts in Latin letters (script: latin), and a browser cannot transliterate others; "
            "give one whose task has script: keep, or use `distil predict`"
        )


def read_spec(folder: Path, marks: Literal["keep", "drop"] = "keep") -> dict[str, Any]:
    """The tokenizer.json of a folder with rules in place of a table; as it is where it has none.

    Args:
        folder: with tokenizer.json.
        marks: drop adds rules that take combining marks off, as `without_marks` does.

    Raises:
        UserError: the table does something else than NFKC, such as lower case.
    """
    path = folder / "tokenizer.json"
    spec: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    normalizer = spec.get("normalizer")
    if normalizer and normalizer["type"] == "Precompiled":
        spec["normalizer"] = _normalizer(normalizer, path)
    elif normalizer and normalizer["type"] == "Sequence":
        normalizer["normalizers"] = [
            _normalizer(part, path) if part["type"] == "Precompiled" else part for part in normalizer["normalizers"]
        ]
    if marks == "drop":
        rest = [spec["normalizer"]] if normalizer else []
        spec["normalizer"] = {"type": "Sequence", "normalizers": [*_WITHOUT_MARKS, *rest]}
    return spec


def _normalizer(table: dict[str, Any], path: Path) -> dict[str, Any]:
    gone, spaces, others = _rules(table["precompiled_charsmap"])
    if others > MOST_OTHERS:
        raise UserError(
            f"{path}: expected a table of characters that follows NFKC, as XLM-R's does, found one that differs for "
            f"{others:,} characters; JavaScript cannot follow it: use a teacher with XLM-R's tokenizer"
        )
    replaced = [
        {"type": "Replace", "pattern": {"Regex": f"[{characters}]"}, "content": content}
        for characters, content in ((gone, ""), (spaces, " "))
        if characters
    ]
    return {"type": "Sequence", "normalizers": [*replaced, {"type": "NFKC"}]}


@lru_cache(maxsize=2)
def _rules(table: str) -> Rules:
    read = normalizers.Precompiled(b64decode(table)).normalize_str
    gone, spaces, others = "", "", 0
    for character in map(chr, range(1, sys.maxunicode + 1)):
        if unicodedata.category(character) in ("Cn", "Cs", "Co"):
            continue
        text = f"a{character}b"
        found = read(text)
        if found == unicodedata.normalize("NFKC", text):
            continue
        gone += character if found == "ab" else ""
        spaces += character if found == "a b" else ""
        others += found not in ("ab", "a b")
    return Rules(gone, spaces, others)
