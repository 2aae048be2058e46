"""What every stage's process does around its work: logging, clean ends, and what the work cost."""

import errno
import json
import logging
import os
import platform
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from distil.core.errors import UserError
from distil.core.files import write_json, write_text
from distil.core.pipeline import MESSAGE_FILE
from distil.runtime.signals import INTERRUPTED, again, farewell
from distil.runtime.standard_streams import say

log = logging.getLogger("distil")

UNITS = ("tokens", "rows", "lines")


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage's `main` and exit: 0 done, 1 a fault of the input in one sentence, 130 interrupted.

    Anything else is our own mistake and keeps its traceback.
    """
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
        _end(farewell(), INTERRUPTED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        _end(f"error: {error.filename or Path.cwd()}: {error.strerror}; free space or allow writing, then {again()}", 1)
    sys.exit(0)


def arguments(*names: str) -> list[str]:
    """What stands behind `python -m stages.NAME` on the command line, one for each of `names`.

    Raises:
        UserError: there are more or fewer.
    """
    found = sys.argv[1:]
    if len(found) != len(names):
        stage = f"stages.{Path(sys.argv[0]).stem}"
        raise UserError(
            f"{stage}: expected `python -m {stage} {' '.join(names)}`, found {' '.join(found) or 'nothing'} there"
        )
    return found


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _end(message: str, status: int) -> NoReturn:
    file = os.environ.get(MESSAGE_FILE) if "RANK" in os.environ else None
    if file is None:
        say(message)
    elif status == 1:
        # All processes may fail alike: the one that started them says it, once.
        write_text(Path(file), json.dumps(message.removeprefix("error: ")))
    sys.exit(status)


def machine() -> str:
    """What the figures of cost were measured on."""
    return f"{platform.machine()}, {os.cpu_count()} CPU cores, Python {platform.python_version()}"


class Cost:
    """What a stage cost: written apart from its results, which must be the same bytes on every run."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def write(self, path: Path, **figures: Any) -> None:
        """Write seconds, peak memory and machine beside the stage's own figures; a count gets its rate beside it."""
        seconds = time.monotonic() - self._start
        rates = {f"{unit}_per_second": round(figures[unit] / max(seconds, 1e-9)) for unit in UNITS if unit in figures}
        write_json(
            path,
            {
                "seconds": round(seconds, 1),
                "peak_memory_mib": round(peak_mib()),
                "machine": machine(),
                **rates,
                **figures,
            },
        )


def peak_mib() -> float:
    """The largest resident set of this process, in MiB.

    getrusage would give that of the process which started it (dvc, a benchmark) where that was larger.
    """
    if sys.platform.startswith("linux"):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, KiB elsewhere
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
