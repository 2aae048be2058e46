"""The encoding of a text by its byte order mark, or by its zero bytes. Pure."""

import codecs

# UTF-32 comes first: the mark of little-endian UTF-16 begins that of little-endian UTF-32.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32LE",
    codecs.BOM_UTF32_BE: "UTF-32BE",
    codecs.BOM_UTF16_LE: "UTF-16LE",
    codecs.BOM_UTF16_BE: "UTF-16BE",
    codecs.BOM_UTF8: "UTF-8",
}
_SAMPLE = 2**16  # bytes that are looked at
_ZEROS = 0.2  # least share of zero bytes: even in running text of a script beyond Latin every space has one
_NEARLY_ALL = 0.9
_LEAST = 4  # bytes: of fewer, U+0000 in UTF-8 is as likely


def marked_encoding(head: bytes) -> tuple[str, int]:
    """The encoding that a byte order mark names, and the bytes of the mark; UTF-8 and 0 where there is none.

    Args:
        head: at least the first four bytes of a text, or all that it has.
    """
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name, len(mark)
    return "UTF-8", 0


def may_become_mark(head: bytes) -> bool:
    """Whether more bytes are needed before `marked_encoding` can tell."""
    return any(len(head) < len(mark) and mark.startswith(head) for mark in _MARKS)


def unmarked_encoding(head: bytes) -> str | None:
    """The encoding that zero bytes give away where there is no mark: UTF-16 or UTF-32; None for all else.

    UTF-8 has no zero byte but for U+0000, while UTF-16 of mostly Latin letters has one in nearly every pair, always in
    the same place, and UTF-32 two or three in every four.

    Args:
        head: the beginning of a text.
    """
    head = head[:_SAMPLE]
    zeros = [head[place::4].count(0) for place in range(4)]
    if len(head) < _LEAST or sum(zeros) < max(1, _ZEROS * len(head)):
        return None
    quarter = len(head) / 4
    if min(zeros[2:]) >= _NEARLY_ALL * quarter > zeros[0]:
        return "UTF-32LE"
    if min(zeros[:2]) >= _NEARLY_ALL * quarter > zeros[3]:
        return "UTF-32BE"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    if odd >= _NEARLY_ALL * (even + odd):
        return "UTF-16LE"
    return "UTF-16BE" if even >= _NEARLY_ALL * (even + odd) else None
