"""How often each piece of a tokenizer occurs in a language's text, read as a stream."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from distil.core.errors import UserError
from distil.core.files import line_batches
from distil.runtime.progress import Progress

LINES_AT_ONCE = 1000
SAMPLE_LINES = 5000


class PieceCounts(NamedTuple):
    """One language's text as a tokenizer sees it."""

    counts: np.ndarray  # (pieces,) int64, how often each piece occurs
    sample: list[tuple[str, int]]  # see `Sample`


class Sample:
    """Lines, each with its number of pieces, spread evenly over a file of unknown length.

    Every line at first; whenever there are more than `SAMPLE_LINES`, every other one of them is dropped and the stride
    doubles. What stays are the lines 0, s, 2s, ... with s the smallest power of two that leaves few enough.
    """

    def __init__(self) -> None:
        self.lines: list[tuple[str, int]] = []
        self._stride, self._seen = 1, 0

    def add(self, line: str, pieces: int) -> None:
        """The next line of the file that is not empty."""
        if self._seen % self._stride == 0:
            self.lines.append((line, pieces))
            if len(self.lines) > SAMPLE_LINES:
                self.lines = self.lines[::2]
                self._stride *= 2
        self._seen += 1


def read_corpus(
    language: str, path: Path, tokenizer: Tokenizer, progress: Progress, view: Callable[[str], str] = str
) -> PieceCounts:
    """Count the pieces of a text, in a stream.

    Args:
        language: code, for messages.
        path: a text a line.
        tokenizer: whose pieces are counted.
        progress: told the bytes that were read.
        view: what is done to a line first, such as the one in which a task's model reads texts.

    Raises:
        UserError: the file is missing, not UTF-8, or has no word in it.
    """
    counts, sample, lines = np.zeros(tokenizer.get_vocab_size(), np.int64), Sample(), 0
    for batch in line_batches(path, LINES_AT_ONCE):
        read = [view(line) for line in batch]
        encodings = tokenizer.encode_batch_fast(read, add_special_tokens=False)
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int64)
        counts += np.bincount(ids, minlength=len(counts))
        for line, encoding in zip(read, encodings, strict=True):
            if len(encoding):
                sample.add(line, len(encoding))
        lines += len(batch)
        progress.add(sum(len(line.encode()) + 1 for line in batch), language)
    if not counts.any():
        raise UserError(
            f"{path}: {language}: expected text, found none in {lines:,} lines; give it some through `corpus:` of "
            f"params.yaml, or take {language} out of `languages:`"
        )
    return PieceCounts(counts, sample.lines)
