"""What a stage that is told to end says, from its very first moment on. Imports little: it comes before all else."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def again() -> str:
    """The command that goes on with this stage."""
    return f"`dvc repro {os.environ.get('DVC_STAGE', '')}".rstrip() + "`"


def farewell() -> str:
    """The last line of a stage that was told to end."""
    return f"interrupted; {again()} continues from the last finished piece"


def end_at_once() -> None:
    """Until runtime.process.run takes over, SIGINT and SIGTERM end this process at once: it holds nothing yet.

    A KeyboardInterrupt would come out of whatever module is being imported, as its traceback.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):  # not where it is ignored
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    if "RANK" not in os.environ:  # of several processes the one that started them says it
        sys.stderr.write(farewell() + "\n")
        sys.stderr.flush()
    os._exit(INTERRUPTED)
