"""Tables without a form yet, and how numbers and names are written in every one of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from distil.report.data import language_name

NONE = "–"
TEXT_LENGTH = 160


class Cell(NamedTuple):
    """A table cell: its text, a smaller text beside it, its share of the row (0 to 1) for shading, and its language."""

    text: str
    detail: str = ""
    share: float | None = None
    language: str = ""


def language_cell(code: str) -> Cell:
    """The head of a language's row."""
    return Cell(language_name(code), code)


@dataclass(frozen=True)
class Table:
    """Rows under column heads.

    The first `headers` cells of a row name it; columns in `texts` hold words, the others numbers. The last row is an
    `average` or sum. In a `grouped` table rows with the same first cell follow each other.
    """

    name: str
    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    headers: int = 1
    texts: tuple[int, ...] = ()
    average: bool = False
    grouped: bool = False
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, a sentence or two, and tables.

    `small` tables stand side by side where there is room; those of a `folded` section open on a click.
    """

    name: str
    title: str
    text: str
    tables: list[Table]
    small: bool = False
    level: int = 2
    folded: bool = False


def points(share: float | None) -> str:
    """0.7123 as 71.2."""
    return NONE if share is None else f"{100 * share:.1f}"


def percent(share: float | None, digits: int = 1) -> str:
    """0.7123 as 71.2 %, with a space that does not break."""
    return NONE if share is None else f"{100 * share:.{digits}f}\u00a0%"


def whole(number: float | None) -> str:
    """12345 as 12,345."""
    return NONE if number is None else f"{number:,.0f}"


def short(number: float) -> str:
    """13127936 as 13.1M."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{unit}"
    return f"{number:.0f}"


def signed(difference: float) -> str:
    """0.0123 as +1.2, with a true minus sign; what rounds to nothing is 0.0, without a sign."""
    rounded = round(100 * difference, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def names(codes: Iterable[str]) -> str:
    """Hausa, Igbo and Yoruba."""
    return listed([language_name(code) for code in codes])


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def shorten(text: str, length: int = TEXT_LENGTH) -> str:
    """One line without control and direction characters, at most `length` characters."""
    line = " ".join("".join(character for character in text if character.isprintable() or character.isspace()).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def between(low: float, high: float) -> str:
    """Lowest and highest as 69.9–72.4."""
    return f"{100 * low:.1f}–{100 * high:.1f}"


def bracket(interval: tuple[float, float], sign: bool = False) -> str:
    """An interval as [69.9, 72.4], of a difference as [−0.3, +2.1]."""
    ends = [signed(end) if sign else f"{100 * end:.1f}" for end in interval]
    return f"[{ends[0]}, {ends[1]}]"


def p_text(p: float) -> str:
    """P as `p = 0.012`, below a thousandth as `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def size(count: float) -> str:
    """Bytes as 43.2 MB, from a thousand MB on as 2.3 GB."""
    if count >= 1e9:
        return f"{count / 1e9:,.1f}\u00a0GB"
    return f"{count / 1e6:,.1f}\u00a0MB"


def times(ratio: float) -> str:
    """3.27 as 3.3 times, 41.6 as 42 times."""
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"
