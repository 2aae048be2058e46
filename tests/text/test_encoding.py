"""Encodings are known by their byte order mark, and UTF-16 and UTF-32 without one by their zero bytes."""

import codecs

import pytest

from distil.text.encoding import marked_encoding, may_become_mark, unmarked_encoding

WIDE = ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"]
TEXT = "Ya ce ‘na’am’ da yan’uwa\r\nMutanen ƙauye\r\n"


@pytest.mark.parametrize("name", [*WIDE, "UTF-8"])
def test_a_mark_names_its_encoding(name: str) -> None:
    text = ("\ufeff" + TEXT).encode(name)
    found, mark = marked_encoding(text)
    assert found == name and text[mark:].decode(found) == TEXT


def test_text_without_a_mark_is_utf8() -> None:
    for text in (b"", b"a", TEXT.encode(), b"\xff\xfb"):
        assert marked_encoding(text) == ("UTF-8", 0)


def test_the_first_bytes_of_a_mark_ask_for_more() -> None:
    assert [may_become_mark(head) for head in (b"", b"\xff", b"\xef\xbb", b"\0\0", b"\xff\xfe\0")] == [True] * 5
    assert [may_become_mark(head) for head in (b"a", b"\n", codecs.BOM_UTF8, codecs.BOM_UTF16_BE)] == [False] * 4


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("text", [TEXT, "kin", TEXT * 2000])
def test_zero_bytes_give_an_unmarked_encoding_away(name: str, text: str) -> None:
    assert unmarked_encoding(text.encode(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        b"",
        TEXT.encode(),
        b"one zero\0 and text",
        b"\0" * 100,
        b"text" + b"\0" * 999,
        b"\0",
        b"\0\n",
        b"\x89PNG\0\0\0\rIHDR\0\0",
    ],
)
def test_utf8_with_zero_bytes_and_other_data_are_no_utf16(text: bytes) -> None:
    assert unmarked_encoding(text) is None
