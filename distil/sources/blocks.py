"""Texts in blocks of bytes, the form in which every source gives raw text."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

BLOCK_BYTES = 2**19


def in_blocks(values: Iterable[Any], dropped: Counter[str]) -> Iterator[bytes]:
    """Texts as UTF-8 lines in blocks of about `BLOCK_BYTES`; what is no text is counted as `no_text`."""
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
