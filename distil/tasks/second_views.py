"""Training rows a second time without marks (`tasks.NAME.marks: both`), so that a model learns both spellings."""

from collections.abc import Sequence
from typing import Any

from distil.tasks.data import Row, TextRow, TokenRow
from distil.text.views import without_marks


def with_second_views(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The lines of train.jsonl: each row and, where it differs and is not empty, itself without marks behind it.

    A second view has `second_view: true`, by which `Task.row_numbers` knows it.
    """
    found: list[dict[str, Any]] = []
    for row in rows:
        found.append(row._asdict())
        if (bare := _without_marks(row)) != row and all([bare.text] if isinstance(bare, TextRow) else bare.tokens):
            found.append({**bare._asdict(), "second_view": True})
    return found


def _without_marks(row: Row) -> Row:
    if isinstance(row, TextRow):
        return TextRow(without_marks(row.text), row.label)
    return TokenRow(list(map(without_marks, row.tokens)), row.tags)
