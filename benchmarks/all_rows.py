"""The scores of the run on all rows, from its models' predictions of the test rows in benchmarks/recorded/all-rows.

    python -m benchmarks.all_rows keep [--run CLONE]   # copy a run's metrics/predictions to TASK.csv.gz
    python -m benchmarks.all_rows score [--run CLONE]  # compute scores.json from these and the run's data/tasks
    python -m benchmarks.all_rows table                # write the tables of docs/results from scores.json

That run took a GPU and hours of a CPU, so its tables cannot be made again by running it on a desktop machine; from the
predictions they can. The gold labels are not kept here, since they come with the texts: `score` reads both from
data/tasks, where `python -m stages.preset medium && python -m stages.tasks TASK` puts them. Languages and models are
those of the predictions, whatever params.yaml says today.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.pages import RECORDED, RESULTS, fill_page
from distil.core.errors import UserError
from distil.core.files import write_json
from distil.evaluation.comparison import compare_models
from distil.evaluation.config import load_evaluate
from distil.evaluation.model_names import BASELINES, models_of, predictions_stage
from distil.evaluation.predictions import GoldAndPredicted, join_tags, predictions_file, read_predictions
from distil.evaluation.scores import score, seen_rows
from distil.evaluation.task_predictions import predictions_from_labels, read_task_predictions
from distil.report.inputs.scores import Comparison, TaskScores
from distil.report.markdown import markdown_table
from distil.report.tables.scores import distance_table, score_table
from distil.runtime.process import run_command
from distil.tasks.data import Task, read_task

KEPT = RECORDED / "all-rows"
TASKS = {"sentiment": RESULTS / "afrisenti.md", "entities": RESULTS / "masakhaner.md"}
RESAMPLES = 10_000


@dataclass(frozen=True)
class Kept:
    """What the tables need."""

    languages: list[str]
    models: list[str]
    scores: Mapping[str, Mapping[str, TaskScores]]
    comparisons: Mapping[str, Comparison]


def keep(clone: Path, task: str, out: Path) -> None:
    """Write what all models said of a task's test rows: language, row, and a column for each MODEL/SEED."""
    models = models_of(load_evaluate(clone / "params.yaml"))
    first = models[0]
    languages = list(read_predictions(predictions_file(clone, first, task), predictions_stage(first, task)))
    read = read_task_predictions(clone, task, models, languages)
    columns = {
        f"{model}/{seed}": [said for code in languages for said in read[model][code][seed].predicted]
        for model in models for seed in read[model][languages[0]]
    }  # fmt: skip
    rows = {code: len(next(iter(read[models[0]][code].values())).gold) for code in languages}
    places = {
        "language": [code for code, count in rows.items() for _ in range(count)],
        "row": [row for count in rows.values() for row in range(count)],
    }
    out.mkdir(parents=True, exist_ok=True)
    # Without the time, so that the same predictions are the same bytes.
    packed = {"method": "gzip", "mtime": 0}
    pd.DataFrame(places | columns).to_csv(out / f"{task}.csv.gz", index=False, compression=packed)


def kept_languages(kept: Path) -> list[str]:
    """The languages of the kept predictions, in the order of tables."""
    return list(pd.read_csv(kept, usecols=["language"], keep_default_na=False)["language"].unique())


def rescore(kept: Path, task: Task, resamples: int = RESAMPLES) -> dict[str, Any]:
    """The scores of every model and their comparison, as the stages evaluate, baselines and compare find them.

    Raises:
        UserError: the predictions are of another number of rows than the task's test files have.
    """
    said = pd.read_csv(kept, keep_default_na=False)
    languages, models = kept_languages(kept), list(dict.fromkeys(name.partition("/")[0] for name in said.columns[2:]))
    found: dict[str, dict[str, Any]] = {code: {} for code in languages}
    for code in languages:
        gold, rows = _gold(task, code), said[said["language"] == code]
        if len(rows) != len(gold):
            raise UserError(
                f"{kept}: {code}: expected {len(gold)} rows, as data/tasks/{task.name} has, found {len(rows)}; choose "
                f"preset medium and run `python -m stages.tasks {task.name}`"
            )
        train = task.texts(code, "train")
        seen = seen_rows(train, task.texts(code, "test"))
        for model in models:
            columns = [name for name in rows.columns if name.startswith(f"{model}/")]
            answers = {int(name.partition("/")[2]): GoldAndPredicted(gold, rows[name].tolist()) for name in columns}
            scored = predictions_from_labels(answers, task.labels, task.kind, model, task.name)
            found[code][model] = scored._replace(train_rows=len(train), seen=seen)
    evaluated = {
        model: score(
            model, task.name, task.kind, task.labels, None if model in BASELINES else "joint",
            {code: found[code][model] for code in languages}, resamples,
        )
        for model in models
    }  # fmt: skip
    return {"evaluate": evaluated, "compare": compare_models(task.name, task.kind, task.labels, found, resamples)}


def _gold(task: Task, language: str) -> list[str]:
    """The right labels of the test rows; of a sentence its tags, joined."""
    if task.kind == "token_classification":
        return [join_tags(row.tags) for row in task.token_rows(language, "test")]
    return [row.label for row in task.text_rows(language, "test")]


def tables(scores: dict[str, Any], task: str, languages: list[str]) -> str:
    """The distances and the scores of a task in Markdown."""
    models = scores[task]["compare"]["models"]
    evaluated = {model: TaskScores.model_validate(scores[task]["evaluate"][model]) for model in models}
    compared = Comparison.model_validate(scores[task]["compare"])
    kept = Kept(languages, models, {task: evaluated}, {task: compared})
    return "\n".join([*markdown_table(distance_table(kept, task)), "", *markdown_table(score_table(kept, task))])


def main() -> None:
    """Parse the command line and act."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.all_rows", description="The scores on all rows.")
    parser.add_argument("action", choices=("keep", "score", "table"))
    parser.add_argument("--run", type=Path, default=Path(), help="the clone in which the run was made")
    options, file = parser.parse_args(), KEPT / "scores.json"
    if options.action == "keep":
        for task in TASKS:
            keep(options.run, task, KEPT)
    elif options.action == "score":
        tasks = {name: read_task(options.run / "data/tasks" / name) for name in TASKS}
        write_json(file, {name: rescore(KEPT / f"{name}.csv.gz", task) for name, task in tasks.items()})
    else:
        scores = json.loads(file.read_text(encoding="utf-8"))
        for task, page in TASKS.items():
            body = tables(scores, task, kept_languages(KEPT / f"{task}.csv.gz"))
            fill_page(f"all rows of {task}", "python -m benchmarks.all_rows table", body, page)


if __name__ == "__main__":
    run_command(main)
