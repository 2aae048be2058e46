"""Blocks of text cleaned by several processes, in the order in which they were read."""

import os
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from itertools import islice
from multiprocessing import connection, get_context, parent_process

from distil.core.errors import UserError
from distil.corpus.block_cleaning import Block, BlockCleaner

# To start processes takes as long as to clean this many blocks.
_BLOCKS_IN_THIS_PROCESS = 8
_WAITING_FOR_EACH = 2  # blocks read ahead for a process, so that it never waits

_cleaner: BlockCleaner | None = None  # of this process, when it is a worker


def cleaned(blocks: Iterable[bytes], cleaner: BlockCleaner, workers: int) -> Generator[Block, None, None]:
    """Each block cleaned, in order, whatever the number of workers; little text is cleaned in this process.

    Args:
        blocks: lines that each end at LF.
        cleaner: of their language.
        workers: processes; 0 is one for each core.

    Raises:
        UserError: a process was killed.
    """
    blocks = iter(blocks)
    workers = workers or len(os.sched_getaffinity(0))
    if workers == 1:
        yield from map(cleaner.clean, blocks)
        return
    yield from map(cleaner.clean, islice(blocks, _BLOCKS_IN_THIS_PROCESS))
    if (following := next(blocks, None)) is None:
        return
    with ExitStack() as stack:
        # Processes begin afresh: a fork would copy whatever locks the threads of this one hold.
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (cleaner,))
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        waiting: deque[Future[Block]] = deque([pool.submit(_clean, following)])
        try:
            for block in blocks:
                waiting.append(pool.submit(_clean, block))
                if len(waiting) > _WAITING_FOR_EACH * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                "corpus: a process that cleans text was ended from outside, perhaps for lack of memory; set "
                f"corpus.workers in params.yaml below {workers}"
            ) from None


def _start(cleaner: BlockCleaner) -> None:
    global _cleaner
    _cleaner = cleaner
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Else a worker would wait for ever for one that was killed: it holds both ends of the pipe that blocks come by."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _clean(raw: bytes) -> Block:
    assert _cleaner is not None
    return _cleaner.clean(raw)
