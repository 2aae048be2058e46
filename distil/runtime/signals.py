"""Exit cleanly on SIGINT or SIGTERM while Python still imports. Imports little: it comes before all else."""

import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
STARTED = time.monotonic()  # close to the start of a stage's process: stages/__init__.py imports this first


def resume_command() -> str:
    """The command that continues this stage."""
    return f"`dvc repro {os.environ.get('DVC_STAGE', '')}".rstrip() + "`"


def interrupted_message() -> str:
    """The last line of a stage that was interrupted."""
    return f"interrupted; {resume_command()} continues from the last finished piece"


def exit_on_signal() -> None:
    """Until runtime.process.run_command takes over, SIGINT and SIGTERM end this process at once: it holds nothing yet.

    A KeyboardInterrupt would come out of whatever module is being imported, as its traceback.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):  # not where it is ignored
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    if "RANK" not in os.environ:  # of several processes the one that started them says it
        sys.stderr.write(interrupted_message() + "\n")
        sys.stderr.flush()
    os._exit(INTERRUPTED)
