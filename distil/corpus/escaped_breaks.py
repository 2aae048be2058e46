"""Line breaks that a source has as a backslash and an n, as MADLAD-400 does. Pure."""

import re
from collections.abc import Iterator
from typing import Literal

EscapedLineBreaks = Literal["auto", "split", "keep"]

_DATASET = "allenai/madlad-400"
_FILE = re.compile(r"[A-Za-z_-]+_(clean|noisy)_\d{4}\.jsonl(\.gz|\.zst)?")  # as the files of that data set are named
_ESCAPED = re.compile(rb"(?:\\r)?\\n")


def are_split(setting: EscapedLineBreaks, dataset: str | None = None, file: str | None = None) -> bool:
    """Whether the escaped line breaks of a source are line breaks.

    Args:
        setting: of params.yaml.
        dataset: id on the hub, of a text from there.
        file: name of the file, of a text on disk.
    """
    if setting != "auto":
        return setting == "split"
    return (dataset or "").lower() == _DATASET or _FILE.fullmatch(file or "") is not None


def split_lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks of lines with a line break for each escaped one."""
    for block in blocks:
        yield _ESCAPED.sub(b"\n", block) if b"\\n" in block else block


def count_lines(block: bytes) -> int:
    """How many lines of a block have an escaped line break."""
    count, place = 0, block.find(b"\\n")
    while place >= 0:
        count += 1
        end = block.find(b"\n", place)
        place = block.find(b"\\n", end) if end >= 0 else -1
    return count
