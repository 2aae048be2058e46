"""Progress of a long loop: a bar with rate and remaining time on a terminal, a log line now and then elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

log = logging.getLogger("distil")

LOG_EVERY_SECONDS = 30.0


def silence_transformers() -> None:
    """Keep transformers' own bars off everything but a terminal, and its notes on new and unused heads to itself."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()


def format_rate(rate: float) -> str:
    """Units a second, or seconds a unit where that is the plainer figure."""
    if rate >= 10 or rate <= 0:
        return f"{rate:,.0f}/s"
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:,.1f} s each"


class Progress:
    """Counts units of work. Use as a context manager and call `add` after each piece."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self._before = 0
        self._start = self._last = time.monotonic()
        self._bar = tqdm(
            total=total, desc=title, unit=f" {unit}", unit_scale=True, disable=not sys.stderr.isatty(), leave=False
        )

    def skip(self, count: int) -> None:
        """`count` units were done by an earlier run, so they say nothing of the rate."""
        self.done += count
        self._before += count
        self._bar.update(count)

    def add(self, count: int, note: str = "") -> None:
        """`count` units more are done; `note` (a loss, a language) stands behind the rate."""
        self.done += count
        self._bar.update(count)
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        now = time.monotonic()
        if self._bar.disable and now - self._last >= LOG_EVERY_SECONDS:
            self._last = now
            rate = self.added / (now - self._start)
            remaining = (self.total - self.done) / rate if rate else float("inf")
            log.info(
                "%s: %s of %s %s, %s, %.0f s left%s",
                self.title, f"{self.done:,}", f"{self.total:,}", self.unit, format_rate(rate), remaining,
                f", {note}" if note else "",
            )  # fmt: skip

    @property
    def added(self) -> int:
        """Units done in this run, without those of an earlier one."""
        return self.done - self._before

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        if kind is None:
            seconds, done = max(self.seconds, 1e-9), self.added
            rate = format_rate(done / seconds)
            log.info("%s: %s %s in %.1f s (%s)", self.title, f"{done:,}", self.unit, seconds, rate)
