"""Streams in UTF-16: decoded whatever the pieces they come in; damage is one sentence."""

import os
import threading

import pytest

from distil.core.errors import UserError
from distil.serving import line_stream
from distil.serving.line_stream import read_windows

TEXTS = ["zuri sana", "ɓoye \U0001f602", "", "mbaya"]


def texts_of(data: bytes) -> list[str]:
    reader, writer = os.pipe()

    def write() -> None:
        with open(writer, "wb") as stream:
            stream.write(data)

    feed = threading.Thread(target=write)
    feed.start()
    try:
        return [line.text or str(line.error) for window in read_windows(reader) for line in window]
    finally:
        feed.join()
        os.close(reader)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 65_536])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"])
def test_a_marked_stream_is_decoded_in_pieces_of_any_size(encoding: str, size: int, monkeypatch) -> None:
    monkeypatch.setattr(line_stream, "_CHUNK", size)
    data = ("\ufeff" + "\n".join(TEXTS)).encode(encoding)
    assert texts_of(data) == [text or "empty line" for text in TEXTS]


def test_a_mark_alone_and_its_first_byte_alone_are_read_to_the_end() -> None:
    for mark in (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b""):
        assert texts_of(mark) == []
    assert texts_of(b"\xff") == ["not UTF-8: byte 0xff at place 1; convert the file"]


def test_half_a_pair_costs_its_line_and_half_a_character_the_stream() -> None:
    half = "\ufeffab\nc\ud83dd\nef".encode("UTF-16LE", "surrogatepass")
    first, second, third = texts_of(half)
    assert (first, third) == ("ab", "ef") and second.startswith("not UTF-8: byte 0xed at place 2")
    with pytest.raises(UserError, match="expected UTF-16LE, as its byte order mark says, found other data"):
        texts_of("\ufeffab\n".encode("UTF-16LE") + b"c")


def test_nobody_waits_for_the_rest_of_a_mark_that_cannot_come() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a\n")
    windows = read_windows(reader)
    assert [line.text for line in next(windows)] == ["a"]
    os.close(writer)
    assert list(windows) == []
    os.close(reader)
