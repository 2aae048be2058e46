"""MLflow: one run for each trained student. A side effect of training, never a condition of it.

Trouble with the store (not installed, locked, damaged, unreachable) is one warning, and the stage goes on; what the
store then lacks, `complete_run` adds from metrics/. A run is found by its tag `distil.key`, the fingerprint in
metrics/distil/summary.json: an experiment that leads to the same student again updates the run that is there. Params
are immutable in MLflow: where that student is fine-tuned, scored or exported with other settings, which are params too,
that is another run with the same key.

Names in MLflow: curves see mlflow_names.py, results see mlflow_results.py, params are dotted as in params.yaml.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distil.tracking.names import Point, curve_points
from distil.tracking.store import masked, tracking_uri
from distil.tracking.student_run import StudentRun, setting_changes

log = logging.getLogger("distil")

SEND_EVERY_SECONDS = 5.0
CLOSE_SECONDS = 60.0


def _warn(error: Exception) -> None:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:500]
    damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
    log.warning(
        "%s; the stage goes on, and %s`dvc repro --force --single-item track` logs this run later",
        masked(f"MLflow store {tracking_uri()}: {reason}"),
        "when that damaged file has been moved away, " if damaged else "",
    )


class LiveRun:
    """The student's run while it trains: `with LiveRun.open(key, params) as run: run.log(step, row)`.

    Opening may take seconds (MLflow's import); from then on a thread sends what was logged every few seconds, so that
    no training step waits for the store. Nothing here raises because of the store.
    """

    def __init__(self, key: str, params: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
        self._key, self._params, self._tags = key, params, tags
        self._pending: list[Point] = []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._status = "FINISHED"
        self._thread: threading.Thread | None = None  # None while there is no store to send to

    @classmethod
    def open(cls, key: str, params: Mapping[str, Any], **tags: Any) -> Self:
        """A run for the student of fingerprint `key`; `params` are nested or dotted, as in params.yaml."""
        return cls(key, params, tags)

    def log(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Figures of a step by FILE/COLUMN, as `train/loss` or `heldout/kin.kl`."""
        if self._thread is not None:
            points = curve_points(step, metrics)
            with self._lock:
                self._pending += points

    def __enter__(self) -> Self:
        try:
            run = StudentRun.of(self._key, self._params)
            run.status("RUNNING")
            run.params(self._params)
            run.tags(self._tags)
        except Exception as error:  # whatever it is, training matters more
            _warn(error)
        else:
            self._thread = threading.Thread(target=self._work, args=(run,), name="mlflow", daemon=True)
            self._thread.start()
        return self

    def _work(self, run: StudentRun) -> None:
        try:
            while not self._stop.wait(SEND_EVERY_SECONDS):
                run.curves(self._take())
            run.curves(self._take())
            run.status(self._status)
        except Exception as error:
            self._thread = None
            _warn(error)

    def _take(self) -> list[Point]:
        with self._lock:
            points, self._pending = self._pending, []
        return points

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._status = "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(CLOSE_SECONDS)
            if thread.is_alive():
                _warn(TimeoutError(f"no answer within {CLOSE_SECONDS:.0f} s"))


def complete_run(
    key: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, Any],
    curves: Iterable[Point],
    artifacts: Iterable[Path],
    settings: Mapping[str, Any] | None = None,
    description: str = "",
) -> bool:
    """Add to the student's run what is known once everything is measured, and mark it `distil.complete`.

    Args:
        key: the student's fingerprint, in metrics/distil/summary.json.
        params: what identifies the student, nested or dotted.
        metrics: figures without steps, of `results.result_metrics`.
        tags: everything else that is worth finding a run by.
        curves: of `results.read_curves`; only points that the store lacks are sent.
        artifacts: files to keep with the run.
        settings: params of what comes after the student: fine-tuning, scoring, export.
        description: Markdown, shown on top of the run's page.

    Returns:
        Whether the store took it all; otherwise one warning was logged.
    """
    try:
        everything = {**params, **(settings or {})}
        run = StudentRun.of(key, everything, settings)
        run.params(everything)
        run.describe(setting_changes(everything), description)
        run.curves(curves)
        run.results(metrics)
        for path in artifacts:
            run.client.log_artifact(run.id, str(path))
        run.status("FINISHED")
        run.tags({**tags, "distil.complete": "true"})
    except Exception as error:
        _warn(error)
        return False
    return True
