"""What a figure was measured on, and how a benchmark ends; nothing here loads torch."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, TypeVar

T = TypeVar("T")


def plain_parser(description: str) -> argparse.ArgumentParser:
    """Options that every benchmark has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of torch")
    add_sizes(options)
    options.add_argument(
        "--cpu-seconds", action="store_true",
        help="count the process's CPU seconds, not wall time: for a machine with other work, with --threads 1",
    )  # fmt: skip
    return options


def add_sizes(options: argparse.ArgumentParser) -> None:
    """The two options that make a benchmark smaller."""
    options.add_argument("--quick", action="store_true", help="at most three minutes on two CPU cores")
    options.add_argument("--smallest", action="store_true", help="only whether it runs; the figures mean nothing")


def by_size(options: argparse.Namespace, smallest: T, quick: T, full: T) -> T:
    """What is meant for the size that is asked for."""
    return smallest if options.smallest else quick if options.quick else full


def clock(options: argparse.Namespace) -> Callable[[], float]:
    """What seconds are read from."""
    return time.process_time if options.cpu_seconds else time.perf_counter


def machine(threads: int) -> dict[str, Any]:
    """What a figure was measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "gpu": _gpu(),
        "torch": version("torch"),
        "python": platform.python_version(),
        "load": [round(value, 1) for value in os.getloadavg()],  # other work on the machine, at the end
    }


def _processor() -> str:
    """The name that Linux gives it, or the architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            return next(line.split(":", 1)[1].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _gpu() -> str | None:
    """The GPU's name, where torch is loaded and sees one."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None


def finish(result: dict[str, Any]) -> None:
    """One JSON object as the last line."""
    sys.stdout.flush()
    print(json.dumps(result), flush=True)
