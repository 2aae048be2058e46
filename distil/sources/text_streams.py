"""The bytes of text files: unpacked, decoded to UTF-8, and every kind of damage as one sentence.

A file may be packed (`.gz`, `.zst`) and in UTF-8, or in UTF-16 or UTF-32 with a byte order mark. Bytes that are not
UTF-8 are passed on, so that the caller can count their line.
"""

import codecs
import csv
import gzip
import io
import logging
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TextIO, cast

from distil.core.errors import UserError
from distil.sources.blocks import BLOCK_BYTES
from distil.text.encoding import marked_encoding, unmarked_encoding

log = logging.getLogger("distil")

PACKED_BYTES = 2**12  # of a .zst file at once, which unpacked are 128 MiB at most
MAX_WINDOW = 2**31  # bytes; the largest that `zstd --long=31` makes, kept in memory while a file is unpacked


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """A text file, perhaps packed, whose lines end at LF; a byte order mark is taken off.

    Raises:
        UserError: missing, damaged or cut short, or in another encoding than UTF-8 without a mark that says so.
    """
    with reading(path), closing(utf8_pieces(path)) as pieces:
        stream = io.BufferedReader(_PieceStream(pieces), BLOCK_BYTES)
        with io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="\n") as text:
            yield text


def utf8_pieces(path: Path) -> Generator[bytes, None, None]:
    """The bytes of a file, unpacked, in UTF-8 and without a byte order mark, about `BLOCK_BYTES` at a time.

    UTF-16 and UTF-32 with a mark are decoded; half of a surrogate pair becomes bytes that are not UTF-8, as any others.
    Where a file has CR and no LF, each CR is an LF.
    """
    cr = _lines_end_at_cr(path)
    for piece in _decoded(path):
        yield piece.replace(b"\r", b"\n") if cr else piece


def _lines_end_at_cr(path: Path) -> bool:
    """Whether a file has CR and no LF, as those of Mac OS before 2001 and some exports of spreadsheets."""
    found = False
    with closing(_decoded(path)) as pieces:
        for piece in pieces:
            if b"\n" in piece:
                return False
            found = found or b"\r" in piece
    return found


def _decoded(path: Path) -> Generator[bytes, None, None]:
    with _open_bytes(path) as stream:
        piece = stream.read(BLOCK_BYTES)
        encoding, mark = marked_encoding(piece)
        piece = piece[mark:]
        if encoding == "UTF-8":
            if found := unmarked_encoding(piece):
                unpack = {".gz": "gzip -dc FILE |", ".zst": "zstd -dc FILE |"}.get(path.suffix, "< FILE")
                raise UserError(
                    f"{path}: expected UTF-8, found {found} without a byte order mark; convert it: "
                    f"`{unpack} iconv -f {found} -t UTF-8 > NEW`"
                )
            while piece:
                yield piece
                piece = stream.read(BLOCK_BYTES)
            return
        _tell(path, encoding)
        decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        while piece:
            yield decoder.decode(piece).encode("utf-8", "surrogatepass")
            piece = stream.read(BLOCK_BYTES)
        decoder.decode(b"", final=True)


@lru_cache
def _tell(path: Path, encoding: str) -> None:
    """Log it once for each file, which may be opened several times."""
    log.info("%s: decoded from %s, as its byte order mark says", path, encoding)


class _PieceStream(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _open_bytes(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix == ".zst":
        return io.BufferedReader(_PieceStream(_unpack_zstd(path)), BLOCK_BYTES)
    return path.open("rb")


def _unpack_zstd(path: Path) -> Iterator[bytes]:
    """The frames of a .zst file one after another, with windows up to `MAX_WINDOW`.

    Raises:
        EOFError: the last frame is cut short; zstandard's own file objects do not notice.
        UserError: a window is larger than `MAX_WINDOW`, or this machine has not enough memory for it.
    """
    import zstandard

    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    frame = None
    with path.open("rb") as stream:
        while packed := stream.read(PACKED_BYTES):
            while packed:
                if frame is None or frame.eof:
                    frame = unpacker.decompressobj()
                try:
                    yield frame.decompress(packed)
                except (zstandard.ZstdError, MemoryError) as error:
                    if isinstance(error, MemoryError) or "memory" in str(error):
                        raise _too_large(path, packed) from None
                    raise ValueError(str(error)) from None
                packed = frame.unused_data
    if frame is None or not frame.eof:
        raise EOFError("the file ends too early")


def _too_large(path: Path, head: bytes) -> UserError:
    import zstandard

    try:
        window = f"{zstandard.get_frame_parameters(head).window_size / 2**20:,.0f} MiB"
    except zstandard.ZstdError:  # the window is written further in the file
        window = "a larger one"
    return UserError(
        f"{path}: expected a zstd window of at most {MAX_WINDOW / 2**20:,.0f} MiB that fits into memory, found "
        f"{window}; unpack the file first (`zstd -d --long=31 FILE`) or pack it again without --long"
    )


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
