"""Lines of a stream in windows of bounded size, each line a text or the reason why it is none."""

import os
import select
from collections.abc import Iterator
from typing import NamedTuple

from distil.text.cleaning import clean_line

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

    Args:
        descriptor: of a file, pipe or terminal, open for reading.
        window: 1 or more.
    """
    lines: list[Line] = []
    begun, length = bytearray(), 0
    while chunk := os.read(descriptor, _CHUNK):
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
