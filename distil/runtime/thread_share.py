"""Cores are shared among the stages that run on this machine at once, as of several workers of `dvc queue`.

OpenMP's threads spin while they wait. Two stages with a thread a core each on two cores take several times as long as
one after another (docs/internals/performance.md), so each takes its share instead.

One file for each working directory: locked while a stage runs there, and touched when it ends. A directory whose stage
has just ended counts on for a moment, since its next stage is about to start.
"""

import atexit
import fcntl
import hashlib
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

log = logging.getLogger("distil")

VARIABLE = "OMP_NUM_THREADS"
BETWEEN_STAGES = 30.0  # seconds that a directory counts on after its stage has ended
FOLDER = Path(tempfile.gettempdir()) / f"distil-stages-{os.getuid()}"


def share_cores(folder: Path = FOLDER) -> None:
    """Set OMP_NUM_THREADS to this stage's share of the cores, unless it is set. Before torch or numpy is imported.

    What goes wrong here (a full disk, another user's folder) leaves the threads as they are.
    """
    if VARIABLE in os.environ:
        return
    try:
        others = _register(folder)
    except OSError as error:
        log.debug("%s: %s; all cores are used", folder, error)
        return
    cores = len(os.sched_getaffinity(0))
    if others:
        threads = max(1, cores // (others + 1))
        os.environ[VARIABLE] = str(threads)
        runs = "another run is" if others == 1 else f"{others} other runs are"
        # Not logged: logging is set up later, by which time torch may have been imported.
        sys.stderr.write(
            f"{runs} at work on this machine: {threads} of {cores} cores ({VARIABLE} sets another number)\n"
        )


def _register(folder: Path) -> int:
    """Lock this directory's file until the process ends; returns how many other directories are at work."""
    folder.mkdir(mode=0o700, exist_ok=True)
    own = folder / hashlib.sha256(os.getcwd().encode()).hexdigest()[:16]
    lock = os.open(own, os.O_RDWR | os.O_CREAT, 0o600)  # left open: the lock ends with the process
    fcntl.flock(lock, fcntl.LOCK_SH)  # shared: several stages of one directory are one
    os.utime(own)
    atexit.register(_end, own)
    return sum(_at_work(path) for path in folder.iterdir() if path != own)


def _end(own: Path) -> None:
    if own.exists():
        os.utime(own)


def _at_work(path: Path) -> bool:
    """Whether a stage runs in another directory, or has just ended there; a file long unused is taken away."""
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        idle = time.time() - path.stat().st_mtime
        if idle > 100 * BETWEEN_STAGES:
            path.unlink(missing_ok=True)
        return idle < BETWEEN_STAGES
