"""How the experiment opens in MLflow: a saved view with the figures that students are compared by, and its address."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from distil.tracking.store import EXPERIMENT, sqlite_path, tracking_uri

VIEW = "distil"
# The columns, of the first task: F1 in points, share of the teacher in %, distances in points, held-out KL in nats,
# parameters in millions, the int8 model in MB, milliseconds for a short text on one thread.
HEADLINE = ("f1", "of_teacher", "vs_start", "vs_no_teacher", "vs_tfidf", "kl", "params_m", "int8_mb", "ms")
PARAMS = ("loss.alpha", "loss.temperature", "train.epochs", "student.hidden_size", "finetune.student.epochs")
PORT = 5000


def experiment_tags() -> dict[str, str]:
    """Tags of the experiment: the view in the form in which MLflow's page shares one, and the metric that ranks."""
    columns = [f"metrics.`{name}`" for name in HEADLINE] + [f"params.`{name}`" for name in PARAMS]
    state = {
        "searchFilter": "", "orderByKey": f"metrics.`{HEADLINE[0]}`", "orderByAsc": False, "startTime": "ALL",
        "lifecycleFilter": "Active", "datasetsFilter": [], "modelVersionFilter": "All Runs", "selectedColumns": columns,
    }  # fmt: skip
    return {
        f"mlflow.sharedViewState.{VIEW}": json.dumps(state),
        "mlflow.experiment.primaryMetric.name": HEADLINE[0],
        "mlflow.experiment.primaryMetric.greaterIsBetter": "true",
    }


def view_address(experiment: str, server: str = f"http://127.0.0.1:{PORT}") -> str:
    """The page with the saved view. Without its parameters MLflow opens on traces, of which there are none."""
    where = f"experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{server.rstrip('/')}/#/{where}"


def find_view_address() -> str:
    """`view_address` of the store that is used; the list of experiments where its number cannot be read."""
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        return f"{uri.rstrip('/')}/#/experiments"
    path = sqlite_path(uri)
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as store:
            query = "SELECT experiment_id FROM experiments WHERE name = ?"
            (number,) = store.execute(query, (EXPERIMENT,)).fetchone()
    except (sqlite3.Error, TypeError):  # no such file or table; no such experiment
        return f"http://127.0.0.1:{PORT}/#/experiments"
    return view_address(str(number))


def headline_metrics(
    headline: Mapping[str, Mapping[str, float]],
    tasks: Iterable[str],
    export: Mapping[str, Any],
    footprint: Mapping[str, Any],
) -> dict[str, float]:
    """The figures of `HEADLINE` for the first task; those of a further task as TASK/f1, ...

    Args:
        headline: metrics/headline.json.
        tasks: those scored, in their order.
        export: metrics/export.json.
        footprint: metrics/footprint.json.
    """
    names = {"student": "f1", "of_teacher": "of_teacher"}
    names |= {f"over_{model}": f"vs_{model}" for model in ("start", "masked_lm", "no_teacher", "tfidf")}
    found = {
        "kl": headline["heldout"]["kl"],
        "params_m": headline["size"]["million_parameters"],
        "int8_mb": round(export["int8_bytes"] / 1e6, 2),
        "ms": footprint["models"]["student"]["short"]["milliseconds"],
    }
    for place, task in enumerate(tasks):
        prefix = f"{task}/" if place else ""
        found |= {prefix + names[key]: value for key, value in headline[task].items() if key in names}
    return {name: float(value) for name, value in found.items()}
