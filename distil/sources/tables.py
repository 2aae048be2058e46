"""Rows of tables: TSV, CSV, JSON Lines and Parquet.

- TSV has a header, tabs and no quoting: a `"` is a character. Where a quoted field holds a line break or a tab, and the
  file reads well with quoting throughout, it is read so.
- CSV has a header and ordinary quoting.
- JSON Lines has an object a line. A JSON array of objects, and objects over several lines, are read as well up to
  `MAX_JSON` characters.
- Parquet columns of binary values are read as UTF-8.
"""

import csv
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from io import StringIO
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from distil.core.errors import UserError, cut

log = logging.getLogger("distil")

Open = Callable[[], AbstractContextManager[TextIO]]  # a table as text, from its beginning

MAX_JSON = 64 * 2**20  # characters of JSON that is not one object a line
_MAX_CSV_FIELD = 16 * 2**20  # characters; a field beyond it is a quote that was never closed
_GAP = re.compile(r"[ \t\r\n,]*")  # between JSON values
_LONGEST_RECORD = 50  # lines of a quoted row of a TSV file


def find_columns(path: Path, header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the wanted columns are in a header.

    Raises:
        UserError: one is not there, or twice.
    """
    missing = [name for name in wanted if name not in header]
    if missing:
        raise UserError(
            f"{path}: expected columns {', '.join(wanted)}, found {cut(', '.join(header)) or 'an empty file'}; change "
            "the column names in params.yaml or the header"
        )
    if twice := [name for name in wanted if header.count(name) > 1]:
        raise UserError(f"{path}: expected one column {twice[0]}, found {header.count(twice[0])}; rename the others")
    return [header.index(name) for name in wanted]


def read_tsv(opened: Open, path: Path, columns: Sequence[str], dropped: Counter[str]) -> Iterator[tuple[Any, ...]]:
    """The values of `columns` in each row; one with more or fewer cells than the header counts as `wrong_columns`.

    Raises:
        UserError: a column is missing, or a row is cut in two at a line break in quotes.
    """
    if line := _first_quoted_row(opened):
        _check_quoted(opened, path, line)
        log.info("%s: fields are quoted (line %d); it is read as CSV with tabs", path, line)
        yield from read_csv(opened, path, columns, dropped, "\t")
        return
    with opened() as stream:
        header = stream.readline().rstrip("\r\n").split("\t")
        places = find_columns(path, header if header != [""] else [], columns)
        for row in stream:
            cells = row.rstrip("\r\n").split("\t")
            if len(cells) == len(header):
                yield tuple(cells[place] for place in places)
            else:
                dropped["wrong_columns"] += 1


def _first_quoted_row(opened: Open) -> int:
    """The number of the first line of a TSV file that is a whole row only if `"` quotes; 0 if there is none."""
    with opened() as stream:
        width = stream.readline().count("\t") + 1
        open_rows: list[tuple[int, list[str]]] = []  # lines that may be the beginning of such a row, with what follows
        for number, line in enumerate(stream, 2):
            for _, row in open_rows:
                row.append(line)
            if '"' in line:
                if line.count("\t") + 1 != width and _opens_quote(line):
                    open_rows.append((number, [line]))
                for first, row in open_rows:
                    if _is_one_record(row, width):
                        return first
            open_rows = [(first, row) for first, row in open_rows if len(row) < _LONGEST_RECORD]
    return 0


def _opens_quote(line: str) -> bool:
    """Whether a cell begins with a quotation mark that it does not close."""
    cells = line.rstrip("\r\n").split("\t")
    return any(cell.startswith('"') and cell.count('"') % 2 for cell in cells)


def _is_one_record(lines: list[str], width: int) -> bool:
    try:
        records = list(csv.reader(lines, delimiter="\t", strict=True))
    except csv.Error:
        return False
    return len(records) == 1 and len(records[0]) == width


def _check_quoted(opened: Open, path: Path, line: int) -> None:
    with opened() as stream:
        try:
            csv.field_size_limit(_MAX_CSV_FIELD)
            for _ in csv.reader(stream, delimiter="\t", strict=True):
                pass
        except csv.Error:
            raise UserError(
                f'{path}: line {line}: a quoted field holds a line break or a tab, but elsewhere in the file a " is a '
                "character; write each row on one line without quoting, or quote all of the file and name it .csv"
            ) from None


def read_csv(
    opened: Open, path: Path, columns: Sequence[str], dropped: Counter[str], delimiter: str = ","
) -> Iterator[tuple[Any, ...]]:
    """As `read_tsv`, with quoting.

    Raises:
        UserError: a column is missing, or a quotation mark is never closed.
    """
    csv.field_size_limit(_MAX_CSV_FIELD)
    with opened() as stream:
        reader = csv.reader(stream, delimiter=delimiter, strict=True)  # strict: an open quote must not swallow the rest
        try:
            header = next(reader, [])
            places = find_columns(path, header, columns)
            for cells in reader:
                if len(cells) == len(header):
                    yield tuple(cells[place] for place in places)
                elif cells:
                    dropped["wrong_columns"] += 1
        except csv.Error as error:
            raise UserError(f"{path}: line {reader.line_num}: not valid CSV ({error}); mend the quotes") from None


def read_jsonl(opened: Open, path: Path, columns: Sequence[str], dropped: Counter[str]) -> Iterator[tuple[Any, ...]]:
    """The values of `columns` in each object, None where it has none; what is no object counts as `not_json`.

    Raises:
        UserError: a column is in no object, or there is no object.
    """
    first: list[str] | None = None
    seen: set[str] = set()
    other = ""
    with opened() as stream:
        for row in _json_values(stream, path):
            if not isinstance(row, dict):
                dropped["not_json"] += 1
                other = other or cut(row)
                continue
            first = list(row) if first is None else first
            seen.update(name for name in columns if name in row)
            yield tuple(row.get(name) for name in columns)
    if first is None and other:
        raise UserError(
            f'{path}: expected an object a line, such as {{"{columns[0]}": ...}}, found {other}; convert it'
        )
    if len(seen) < len(columns):  # a row may lack a field, all rows may not
        find_columns(path, sorted(seen.union(first or [])), columns)


def _json_values(stream: TextIO, path: Path) -> Iterator[Any]:
    """The value of each line, its text where it is no JSON; of an array or objects over several lines each object."""
    lines = (line for line in iter(lambda: stream.readline(MAX_JSON), "") if line.strip())
    first = next(lines, "")
    if first.lstrip()[:1] not in ("[", "{") or isinstance(_json(first), dict):
        yield from map(_json, chain([first] if first else [], lines))
        return
    text = first + stream.read(MAX_JSON)
    objects = _objects(text)
    rest = stream.readline()
    if objects is not None and not rest:
        yield from objects
        return
    text += rest
    if rest and not any(isinstance(_json(line), dict) for line in islice(StringIO(text, newline=None), 1, 100)):
        raise UserError(
            f"{path}: expected an object a line, found one JSON value of more than {MAX_JSON // 2**20} MiB; write a "
            "line for each object, such as with `jq -c '.[]'`"
        )
    yield from map(_json, chain(StringIO(text, newline=None), lines))


def _objects(text: str) -> list[Any] | None:
    """The JSON values of a text, of an array of objects the objects; None if it is not made of such."""
    decoder, at = json.JSONDecoder(), 0
    found: list[Any] = []
    while gap := _GAP.match(text, at):
        if gap.end() == len(text):
            break
        try:
            value, at = decoder.raw_decode(text, gap.end())
        except (ValueError, RecursionError):
            return None
        objects = isinstance(value, list) and all(isinstance(each, dict) for each in value)
        found += value if objects else [value]
    return found


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


def read_parquet(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The values of `columns` in each row.

    Raises:
        UserError: a column is missing.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        find_columns(path, file.schema_arrow.names, columns)
        for batch in file.iter_batches(batch_size=1024, columns=list(columns)):
            yield from zip(*(map(_as_text, batch.column(name).to_pylist()) for name in columns), strict=True)


def _as_text(value: Any) -> Any:
    """Bytes, alone or in a list, as text: a writer that does not say UTF-8 leaves them so."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return [_as_text(each) for each in value] if isinstance(value, list) else value


def class_names(path: Path, column: str) -> list[str]:
    """The names that Hugging Face's `datasets` keeps in a Parquet file for the numbers of a column, if any."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        kept = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        feature = json.loads(kept)["info"]["features"][column]
        while not isinstance(feature, dict) or "names" not in feature:
            feature = feature[0] if isinstance(feature, list) else feature["feature"]  # of a list its items
        return [str(name) for name in feature["names"]]
    except (ValueError, KeyError, IndexError, TypeError):
        return []
