"""Texts and table rows out of files, a few at a time: memory does not grow with the data.

Formats by the end of the name: `.txt` (a text a line), `.tsv`, `.csv`, `.jsonl`, `.parquet` (distil/sources/tables.py);
all but Parquet also compressed as `.gz` or `.zst`. Lines end at LF or CR LF, or at CR where a file has no LF.
Bytes that are not UTF-8 come through as lone surrogates (`surrogateescape`), so that the caller can count the line.
"""

import codecs
import csv
import gzip
import io
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, TextIO, cast

from distil.core.errors import UserError, described
from distil.sources.tables import read_csv, read_jsonl, read_parquet, read_tsv

TEXT_FORMATS = (".txt",)
TABLE_FORMATS = (".tsv", ".csv", ".jsonl", ".parquet")
COMPRESSIONS = (".gz", ".zst")

BLOCK_BYTES = 2**19


class NoFileError(UserError):
    """No file matches a pattern."""


def origin_of(folder: str, pattern: str) -> str:
    """What a manifest says of where files are from: the folder's own name and what is looked for below it.

    Not where the folder lies: a manifest is part of an out, and the same text elsewhere must not be other bytes to DVC.
    """
    return f"{Path(os.path.abspath(folder)).name}/{pattern}"  # noqa: PTH100  # resolve() would follow links


def find_files(folder: str, pattern: str, fills: dict[str, str], formats: Sequence[str], where: str) -> list[Path]:
    """The files below `folder` that match `pattern`, in the order of their names, each once.

    Args:
        folder: as in params.yaml; a relative one is taken from the working directory.
        pattern: a glob with {placeholders}; of a folder that it matches, all files that can be read are taken.
        fills: placeholder -> what stands for it, such as {"lang": "kin"}.
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


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """A text file, perhaps compressed, whose lines end at LF, or at CR if it has no LF; a byte order mark is taken off.

    Raises:
        UserError: missing, or the compressed data is damaged or cut short.
    """
    with reading(path):
        newline = "\r" if _lines_end_at_cr(path) else "\n"
        stream = _open_bytes(path)
        with stream, io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline=newline) as text:
            yield text


def _open_bytes(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix == ".zst":
        import pyarrow as pa  # its reader notices a file that was cut short; that of zstandard does not

        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), 2**20)
    return path.open("rb")


def _lines_end_at_cr(path: Path) -> bool:
    """Whether a file has CR and no LF, as those of Mac OS before 2001 and some exports of spreadsheets."""
    found = False
    with _open_bytes(path) as stream:
        while block := stream.read(BLOCK_BYTES):
            if b"\n" in block:
                return False
            found = found or b"\r" in block
    return found


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what damaged data raises into one sentence with the file's name."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (EOFError, zlib.error, csv.Error, ValueError) as error:  # ArrowInvalid is a ValueError
        raise _damaged(path, error) from None
    except OSError as error:  # with a number it is the machine's (no permission, no space), without one the data's
        if error.errno is not None:
            raise
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"{path}: damaged ({reason}); fetch or write the file again")


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
    with reading(path), _open_bytes(path) as stream:
        rest: list[bytes] = []  # pieces of a line whose end is not read yet
        for piece in _pieces(stream, _lines_end_at_cr(path)):
            end = piece.rfind(b"\n") + 1
            if end:
                yield b"".join([*rest, piece[:end]])
                rest = []
            rest.append(piece[end:])
        if last := b"".join(rest):
            yield last if last.endswith(b"\n") else last + b"\n"


def _pieces(stream: IO[bytes], cr: bool) -> Iterator[bytes]:
    """A stream as it comes, without a byte order mark and, where lines end at CR, with LF for it."""
    mark = codecs.BOM_UTF8
    while piece := stream.read(BLOCK_BYTES):
        yield (piece.replace(b"\r", b"\n") if cr else piece).removeprefix(mark)
        mark = b""


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


def in_blocks(values: Iterable[Any], dropped: Counter[str]) -> Iterator[bytes]:
    """Texts as `read_blocks` gives them; what is no text is counted as `no_text`."""
    block = bytearray()
    for value in values:
        if isinstance(value, str):
            block += value.encode("utf-8", "surrogatepass") + b"\n"
            if len(block) >= BLOCK_BYTES:
                yield bytes(block)
                block.clear()
        else:
            dropped["no_text"] += 1
    if block:
        yield bytes(block)
