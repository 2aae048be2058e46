"""Batches: rows of like length together, so that there is little padding, and prefetching in a background thread.

Without torch: serving imports it.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

# Padded tokens that a model reads at once. On a CPU a few rows that stay in its cache are faster than many.
BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}


def runs(lengths: np.ndarray, batch_tokens: int) -> Iterator[tuple[int, int]]:
    """Cut rows that are sorted by length (N,) into runs (start, stop) whose padded size stays within `batch_tokens`.

    A single row that is longer makes a run of its own.
    """
    start = 0
    for stop in range(1, len(lengths) + 1):
        if stop == len(lengths) or (stop + 1 - start) * int(lengths[stop]) > batch_tokens:
            yield start, stop
            start = stop


def by_length(lengths: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    """The numbers of the rows of each batch, of rows in any order; the padded size as in `runs`."""
    order = np.argsort(lengths, kind="stable")
    for start, stop in runs(lengths[order], batch_tokens):
        yield order[start:stop]


Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(items: Iterable[Item], work: Callable[[Item], Result]) -> Iterator[tuple[Item, Result, float]]:
    """Each item with its result, made in a thread while the one before is in use, and the seconds waited for it."""
    with ThreadPoolExecutor(1) as worker:
        waiting: tuple[Item, Future[Result]] | None = None
        for item in items:
            following = item, worker.submit(work, item)
            if waiting:
                yield _waited(*waiting)
            waiting = following
        if waiting:
            yield _waited(*waiting)


def _waited(item: Item, future: Future[Result]) -> tuple[Item, Result, float]:
    asked = time.monotonic()
    result = future.result()
    return item, result, time.monotonic() - asked
