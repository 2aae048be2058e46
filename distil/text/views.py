"""The view of a text that a task or the corpus asks for: the same in training and at serving.

`without_marks` takes combining marks off, those of tone and those that make a letter of their own (ẹ becomes e), so it
loses orthography. `in_latin_script` transliterates letters of other scripts by uroman (Hermjakob et al. 2018, ACL, Demo
Track), which is imported only then; Latin letters stay as they are.
"""

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from distil.core.errors import UserError
from distil.text.normalisation import normalise

Marks = Literal["keep", "drop"]
Script = Literal["keep", "latin"]

_RUNS_KEPT = 1 << 16  # transliterated words that are remembered


class TextView(NamedTuple):
    """What is done to a cleaned text before a model reads it."""

    normalised: bool = False
    marks: Marks = "keep"
    script: Script = "keep"

    def __call__(self, line: str) -> str:
        """The text as the model reads it, perhaps empty."""
        if self.normalised:
            line = normalise(line)
        if self.script == "latin":
            line = in_latin_script(line)
        return without_marks(line) if self.marks == "drop" else line

    def as_manifest(self) -> dict[str, Any]:
        """For a manifest, which names marks and script only where they are not kept."""
        changed = {"marks": self.marks, "script": self.script}
        return {"normalised": self.normalised} | {key: value for key, value in changed.items() if value != "keep"}


class _WithoutMarks(dict[int, int | None]):
    """For str.translate, of decomposed text: what is no nonspacing mark (Unicode category Mn) stays."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code)) == "Mn" else code
        return self[code]


_WITHOUT_MARKS = _WithoutMarks()


def without_marks(line: str) -> str:
    """`line` in Unicode NFC without nonspacing marks: "Ọ̀rọ̀" is "Oro"."""
    if line.isascii():
        return line
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", line).translate(_WITHOUT_MARKS))


def in_latin_script(line: str) -> str:
    """`line` with the letters, marks and digits of other scripts in Latin ones, white space collapsed.

    A run of them within a word is transliterated by itself and without its language's own rules, so that a word is
    always written alike: the language of a text is not known at serving.

    Raises:
        UserError: uroman is not installed.
    """
    if line.isascii():
        return line
    return " ".join(unicodedata.normalize("NFC", _other_script().sub(_transliterated, line)).split())


def _transliterated(found: Any) -> str:
    return _romanised(found.group())


@lru_cache(_RUNS_KEPT)
def _romanised(run: str) -> str:
    return romaniser()(run)


@lru_cache(1)
def _other_script() -> Any:
    """Runs that begin with a character of another script; marks and modifier letters of no script go with it."""
    import regex

    romaniser()
    return regex.compile(r"[^\p{Latin}\p{Common}\p{Inherited}](?:[^\p{Latin}\p{Common}]|(?!\p{Latin})\p{Lm})*")


@lru_cache(1)
def romaniser() -> Callable[[str], str]:
    """The function of uroman from a string to its transliteration; it takes two seconds to load.

    Raises:
        UserError: uroman is not installed.
    """
    try:
        from uroman import Uroman
    except ImportError:
        raise UserError(
            "script: latin needs the package uroman, which is not installed; run `pip install 'distil[latin]'`"
        ) from None
    romanise: Callable[[str], str] = Uroman().romanize_string
    return romanise
