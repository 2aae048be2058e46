"""Seconds, memory and rates of a stage, for metrics/cost."""

import time
from pathlib import Path
from typing import Any

from distil.core.files import write_json
from distil.runtime.machine import machine, peak_gpu_memory, peak_memory

UNITS = ("tokens", "rows", "lines")


class StageCost:
    """The cost of a stage: written apart from its results, which must be the same bytes on every run."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def write(self, path: Path, **figures: Any) -> None:
        """Write seconds, peaks of memory and machine beside the stage's own figures; a count gets its rate beside it.

        The peak of a GPU is there where one was used.
        """
        seconds = time.monotonic() - self._start
        rates = {f"{unit}_per_second": round(figures[unit] / max(seconds, 1e-9)) for unit in UNITS if unit in figures}
        gpu = peak_gpu_memory()
        write_json(
            path,
            {
                "seconds": round(seconds, 1),
                "peak_memory_mib": round(peak_memory() / 2**20),
                **({} if gpu is None else {"peak_gpu_memory_mib": round(gpu / 2**20)}),
                "machine": machine(),
                **rates,
                **figures,
            },
        )
