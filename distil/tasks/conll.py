"""CoNLL files: a token and its tag a line, an empty line after each sentence.

Columns are separated by tabs where a line has one, by spaces where it has none, so `New York<tab>B-LOC` is one token.
Left out are `-DOCSTART-` lines, comments, and CoNLL-U's ranges (`1-2`) and empty nodes (`8.1`). A comment begins with
`#`, has the form `# key = value` or comes before the first token of a sentence, and is no row of the columns: in
`# O` the `#` is a token.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from distil.core.errors import UserError, cut
from distil.sources.local_files import file_format
from distil.sources.text_streams import open_text
from distil.tasks.tag_schemes import split_tag

CONLL_FORMATS = (".txt", ".conll", ".conllu", ".conllup")

# https://universaldependencies.org/format.html
_CONLLU = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
_GLOBAL_COLUMNS = re.compile(r"#\s*global\.columns\s*=\s*(.*)")
_KEY_VALUE = re.compile(r"# [^=\t]+ =( [^\t]*)?")
_NO_WORD = re.compile(r"[0-9]+[-.][0-9]+")
_GAP = re.compile(r" +")
# White space of any script, and the signs of no width that editors and byte order marks leave; no other controls.
_BLANK = "\t\x0b\x0c\x85\u200b\u2060\ufeff" + "".join(
    chr(code) for code in range(0x3001) if unicodedata.category(chr(code))[0] == "Z"
)
_NUMBER = re.compile(r"-?[1-9][0-9]*")
_MOSTLY = 0.95  # of a column's cells; the rest may be labels that the task does not list


class Columns(NamedTuple):
    """Places of token and tag in a line; below 0 counted from the last column."""

    token: int
    tag: int
    chosen: bool  # the place of the tag is that of params.yaml


class Shape(NamedTuple):
    """How most lines of a file look."""

    width: int  # columns
    tabs: bool


def read_conll(
    path: Path, token_column: str, tag_column: str, is_tag: Callable[[str], bool], where: str
) -> list[tuple[list[str], list[str]]]:
    """Tokens and tags of each sentence; a line that lacks a column leaves fewer of the one than of the other.

    Args:
        path: a file of `CONLL_FORMATS`, perhaps compressed.
        token_column: a number from 1 (-1 is the last column), or a name where the file has names: in CoNLL-U, after
            `# global.columns =`, or where its first line has both names. A file without names is read from its first
            column, whatever the name is.
        tag_column: likewise; a file without names is read from its last column.
        is_tag: whether a text has the form of one of the task's labels.
        where: begins the names of settings in messages, such as "params.yaml: tasks.entities".

    Raises:
        UserError: the file has names and not these, the tokens are numbers, or several columns hold labels and none is
            chosen.
    """
    with open_text(path) as stream:
        lines = [line.rstrip("\r\n") for line in stream]
    names, first = _names(path, lines, (token_column, tag_column))
    del lines[:first]
    columns = Columns(
        _place(path, token_column, names, 0, f"{where}.text_column"),
        _place(path, tag_column, names, -1, f"{where}.label_column"),
        bool(names or _NUMBER.fullmatch(tag_column)),
    )
    shape = _usual_shape(lines)
    found = list(_sentences(lines, columns, shape, is_tag))
    check_tokens(path, [tokens for tokens, _ in found], f"{where}.text_column to the number")
    if not columns.chosen:
        _check_one_tag_column(path, lines, shape.width, is_tag, where)
    return found


def _sentences(
    lines: Sequence[str], columns: Columns, shape: Shape, is_tag: Callable[[str], bool]
) -> Iterator[tuple[list[str], list[str]]]:
    tokens: list[str] = []
    tags: list[str] = []
    for line in lines:
        cells = _cells(line)
        if not cells:
            if tokens or tags:
                yield tokens, tags
            tokens, tags = [], []
        elif not _is_no_token(line, cells, bool(tokens), shape, columns, is_tag):
            tokens += _cell(cells, columns.token)
            tags += _cell(cells, columns.tag) if columns.chosen or len(cells) > 1 else []
    if tokens or tags:
        yield tokens, tags


def _cells(line: str) -> list[str]:
    """The columns of a line; none if it holds only white space of any kind."""
    if not line.strip(_BLANK):
        return []
    return [cell.strip() for cell in line.rstrip("\t ").split("\t")] if "\t" in line else _GAP.split(line.strip(" "))


def _cell(cells: Sequence[str], place: int) -> list[str]:
    """The column at a place; none if the line has no such column."""
    return [cells[place]] if -len(cells) <= place < len(cells) else []


def _names(path: Path, lines: Sequence[str], wanted: tuple[str, str]) -> tuple[Sequence[str], int]:
    """The names of a file's columns, none if it has none, and the number of its first line that is no header."""
    for number, line in enumerate(lines):
        if found := _GLOBAL_COLUMNS.fullmatch(line):
            return found[1].split(), number + 1
        cells = _cells(line)
        if cells and not line.startswith("#"):
            if set(wanted) <= set(cells):
                return cells, number + 1
            break
    return (_CONLLU, 0) if file_format(path) == ".conllu" else ((), 0)


def _place(path: Path, column: str, names: Sequence[str], default: int, setting: str) -> int:
    if _NUMBER.fullmatch(column):
        return int(column) - 1 if int(column) > 0 else int(column)
    if column == "0":
        raise UserError(f"{setting}: expected a column's number from 1, or -1 for the last one, found 0")
    if not names:
        return default
    if column not in names:
        raise UserError(
            f"{path}: expected a column {cut(column)}, found the columns {cut(', '.join(names))}; set {setting} "
            "to one of them or to a number, 1 for the first"
        )
    return list(names).index(column)


def _usual_shape(lines: Sequence[str]) -> Shape:
    shapes = Counter(Shape(len(cells), "\t" in line) for line in lines
                     if not line.startswith("#") and (cells := _cells(line)))  # fmt: skip
    return shapes.most_common(1)[0][0] if shapes else Shape(0, False)


def _is_no_token(
    line: str, cells: Sequence[str], inside: bool, shape: Shape, columns: Columns, is_tag: Callable[[str], bool]
) -> bool:
    """Whether a line is no token of a sentence; `inside` where a token of the sentence came before."""
    if cells[0] == "-DOCSTART-" or (columns.token != 0 and _NO_WORD.fullmatch(cells[0])):
        return True
    if not line.startswith("#") or _KEY_VALUE.fullmatch(line):
        return line.startswith("#")
    row = shape == (len(cells), "\t" in line)
    if cells[0].strip("#") == "":  # `# O` or `# a comment`
        row = row and any(is_tag(cell) or split_tag(cell) for cell in _cell(cells, columns.tag))
    return not inside and not row


def _check_one_tag_column(
    path: Path, lines: Sequence[str], width: int, is_tag: Callable[[str], bool], where: str
) -> None:
    """Refuse a file of which several columns hold labels of the task.

    Raises:
        UserError: names the columns.
    """
    rows = [cells for line in lines if len(cells := _cells(line)) == width]
    columns = [at for at in range(1, width) if sum(is_tag(row[at]) for row in rows) >= _MOSTLY * len(rows)]
    if len(columns) > 1:
        numbers = " and ".join(str(at + 1) for at in columns)
        raise UserError(
            f"{path}: columns {numbers} of {width} hold labels of the task; set {where}.label_column to the number of "
            "one, and text_column to that of the tokens"
        )


def check_tokens(path: Path, sentences: Sequence[Sequence[str]], remedy: str) -> None:
    """Refuse a column that numbers the tokens: 1, 2, 3 in most sentences.

    Args:
        path: of the file.
        sentences: tokens of each.
        remedy: what to set, such as "params.yaml: tasks.entities.text_column to the number".

    Raises:
        UserError: it does.
    """
    long = [tokens for tokens in sentences if len(tokens) > 1]
    counted = sum(map(_counts_up, long))
    if counted * 2 > len(long):
        first = " ".join(next(filter(_counts_up, long))[:4])
        raise UserError(
            f"{path}: expected tokens, found their numbers ({first} ...) in {counted:,} of {len(sentences):,} "
            f"sentences; set {remedy} of the column with the tokens"
        )


def _counts_up(tokens: Sequence[str]) -> bool:
    """Whether the tokens are numbers that go up by one."""
    if not all(token.isascii() and token.isdigit() for token in tokens):
        return False
    first = int(tokens[0])
    return all(int(token) == first + at for at, token in enumerate(tokens))
