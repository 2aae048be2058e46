"""A text and its label, from a table with two columns."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from distil.core.errors import described
from distil.sources.local_files import TABLE_FORMATS, read_rows
from distil.tasks.account import RowAccount, label_text
from distil.tasks.class_numbers import with_names
from distil.tasks.config import TaskConfig
from distil.tasks.data import TextRow
from distil.text.cleaning import clean_line

FORMATS = TABLE_FORMATS


def read_file(path: Path, config: TaskConfig, account: RowAccount) -> Iterator[TextRow]:
    """The usable rows of a .tsv, .csv, .jsonl or .parquet file.

    Raises:
        UserError: the file is damaged or lacks a column.
    """
    pairs = read_rows(path, [config.text_column, config.label_column], account.dropped)
    return usable(with_names(pairs, path, config.label_column, config.labels, account), config, account)


def usable(pairs: Iterable[tuple[Any, ...]], config: TaskConfig, account: RowAccount) -> Iterator[TextRow]:
    """Cleaned rows in the view that is asked for; the others are counted.

    Args:
        pairs: text and label as they were found; None is a missing one.
        config: the block of `tasks:`.
        account: counts `no_text`, `not_utf8`, `empty`, `no_label`, `unknown_label`, `empty_after_normalising`.
    """
    listed, view = frozenset(config.labels), config.view
    for text, label in pairs:
        line = clean_line(text) if isinstance(text, str) else None
        if not isinstance(text, str):
            account.drop("no_text", described(text))
        elif line is None:
            account.drop("not_utf8")
        elif not line:
            account.drop("empty")
        elif (name := label_text(label)) is None:
            account.drop("no_label")
        elif name not in listed:
            account.drop_unknown([name])
        elif viewed := view(line):
            yield TextRow(viewed, name)
        else:
            account.drop("empty_after_normalising")
