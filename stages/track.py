"""Complete this student's run in MLflow. Writes nothing to disk; trouble with the store is a warning."""

import logging
from pathlib import Path

from distil.core.files import read_json
from distil.core.params import read_params
from distil.evaluation.config import load_evaluate
from distil.evaluation.model_names import MODELS
from distil.report.mlflow_names import flatten
from distil.report.mlflow_results import model_tags, read_curves, result_metrics, result_tags
from distil.report.mlflow_run import complete_run
from distil.runtime.process import run

log = logging.getLogger("distil")

METRICS = Path("metrics")
# The same student may be scored, timed and exported again with other settings: tags, no part of what its run is.
AFTERWARDS = ("finetune", "evaluate", "footprint", "card", "export")


def main() -> None:
    """Collect what the other stages measured and hand it to MLflow."""
    params = read_params()
    rest = {section: params.pop(section, {}) for section in AFTERWARDS}
    scored = load_evaluate()
    summary = read_json(METRICS / "distil" / "summary.json", "distil")
    evaluations = [
        read_json(METRICS / "evaluate" / model / f"{task}.json", "evaluate")
        for task in scored.tasks
        for model in MODELS
    ]
    comparisons = [read_json(METRICS / "compare" / f"{task}.json", "evaluate") for task in scored.tasks]
    costs = {path.stem: read_json(path, path.stem) for path in sorted((METRICS / "cost").glob("*.json"))}
    if complete_run(
        summary["key"],
        params,
        result_metrics(summary, evaluations, comparisons, costs),
        {**result_tags(summary), **flatten(rest), **model_tags(Path("dvc.lock"))},
        read_curves(METRICS / "distil"),
        [METRICS / "report.html", METRICS / "report.md", Path("params.yaml")],
    ):
        log.info("MLflow: the run of student %s is complete; `make mlflow` shows it", summary["key"][:8])


if __name__ == "__main__":
    run(main)
