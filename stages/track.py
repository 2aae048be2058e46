"""Stage track: complete this student's run in MLflow. Writes nothing to disk; trouble with the store is a warning."""

import logging
import os
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

from distil.core.files import read_json
from distil.core.params import read_params
from distil.evaluation.config import load_evaluate
from distil.evaluation.controls import is_left_over
from distil.evaluation.model_names import models_of, scored_models
from distil.evaluation.optional_models import names_of, optional_models
from distil.report.result import result_lines
from distil.runtime.process import run_stage
from distil.runtime.standard_streams import write_output
from distil.tracking.names import flatten
from distil.tracking.results import model_tags, read_curves, result_metrics, result_tags
from distil.tracking.run import complete_run
from distil.tracking.view import find_view_address, headline_metrics

log = logging.getLogger("distil")

METRICS = Path("metrics")
SHOW_RESULT = os.environ.get("DISTIL_RESULT") != "later"  # `make run` prints it behind what DVC says at its end
# Settings of what comes after the student. With other ones it is another run of MLflow, with the same student's key.
AFTERWARDS = ("finetune", "evaluate", "export")
TAGS = ("footprint", "card", "rivals", "decoders")  # nothing that students are compared by


def main() -> None:
    """Collect what the other stages measured, hand it to MLflow, and print the result of the run."""
    params = read_params()
    settings = {section: params.pop(section, {}) for section in AFTERWARDS}
    rest = {section: params.pop(section, {}) for section in TAGS}
    scored = load_evaluate()
    optional = optional_models(scored.tasks)
    summary = read_json(METRICS / "distil" / "summary.json", "distil")
    evaluations = [
        read_json(METRICS / "evaluate" / model / f"{task}.json", "evaluate")
        for task in scored.tasks
        for model in [*scored_models(METRICS, models_of(scored), task), *optional[task]]
    ]
    comparisons = [read_json(METRICS / "compare" / f"{task}.json", "evaluate") for task in scored.tasks]
    costs = {
        path.stem: read_json(path, path.stem) for path in sorted((METRICS / "cost").glob("*.json"))
        if not is_left_over(path.stem, scored.controls, scored.optional_stages())
        and not _is_switched_off(path.stem, names_of(optional).values())
    }  # fmt: skip
    headline, export, footprint = (
        read_json(METRICS / f"{stage}.json", made_by)
        for stage, made_by in (("headline", "report"), ("export", "export"), ("footprint", "footprint"))
    )
    result = list(takewhile(lambda line: line != "Next:", result_lines(Path())))
    if complete_run(
        summary["key"],
        params,
        result_metrics(summary, evaluations, comparisons, costs)
        | headline_metrics(headline, scored.tasks, export, footprint),
        {**result_tags(summary), **flatten(rest), **model_tags(Path("dvc.lock"))},
        read_curves(METRICS / "distil"),
        [*(METRICS / name for name in ("report.html", "report.md", "model_card.md")), Path("params.yaml")],
        settings,
        "\n\n".join([*result, "The whole report: artifact report.html."]),
    ):
        log.info("MLflow: the run of student %s is complete; `make mlflow`, then %s", summary["key"][:8],
                 find_view_address())  # fmt: skip
    if SHOW_RESULT:
        write_output("".join(f"{line}\n" for line in result_lines(Path())).encode())


def _is_switched_off(cost: str, stages: Iterable[str]) -> bool:
    """Whether a file of metrics/cost, by its name without suffix, is of a rival or decoder that is switched off."""
    stage, _, name = cost.partition("-")
    return stage in ("rival", "decoder") and f"{stage}@{name}" not in stages


if __name__ == "__main__":
    run_stage(main)
