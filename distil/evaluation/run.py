"""Score every model on every task from its predictions, and compare every two; the scores as one table for a plot."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from distil.core.errors import UserError
from distil.core.files import atomic_folder, write_json, write_text
from distil.evaluation.comparison import compare_models
from distil.evaluation.config import EvaluateConfig, FewLabelsConfig
from distil.evaluation.counts import Predictions, TagPredictions
from distil.evaluation.few_labels import known_rows
from distil.evaluation.model_names import BASELINES, COMPANION, MERGED, models_of, predictions_stage, with_parts
from distil.evaluation.optional_models import OptionalModels
from distil.evaluation.predictions import has_predictions
from distil.evaluation.scores import TABLE_COLUMNS, score, seen_rows, table_rows
from distil.evaluation.task_predictions import predictions_from_labels, read_task_predictions
from distil.tasks.data import Task, read_task


def evaluate(
    root: Path, config: EvaluateConfig, languages: list[str], optional: OptionalModels | None = None
) -> dict[str, int]:
    """Write metrics/evaluate/MODEL/TASK.json and metrics/compare/TASK.json for each task, and metrics/scores.csv.

    Args:
        root: the repository; data/tasks and metrics/predictions are read.
        config: section `evaluate:`.
        languages: in the order of tables.
        optional: rivals and decoders, which have tables of their own and no rows in metrics/scores.csv.

    Returns:
        How many predictions were scored, `rows`.

    Raises:
        UserError: predictions are missing, damaged or not of the same rows.
    """
    rows, table = 0, [",".join(TABLE_COLUMNS)]
    with atomic_folder(root / "metrics/evaluate") as scores, atomic_folder(root / "metrics/compare") as comparisons:
        for name in config.tasks:
            task = read_task(root / "data/tasks" / name)
            more = (optional or {}).get(name, {})
            models = [*with_parts(models_of(config), partial(_has_part, root, config, name)), *more]
            read = read_task_predictions(root, name, models, languages, more)
            found = {
                code: {
                    model: predictions_from_labels(read[model][code], task.labels, task.kind, model, name)
                    for model in models
                }
                for code in languages
            }
            rows += sum(len(one.gold) * len(one.predicted) for by_model in found.values() for one in by_model.values())
            about = {code: _about_rows(task, code, found[code], config.few_labels) for code in languages}
            for model in models:
                mode = None if model in (*BASELINES, *more) else config.languages
                by_language = {code: found[code][model]._replace(**about[code]) for code in languages}
                scored = score(model, name, task.kind, task.labels, mode, by_language, config.bootstrap_resamples)
                write_json(scores / model / f"{name}.json", scored)
                table += [] if model in ("majority", *more) else [",".join(row) for row in table_rows(scored)]
            compared = compare_models(name, task.kind, task.labels, found, config.bootstrap_resamples)
            write_json(comparisons / f"{name}.json", compared)
        write_text(root / "metrics/scores.csv", "\n".join([*table, ""]))
    return {"rows": rows}


def _has_part(root: Path, config: EvaluateConfig, task: str, part: str) -> bool:
    """Whether a task has a row of PARTS: by the setting, whatever is left over, or where its predictions have rows."""
    asked = {MERGED: config.merge.tasks, COMPANION: config.linear_companion.tasks}
    return task in asked[part] if part in asked else has_predictions(root, part, task)


def _about_rows(
    task: Task, language: str, found: Mapping[str, Predictions | TagPredictions], few: FewLabelsConfig
) -> dict[str, Any]:
    """How many training rows have a label, how many do not, and which test texts are among them."""
    train, test = task.texts(language, "train"), task.texts(language, "test")
    model, predictions = next(iter(found.items()))
    if len(predictions.gold) != len(test):
        raise UserError(
            f"{task.folder}/{language}/test.jsonl: expected the {len(predictions.gold)} rows that {model} predicted, "
            f"found {len(test)}; run `dvc repro {predictions_stage(model, task.name)}`"
        )
    known = int(known_rows(task, language, few).sum())
    return {"train_rows": known, "hidden_rows": len(train) - known, "seen": seen_rows(train, test)}
