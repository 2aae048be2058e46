"""Texts and table rows out of files, a few at a time: memory does not grow with the data.

Formats by the end of the name: `.txt` (a text a line), `.tsv`, `.csv`, `.jsonl`, `.parquet` (distil/sources/tables.py);
all but Parquet also compressed as `.gz` or `.zst`. Lines end at LF or CR LF, or at CR where a file has no LF. Text is
UTF-8, or UTF-16 or UTF-32 with a byte order mark (distil/sources/text_streams.py). Bytes that are not UTF-8 are passed
on as lone surrogates (`surrogateescape`), so that the caller can count the line.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from distil.core.errors import UserError, described
from distil.sources.blocks import in_blocks
from distil.sources.tables import read_csv, read_jsonl, read_parquet, read_tsv
from distil.sources.text_streams import open_text, reading, utf8_pieces

TEXT_FORMATS = (".txt",)
TABLE_FORMATS = (".tsv", ".csv", ".jsonl", ".parquet")
COMPRESSIONS = (".gz", ".zst")


class NoFileError(UserError):
    """No file matches a pattern."""


def origin_of(folder: str, pattern: str) -> str:
    """The origin of files for a manifest: the folder's own name and the pattern below it.

    Not the folder's path: a manifest is part of an out, and the same text elsewhere must not be other bytes to DVC.
    """
    return f"{Path(os.path.abspath(folder)).name}/{pattern}"  # noqa: PTH100  # resolve() would follow links


def find_files(folder: str, pattern: str, fills: dict[str, str], formats: Sequence[str], where: str) -> list[Path]:
    """The files below `folder` that match `pattern`, in the order of their names, each once.

    Args:
        folder: as in params.yaml; a relative one is taken from the working directory.
        pattern: a glob with {placeholders}; of a folder that it matches, all files that can be read are taken.
        fills: placeholder -> its value, such as {"lang": "kin"}.
        formats: the endings that the caller can read.
        where: begins every message, such as "params.yaml: corpus".

    Raises:
        NoFileError: nothing matches.
        UserError: the folder is missing, or a file is of another format.
    """
    root = Path(folder)
    for name, value in fills.items():
        pattern = pattern.replace("{" + name + "}", value)
    if not root.is_dir():
        found = "a file" if root.is_file() else "nothing"
        raise UserError(
            f"{where}.path: expected a folder at {folder}, found {found}; a relative path is taken from {Path.cwd()}, "
            "an absolute one works everywhere"
        )
    try:
        found_paths = sorted(root.glob(pattern))
    except ValueError as error:
        raise UserError(f"{where}.pattern: {pattern} is no pattern ({error}); see Python's pathlib for `**`") from None
    files = [file for path in found_paths for file in ([path] if path.is_file() else _files_below(path, formats))]
    if not files:
        names = sorted(path.name for path in root.iterdir())
        listed = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") or "an empty folder"
        raise NoFileError(
            f"{where}.pattern: no file matches {pattern} below {folder}, which holds {listed}; mend either"
        )
    files = list(dict.fromkeys(files))
    for path in files:
        if not _is_readable(path, formats):
            raise UserError(
                f"{path}: expected a name that ends in {', '.join(formats)} (all but Parquet also with .gz or .zst), "
                f"found {''.join(path.suffixes) or 'no ending'}; change {where}.pattern"
            )
    return files


def _files_below(folder: Path, formats: Sequence[str]) -> list[Path]:
    """The files of a folder that can be read, in the order of their names; others and hidden ones are passed over."""
    files = sorted(path for path in folder.rglob("[!.]*") if path.is_file())
    return [path for path in files if _is_readable(path, formats)]


def _is_readable(path: Path, formats: Sequence[str]) -> bool:
    kind = file_format(path)
    return kind in formats and not (kind == ".parquet" and path.suffix in COMPRESSIONS)


def file_format(path: Path) -> str:
    """The ending that names the format, without that of a compression."""
    return Path(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix


def read_rows(path: Path, columns: Sequence[str], dropped: Counter[str]) -> Iterator[tuple[Any, ...]]:
    """The values of `columns` in each row of a table; None where a row has none.

    Args:
        path: .tsv, .csv, .jsonl or .parquet.
        columns: their names.
        dropped: a row that cannot be read at all is counted here: `not_json`, `wrong_columns`.

    Raises:
        UserError: the file is damaged or has no such column.
    """
    if file_format(path) == ".parquet":
        with reading(path):
            yield from read_parquet(path, columns)
        return
    reader = {".tsv": read_tsv, ".csv": read_csv, ".jsonl": read_jsonl}[file_format(path)]
    yield from reader(partial(open_text, path), path, columns, dropped)


def read_blocks(path: Path, column: str, dropped: Counter[str]) -> Iterator[bytes]:
    """The texts of a file in blocks of about `BLOCK_BYTES`: UTF-8 as it was found, each line ends at LF.

    Args:
        path: any format of this module.
        column: the one with the text, of which each line is a text; plain text files have none.
        dropped: counts what is no text: `not_json`, `wrong_columns`, `no_text`.

    Raises:
        UserError: the file is damaged or has no such column.
    """
    if file_format(path) not in TEXT_FORMATS:
        values = (value for (value,) in read_rows(path, [column], dropped))
        yield from in_blocks(_some_text(values, path, column), dropped)
        return
    with reading(path), closing(utf8_pieces(path)) as pieces:
        rest: list[bytes] = []  # pieces of a line whose end is not read yet
        for piece in pieces:
            end = piece.rfind(b"\n") + 1
            if end:
                yield b"".join([*rest, piece[:end]])
                rest = []
            rest.append(piece[end:])
        if last := b"".join(rest):
            yield last if last.endswith(b"\n") else last + b"\n"


def _some_text(values: Iterable[Any], path: Path, column: str) -> Iterator[Any]:
    """The values as they come.

    Raises:
        UserError: at the end, if none of them is text.
    """
    first, text = None, False
    for value in values:
        text = text or isinstance(value, str)
        first = value if first is None else first
        yield value
    if first is not None and not text:
        raise UserError(f"{path}: expected text in the column {column}, found {described(first)}; name another one")
