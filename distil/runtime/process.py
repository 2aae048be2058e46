"""A command's process around its work: arguments, logging, exit status."""

import argparse
import errno
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from distil.core.errors import UserError
from distil.core.files import write_text
from distil.core.pipeline import MESSAGE_FILE
from distil.runtime.lean_process import begin_work, end_with
from distil.runtime.signals import INTERRUPTED, STARTED, interrupted_message, resume_command
from distil.runtime.stage_number import stage_number
from distil.runtime.standard_streams import say

log = logging.getLogger("distil")


def run_stage(main: Callable[..., None], *names: str) -> NoReturn:
    """Run the `main` of a stage with its arguments from the command line, then exit as `run_command` does.

    Args:
        main: the stage's work; called with one text for each of `names`.
        names: the arguments of `python -m stages.STAGE`, as its help shows them. Anything else there is refused.
    """

    def work() -> None:
        main(*positional_arguments(main, names))
        log_stage_end()

    run_command(work)


def run_command(main: Callable[[], None]) -> NoReturn:
    """Run a command and exit: 0 done, 1 a fault of the input in one sentence, 130 interrupted.

    Anything else is our own mistake and keeps its traceback.
    """
    begin_work()
    # Of several processes only the first reports on its progress.
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for noisy in ("httpx", "httpx2", "matplotlib", "datasets", "alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        main()
    except UserError as error:
        _end(f"error: {error}", 1)
    except KeyboardInterrupt:
        _end(interrupted_message(), INTERRUPTED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        where = error.filename or Path.cwd()
        _end(f"error: {where}: {error.strerror}; free space or allow writing, then {resume_command()}", 1)
    end_with(0)


class _Parser(argparse.ArgumentParser):
    """A parser whose faults are a UserError: one sentence and exit status 1, as of all bad input."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        usage = " ".join(self.format_usage().removeprefix("usage: ").split())
        raise UserError(f"{self.prog.removeprefix('python -m ')}: {message}; expected `{usage}`")


def positional_arguments(main: Callable[..., None], names: tuple[str, ...]) -> list[str]:
    """The arguments of a stage from the command line, one for each of `names`; `--help` prints help and exits with 0.

    Raises:
        UserError: there are more or fewer, or an option.
    """
    parser = _Parser(
        prog=f"python -m {_module(main)}", description=main.__globals__["__doc__"],
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        epilog="All settings are in params.yaml; `dvc repro` runs the stages whose inputs changed.",
    )  # fmt: skip
    for name in names:
        parser.add_argument(name)
    return [getattr(options, name) for options in [parser.parse_args()] for name in names]


def _module(main: Callable[..., None]) -> str:
    """What `python -m` was given; under an importer (a test) the module of `main`."""
    spec: Any = getattr(sys.modules["__main__"], "__spec__", None) if main.__module__ == "__main__" else None
    return spec.name if spec else main.__module__


def log_stage_end() -> None:
    """Log `7/19 distil 9 s`: which of the stages of dvc.yaml this was, and its seconds since the process started."""
    stage = os.environ.get("DVC_STAGE")
    if stage:  # started by DVC
        number = stage_number(stage)
        log.info("%s%s %.0f s", f"{number.at}/{number.of} " if number else "", stage, time.monotonic() - STARTED)


def program(module: str) -> str:
    """The name in a command's help: `distil NAME` where cli.py started it, else `module`, what `python -m` runs."""
    return sys.argv[0] if sys.argv[0].startswith("distil ") else module


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _end(message: str, status: int) -> NoReturn:
    file = os.environ.get(MESSAGE_FILE) if "RANK" in os.environ else None
    if file is None:
        say(message)
    elif status == 1:
        # All processes may fail alike: the one that started them says it, once.
        write_text(Path(file), json.dumps(message.removeprefix("error: ")))
    end_with(status)
