"""Lines of a stream in windows of bounded size, each line a text or the reason why it is none."""

import codecs
import select
from collections.abc import Iterator
from typing import NamedTuple

from distil.core.errors import UserError
from distil.runtime.standard_streams import read_input
from distil.text.cleaning import clean_line
from distil.text.encoding import marked_encoding, may_become_mark, unmarked_encoding

MAX_BYTES = 65_536
WINDOW = 1024
_CHUNK = 65_536


class Line(NamedTuple):
    """A line's cleaned text, or why it has none."""

    text: str
    error: str | None = None


def read_windows(descriptor: int, window: int = WINDOW) -> Iterator[list[Line]]:
    """Lines in order, at most `window` at once; fewer where the writer pauses, so that the reader never waits.

    Memory is bounded whatever the stream: of a line longer than MAX_BYTES only its length is kept.

    UTF-16 and UTF-32 with a byte order mark are decoded.

    Args:
        descriptor: of a file, pipe or terminal, open for reading.
        window: 1 or more.

    Raises:
        UserError: the stream cannot be read, or is in UTF-16 or UTF-32 without a mark.
    """
    lines: list[Line] = []
    begun, length = bytearray(), 0
    for chunk in _utf8_chunks(descriptor):
        for number, part in enumerate(chunk.split(b"\n")):
            if number:
                lines.append(read_line(bytes(begun), length))
                begun, length = bytearray(), 0
            begun += part[: MAX_BYTES + 1 - len(begun)]
            length += len(part)
        while len(lines) >= window:
            yield lines[:window]
            del lines[:window]
        if lines and not select.select([descriptor], [], [], 0)[0]:
            yield lines
            lines = []
    if length:
        lines.append(read_line(bytes(begun), length))
    if lines:
        yield lines


def _utf8_chunks(descriptor: int) -> Iterator[bytes]:
    """What is read, in UTF-8 and without a byte order mark."""
    head = read_input(descriptor, _CHUNK)
    while may_become_mark(head) and (more := read_input(descriptor, _CHUNK)):
        head += more
    encoding, mark = marked_encoding(head)
    if encoding == "UTF-8" and (found := unmarked_encoding(head)):
        raise UserError(
            f"standard input: expected UTF-8, found {found} without a byte order mark; convert it: "
            f"`iconv -f {found} -t UTF-8 FILE | python -m distil.predict ...`"
        )
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    chunk = head[mark:]
    while chunk or mark:
        mark = 0
        yield chunk if encoding == "UTF-8" else _decode(decoder, chunk, encoding)
        chunk = read_input(descriptor, _CHUNK)
    if encoding != "UTF-8":
        _decode(decoder, b"", encoding, final=True)


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, encoding: str, final: bool = False) -> bytes:
    try:
        return decoder.decode(chunk, final).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise UserError(
            f"standard input: expected {encoding}, as its byte order mark says, found other data ({error.reason}); "
            "convert it to UTF-8"
        ) from None


def read_line(raw: bytes, length: int) -> Line:
    """One line without its end.

    Args:
        raw: its bytes, or the first MAX_BYTES + 1 of them.
        length: how many it has.
    """
    if length > MAX_BYTES:
        return Line("", f"{length:,} bytes in one line; expected at most {MAX_BYTES:,}: put one text on a line")
    try:
        text = clean_line(raw.decode())
    except UnicodeDecodeError as error:
        return Line("", f"not UTF-8: byte 0x{raw[error.start]:02x} at place {error.start + 1}; convert the file")
    return Line(text) if text else Line("", "empty line")
