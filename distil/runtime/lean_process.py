"""A stage's process without what Python does for nothing at its start and at its end.

torch and transformers are 3,400 modules. Importing them takes a sixth less with the garbage collector off, since none
of it is garbage. Taking them apart at the end takes a second; an exit that leaves the memory to the system takes none
(docs/internals/performance.md has what both give). Imports little: it comes before all else.
"""

import atexit
import gc
import os
import sys
from typing import NoReturn

_status: int | None = None  # with which `end_with` was called


def start_lean() -> None:
    """Collect no garbage until `begin_work`, and skip the interpreter's own end behind every other exit function."""
    gc.disable()
    atexit.register(_leave)  # the first to be registered is the last to run


def begin_work() -> None:
    """What has been imported stays, and is looked at no more; from here on garbage is collected."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def end_with(status: int) -> NoReturn:
    """As sys.exit, for an end that is expected: after a traceback the interpreter ends as it always does."""
    global _status
    _status = status
    sys.exit(status)


def _leave() -> None:
    gc.unfreeze()
    if _status is None:
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return  # the interpreter meets it again and says so
    os._exit(_status)
