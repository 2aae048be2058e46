"""The run of one student in the MLflow store: found by its key, or created; named, described and filled.

Errors of the store are raised; run.py catches them.
"""

import logging
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from distil.tracking.names import Point, changed_name, flatten, param_text, same_param, valid_name
from distil.tracking.store import (
    EXPERIMENT,
    artifact_folder,
    first_touch,
    is_foreign,
    mask_logs,
    masked,
    tracking_uri,
)
from distil.tracking.view import experiment_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger("distil")

POINTS_A_BATCH, PAIRS_A_BATCH = 1000, 100  # limits of MLflow's log_batch


def _import_client() -> "type[MlflowClient]":
    """MLflow's client class, imported as late as this: it costs a process 1 to 6 s."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # A server that is down is tried for a minute at most, not for MLflow's ten and more.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    mask_logs()
    return MlflowClient


def _git(*words: str) -> str:
    """What git prints; "" where there is no repository, no such revision or no git."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, encoding="utf-8", timeout=10)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _baseline() -> str:
    """The commit that the experiment, or else the workspace, started from."""
    return os.environ.get("DVC_EXP_BASELINE_REV") or _git("rev-parse", "HEAD")


def setting_changes(params: Mapping[str, Any]) -> str:
    """What differs from the params.yaml that the run started from, for its name; "" where nothing does."""
    try:
        before = yaml.safe_load(_git("show", f"{_baseline()}:./params.yaml"))
    except yaml.YAMLError:
        before = None
    return changed_name(flatten(before), flatten(params)) if isinstance(before, Mapping) else ""


def _settings(params: Mapping[str, Any]) -> dict[str, str]:
    """Params, nested or dotted, as MLflow keeps them."""
    return {valid_name(name): param_text(value) for name, value in flatten(params).items()}


def _experiment(client: "MlflowClient", uri: str) -> str:
    """The number of the experiment, which is created where it is missing."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        artifacts = artifact_folder(uri)
        return client.create_experiment(EXPERIMENT, artifact_location=artifacts.as_uri() if artifacts else None)
    number: str = experiment.experiment_id
    if experiment.lifecycle_stage == "deleted":
        raise RuntimeError(
            f"the experiment {EXPERIMENT} was deleted; bring it back with `MLFLOW_TRACKING_URI={uri} mlflow "
            f"experiments restore --experiment-id {number}`"
        )
    if is_foreign(uri, experiment.artifact_location or ""):
        log.warning(
            "MLflow store %s: artifacts of the experiment %s go to %s, a folder of another clone or machine; `mlflow "
            "experiments rename --experiment-id %s --new-name %s-old` gives new runs a place of their own",
            masked(uri), EXPERIMENT, experiment.artifact_location, number, EXPERIMENT,
        )  # fmt: skip
    return number


class StudentRun:
    """The run of one student in the store."""

    def __init__(self, client: "MlflowClient", run: "Run", fresh: bool) -> None:
        self.client, self.id, self._run_name = client, run.info.run_id, run.info.run_name
        self._experiment = run.info.experiment_id
        self._params, self._tags, self._metrics = dict(run.data.params), dict(run.data.tags), dict(run.data.metrics)
        self._steps: dict[str, set[int]] | None = {} if fresh else None

    @classmethod
    def of(cls, key: str, params: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> "StudentRun":
        """Find the student's run by its key, or create it.

        Args:
            key: the student's fingerprint.
            params: all that is known, for the name of a new run.
            settings: those of fine-tuning, scoring and export; a run that has other ones is another run.
        """
        uri, client_class = tracking_uri(), _import_client()
        with first_touch(uri):
            client = client_class(uri, registry_uri=uri)  # else MLFLOW_TRACKING_URI as it is, perhaps relative
            number = _experiment(client, uri)
            found = client.search_runs([number], filter_string=f"tags.`distil.key` = '{key}'")
            match = cls._with_settings(found, _settings(settings or {}))
            if match:
                run = cls(client, match, fresh=False)
            else:
                name = setting_changes(params) or os.environ.get("DVC_EXP_NAME") or f"repro-{key[:8]}"
                created = client.create_run(number, tags={"distil.key": key}, run_name=name)
                run = cls(client, created, fresh=True)
        run.describe_origin()
        return run

    @staticmethod
    def _with_settings(runs: "Iterable[Run]", settings: Mapping[str, str]) -> "Run | None":
        """The run with these settings, else one that has none yet, which is not complete; else None."""
        unset = None
        for run in runs:
            known = {name: run.data.params[name] for name in settings if name in run.data.params}
            if all(same_param(value, settings[name]) for name, value in known.items()):
                if len(known) == len(settings):
                    return run
                unset = run
        return unset

    def describe_origin(self) -> None:
        """Experiments that led to this student, and the commits they started from."""
        tags = {"dvc.baseline_rev": _baseline(), "mlflow.source.git.commit": _git("rev-parse", "HEAD")}
        name = os.environ.get("DVC_EXP_NAME")
        known = [each for each in self._tags.get("dvc.exp_name", "").split(", ") if each]
        if name:
            tags["dvc.exp_name"] = ", ".join(known if name in known else [*known, name])
        self.tags({key: value for key, value in tags.items() if value})

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; a later value replaces the earlier one."""
        from mlflow.entities import RunTag

        pairs = [RunTag(valid_name(key), param_text(value)) for key, value in tags.items()]
        for start in range(0, len(pairs), PAIRS_A_BATCH):
            self.client.log_batch(self.id, tags=pairs[start : start + PAIRS_A_BATCH])
        self._tags |= {pair.key: pair.value for pair in pairs}

    def params(self, params: Mapping[str, Any]) -> None:
        """Log params once. MLflow keeps the first value for good, so another one becomes the tag `latest.NAME`."""
        from mlflow.entities import Param

        texts = _settings(params)
        new = [Param(key, text) for key, text in texts.items() if key not in self._params]
        for start in range(0, len(new), PAIRS_A_BATCH):
            self.client.log_batch(self.id, params=new[start : start + PAIRS_A_BATCH])
        self._params |= {param.key: param.value for param in new}
        changed = {f"latest.{key}": text for key, text in texts.items() if not same_param(text, self._params[key])}
        back = {f"latest.{key}": text for key, text in texts.items() if f"latest.{key}" in self._tags}
        self.tags(back | changed)

    def results(self, metrics: Mapping[str, float]) -> None:
        """Log figures that have no steps; one that the run holds already is not logged again."""
        now = int(time.time() * 1000)
        self._send([Point(key, 0, value, now) for key, value in metrics.items() if self._metrics.get(key) != value])

    def curves(self, points: Iterable[Point]) -> None:
        """Log points whose step the run lacks: a resumed training, or one seen before, doubles nothing."""
        points = list(points)
        if self._steps is None:
            self._steps = {}
            for name in self._metrics:
                if name.startswith("train/"):
                    self._steps[name] = {old.step for old in self.client.get_metric_history(self.id, name)}
        new = [point for point in points if point.step not in self._steps.get(point.name, ())]
        self._send(new)
        for point in new:
            self._steps.setdefault(point.name, set()).add(point.step)

    def _send(self, points: list[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(point.name, point.value, point.milliseconds, point.step) for point in points]
        for start in range(0, len(metrics), POINTS_A_BATCH):
            self.client.log_batch(self.id, metrics=metrics[start : start + POINTS_A_BATCH])

    def describe(self, name: str, description: str) -> None:
        """Name the run, unless `name` is empty, describe it, and save the view in which the experiment opens."""
        if name and name != self._run_name:
            self.client.update_run(self.id, name=name)
        if description:
            self.tags({"mlflow.note.content": description})
        known = self.client.get_experiment(self._experiment).tags
        for key, value in experiment_tags().items():
            if known.get(key) != value:
                self.client.set_experiment_tag(self._experiment, key, value)

    def status(self, status: str) -> None:
        """RUNNING, or an end: FINISHED, FAILED, KILLED."""
        if status == "RUNNING":
            self.client.update_run(self.id, status=status)
        else:
            self.client.set_terminated(self.id, status)
