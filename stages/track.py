"""Complete this student's run in MLflow. Writes nothing to disk; trouble with the store is a warning."""

import logging
from pathlib import Path

from distil.curves import flatten
from distil.files import read_json
from distil.params import read_params
from distil.results import model_tags, read_curves, result_metrics, result_tags
from distil.runner import run
from distil.tracking import complete_run

log = logging.getLogger("distil")

METRICS = Path("metrics")
MADE_BY = {
    "majority": "baselines",
    "tfidf": "baselines",
    "teacher": "evaluate",
    "student": "evaluate",
}  # model -> stage


def main() -> None:
    """Collect what the other stages measured and hand it to MLflow."""
    params = read_params()
    # The same student may be scored and timed again with other settings, so these are not part of what its run is.
    scoring = params.pop("evaluate")
    for section in ("footprint", "card"):
        params.pop(section)
    summary = read_json(METRICS / "distil" / "summary.json", "distil")
    evaluations = [
        read_json(METRICS / "evaluate" / model / f"{task}.json", stage)
        for task in scoring["tasks"]
        for model, stage in MADE_BY.items()
    ]
    costs = {path.stem: read_json(path, path.stem) for path in sorted((METRICS / "cost").glob("*.json"))}
    if complete_run(
        summary["key"],
        params,
        result_metrics(summary, evaluations, costs),
        {**result_tags(summary), **flatten({"evaluate": scoring}), **model_tags(Path("dvc.lock"))},
        read_curves(METRICS / "distil"),
        [METRICS / "report.html", METRICS / "report.md", Path("params.yaml")],
    ):
        log.info("MLflow: the run of student %s is complete; `make mlflow` shows it", summary["key"][:8])


if __name__ == "__main__":
    run(main)
