"""Sentences in tokens with a tag each, from CoNLL files or from tables with two columns of lists.

CoNLL: a token and its tag a line, parted by spaces or a tab; an empty line ends a sentence. Where there are more
columns (CoNLL-2003 has four), the token is the first and the tag the last. `-DOCSTART-` lines are no sentences.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from distil.sources.local_files import file_format, read_rows
from distil.sources.text_streams import open_text
from distil.tasks.config import Account, TaskConfig
from distil.tasks.data import TokenRow
from distil.text.cleaning import clean_line

CONLL_FORMATS = (".txt", ".conll")
FORMATS = (*CONLL_FORMATS, ".jsonl", ".parquet")

_GAP = re.compile(r"[ \t]+")


def read_file(path: Path, config: TaskConfig, account: Account) -> Iterator[TokenRow]:
    """The usable sentences of a .txt, .conll, .jsonl or .parquet file.

    Raises:
        UserError: the file is damaged or lacks a column.
    """
    if file_format(path) in CONLL_FORMATS:
        return usable(_read_conll(path), account)
    return usable(read_rows(path, [config.text_column, config.label_column], account.dropped), account)


def usable(pairs: Iterable[tuple[Any, ...]], account: Account) -> Iterator[TokenRow]:
    """Sentences with cleaned tokens; those that cannot be used are counted.

    Args:
        pairs: tokens and tags as they were found.
        account: counts `no_text`, `empty`, `mismatch` (not as many tags as tokens, or no strings), `not_utf8`,
            `empty_token`, `unknown_label`.
    """
    for tokens, tags in pairs:
        if not isinstance(tokens, list) or not isinstance(tags, list):
            account.drop("no_text")
        elif not tokens:
            account.drop("empty")
        elif len(tokens) != len(tags) or not all(isinstance(token, str) for token in tokens):
            account.drop("mismatch")
        elif None in (lines := [clean_line(token) for token in tokens]):
            account.drop("not_utf8")
        elif "" in lines:
            account.drop("empty_token")
        elif None in (known := [account.known(tag) for tag in tags]):
            account.drop("unknown_label")
        else:
            yield TokenRow([line for line in lines if line], [tag for tag in known if tag])


def _read_conll(path: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Tokens and tags of each sentence; a line without a tag leaves a token too many."""
    tokens: list[str] = []
    tags: list[str] = []
    with open_text(path) as stream:
        for line in stream:
            cells = _GAP.split(line.strip("\r\n \t"))
            if cells == [""]:
                if tokens:
                    yield tokens, tags
                tokens, tags = [], []
            elif cells[0] != "-DOCSTART-":
                tokens.append(cells[0])
                tags.extend(cells[-1:] if len(cells) > 1 else [])
    if tokens:
        yield tokens, tags
