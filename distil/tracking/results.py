"""What is known of a student once everything is measured, as flat names and numbers for its run in MLflow."""

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from distil.tracking.names import Point, curve_points, flatten, valid_name

STUDENT = "models/student"


def read_curves(folder: Path) -> list[Point]:
    """The points of train.csv and heldout.csv in `folder`; a file that is missing has none."""
    points = []
    for curve in ("train", "heldout"):
        path = folder / f"{curve}.csv"
        if path.exists():
            with path.open(encoding="utf-8", newline="") as stream:
                for row in csv.DictReader(stream):
                    step = int(row.pop("step"))
                    points += curve_points(step, {f"{curve}/{column}": value for column, value in row.items()})
    return points


def result_metrics(
    summary: Mapping[str, Any],
    evaluations: Iterable[Mapping[str, Any]],
    comparisons: Iterable[Mapping[str, Any]],
    costs: Mapping[str, Mapping[str, Any]],
) -> dict[str, float]:
    """What a student is and can do, flat: the UI groups names by what stands before the slash.

    `heldout/LANG/METRIC`, `eval/MODEL/TASK/LANG/METRIC` (LANG also `mean`), `retention/TASK/LANG` (student's score
    over teacher's in percent; LANG also `mean`, the ratio of the means, and `lowest`), `gain/TASK/BASELINE/LANG`
    (student's score less that of another model or baseline; LANG also `mean`), `student/FIGURE`, `teacher/FIGURE`,
    `cache/FIGURE`, `distil/FIGURE`, `cost/STAGE/FIGURE`. Scores and their differences are in points.

    Args:
        summary: metrics/distil/summary.json.
        evaluations: metrics/evaluate/MODEL/TASK.json.
        comparisons: metrics/compare/TASK.json.
        costs: metrics/cost/STAGE.json by stage.
    """
    tree: dict[str, Any] = {"distil": {}, "eval": {}, "retention": {}, "cost": costs}
    tree["gain"] = {
        compared["task"]: {
            pair["baseline"]: {lang: percent(found["difference"])
                               for lang, found in {**pair["languages"], "mean": pair["mean"]}.items()}
            for pair in compared["differences"] if pair["model"] == "student"
        }
        for compared in comparisons
    }  # fmt: skip
    for key, value in summary.items():
        (tree if isinstance(value, Mapping) else tree["distil"])[key] = value
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for evaluation in evaluations:
        model, task = evaluation["model"], evaluation["task"]
        languages = {**evaluation["languages"], "mean": evaluation["mean"]}
        tree["eval"].setdefault(model, {})[task] = {lang: _scores(figures) for lang, figures in languages.items()}
        scores.setdefault(task, {})[model] = {lang: row[evaluation["metric"]] for lang, row in languages.items()}
    for task, models in scores.items():
        student, teacher = models.get("student", {}), models.get("teacher", {})
        kept = {lang: percent(student[lang] / teacher[lang]) for lang in student if teacher.get(lang)}
        each = [share for lang, share in kept.items() if lang != "mean"]
        tree["retention"][task] = kept | ({"lowest": min(each)} if each else {})
    figures = flatten(tree, separator="/")
    return {valid_name(name): float(value) for name, value in figures.items() if _is_number(value)}


def _scores(figures: Mapping[str, Any]) -> dict[str, Any]:
    """A language's figures with the interval as two numbers and without the tables, which the report shows."""
    flat = {key: percent(value) if isinstance(value, float) else value
            for key, value in figures.items() if _is_number(value)}  # fmt: skip
    if "interval_95" in figures:
        flat["interval_95_low"], flat["interval_95_high"] = map(percent, figures["interval_95"])
    return flat


def percent(share: float) -> float:
    """A score or share of 0 to 1 in points or percent, as the report and metrics/headline.json have it."""
    return round(100 * share, 4)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def result_tags(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What is no number in metrics/distil/summary.json: the teacher's id, how its outputs are kept, ..."""
    sections = {key: value for key, value in summary.items() if isinstance(value, Mapping)}
    sections["distil"] = {key: value for key, value in summary.items() if key not in (*sections, "key")}
    return {key: value for key, value in flatten(sections).items() if isinstance(value, str | bool)}


def model_tags(lock: Path) -> dict[str, str]:
    """Where the student's weights are: DVC keeps them, the run names their path and md5 (none before dvc.lock is)."""
    tags = {"dvc.model_path": STUDENT}
    tree: dict[str, Any] = yaml.safe_load(lock.read_text(encoding="utf-8")) if lock.exists() else {}
    for out in tree.get("stages", {}).get("distil", {}).get("outs", []):
        if out["path"] == STUDENT:
            tags["dvc.model_md5"] = out["md5"]
    return tags
