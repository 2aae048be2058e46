"""Lines of a stream: as they stand in the file, in bounded memory, what is no text told in its place."""

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distil.serving.line_stream import MAX_BYTES, Line, read_windows

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=20)


def lines_of(data: bytes, window: int = 4) -> list[list[Line]]:
    reader, writer = os.pipe()
    feed = threading.Thread(target=write_all, args=(writer, data))
    feed.start()
    found = list(read_windows(reader, window))
    feed.join()
    os.close(reader)
    return found


def write_all(writer: int, data: bytes) -> None:
    with open(writer, "wb") as stream:
        stream.write(data)


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXT, max_size=12), st.booleans())
def test_every_line_comes_once_and_in_its_order(texts, ended) -> None:
    data = "\n".join(texts) + ("\n" if ended and texts else "")
    windows = lines_of(data.encode())
    expected = data.split("\n")
    expected = expected[:-1] if not expected[-1] else expected
    assert all(len(window) <= 4 for window in windows)
    flat = [line for window in windows for line in window]
    assert len(flat) == len(expected)
    for line, text in zip(flat, expected, strict=True):
        assert (line.error == "empty line") == (line.text == "")
        assert line.text.split() == line.text.split(" ") or not line.text
        assert text.isspace() or not text.isalnum() or line.text


@pytest.mark.parametrize("data", [b"\0", b"\0\n", b"\0\0\0\0\n", b"one\0two\nthree\n"])
def test_zero_characters_are_lines_of_utf_8(data: bytes) -> None:
    flat = [line for window in lines_of(data) for line in window]
    assert len(flat) == len(data.splitlines())


def test_what_is_no_text_is_told_in_its_place_and_the_rest_is_read() -> None:
    data = b"one\n\xff\xfe two\n\n  \t\n" + b"x" * 1_000_000 + b"\nthree\r\n" + b"y" * MAX_BYTES + b"\nlast"
    flat = [line for window in lines_of(data) for line in window]
    assert [line.text[:5] for line in flat] == ["one", "", "", "", "", "three", "yyyyy", "last"]
    assert flat[1].error == "not UTF-8: byte 0xff at place 1; convert the file"
    assert flat[2].error == flat[3].error == "empty line"
    assert flat[4].error == "1,000,000 bytes in one line; expected at most 65,536: put one text on a line"
    assert not any(flat[number].error for number in (0, 5, 6, 7))


def test_nobody_waits_for_a_full_window() -> None:
    reader, writer = os.pipe()
    windows = read_windows(reader, 1000)
    os.write(writer, b"first\nsecond\nhal")
    assert [line.text for line in next(windows)] == ["first", "second"]
    os.write(writer, b"f\n")
    assert [line.text for line in next(windows)] == ["half"]
    os.close(writer)
    assert list(windows) == []
    os.close(reader)
