"""The predictions of all models on a task, checked against each other and brought into the form that is scored."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from distil.core.errors import UserError, cut
from distil.evaluation.counts import Predictions, TagPredictions
from distil.evaluation.model_names import predictions_stage
from distil.evaluation.predictions import (
    ByLanguage,
    GoldAndPredicted,
    predictions_file,
    read_predictions,
    split_tags,
)


def read_task_predictions(
    root: Path, task: str, models: list[str], languages: list[str], stages: Mapping[str, str] | None = None
) -> dict[str, ByLanguage]:
    """The predictions of all models on a task; `stages` make those of models that are no row of every run.

    Raises:
        UserError: a file is missing or damaged, lacks a language, or is not of the same rows with the same gold labels
            as the first model's.
    """
    found: dict[str, ByLanguage] = {}
    for model in models:
        path, stage = predictions_file(root, model, task), (stages or {}).get(model) or predictions_stage(model, task)
        found[model] = read_predictions(path, stage)
        for language in languages:
            _check(found, model, language, path, f"run `dvc repro --force {stage}`")
    return found


def _check(found: Mapping[str, ByLanguage], model: str, language: str, path: Path, again: str) -> None:
    first = next(iter(found))
    if not found[model].get(language):
        raise UserError(f"{path}: {language}: expected predictions, found none; {again}")
    expected = next(iter(found[first][language].values())).gold
    for seed, answers in found[model][language].items():
        if len(answers.gold) != len(expected):
            raise UserError(
                f"{path}: {language}, seed {seed}: expected the {len(expected)} rows that {first} was scored on, found "
                f"{len(answers.gold)}; {again}"
            )
        if answers.gold != expected:
            raise UserError(f"{path}: {language}, seed {seed}: {first} was scored on other gold labels; {again}")


def predictions_from_labels(
    answers: Mapping[int, GoldAndPredicted], labels: list[str], kind: str, model: str, task: str
) -> Predictions | TagPredictions:
    """Labels of one language by seed, in the form in which they are scored; `model` and `task` are named in errors.

    Raises:
        UserError: a label is not among the task's.
    """
    gold = next(iter(answers.values())).gold
    columns = [gold, *(each.predicted for each in answers.values())]
    found = {each for column in columns for each in set(column)}
    if kind == "token_classification":
        found = {tag for tags in found for tag in split_tags(tags)}
    if unknown := sorted(found.difference(labels)):
        raise UserError(
            f"{predictions_file(Path(), model, task)}: expected labels of {', '.join(labels)}, found "
            f"{cut(unknown[0])}; run `dvc repro --force {predictions_stage(model, task)}`"
        )
    if kind == "token_classification":
        said = {seed: [split_tags(tags) for tags in each.predicted] for seed, each in answers.items()}
        return TagPredictions([split_tags(tags) for tags in gold], said)
    number = {label: at for at, label in enumerate(labels)}

    def numbers(column: list[str]) -> np.ndarray:
        return np.array([number[label] for label in column], np.int64)

    return Predictions(numbers(gold), {seed: numbers(each.predicted) for seed, each in answers.items()})


def read_texts(path: Path, stage: str) -> list[str]:
    """The test texts of a language; tokens are joined by spaces, and a space inside a token is a no-break space."""
    try:
        # Not splitlines(): a text may hold U+2028, which JSON does not escape.
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        return [
            " ".join(token.replace(" ", "\u00a0") for token in row["tokens"]) if "tokens" in row else str(row["text"])
            for row in rows
        ]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro {stage}`") from None
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}); run `dvc repro --force {stage}`") from None


def _as_text(tokens: list[str]) -> str:
    return " ".join(token.replace(" ", "\u00a0") for token in tokens)
