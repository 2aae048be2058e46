"""Prefetch the next batch in a background thread."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
