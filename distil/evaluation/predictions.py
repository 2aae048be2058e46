"""What models said of the test rows (metrics/predictions/MODEL/TASK.csv), read again and checked against each other."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distil.core.errors import UserError
from distil.evaluation.model_names import stage_of
from distil.evaluation.scores import Predictions, TagPredictions


class Answers(NamedTuple):
    """Right and said labels of the test rows in order; of a sentence the tags, joined by single spaces."""

    gold: list[str]
    predicted: list[str]


ByLanguage = dict[str, dict[int, Answers]]  # language -> seed -> answers


def predictions_file(root: Path, model: str, task: str) -> Path:
    """Where a model's predictions lie."""
    return root / "metrics/predictions" / model / f"{task}.csv"


def read_predictions(path: Path, stage: str) -> ByLanguage:
    """The rows of a metrics/predictions/MODEL/TASK.csv.

    Raises:
        UserError: missing, a column lacks, or rows are not numbered 0, 1, 2, ... within a language and seed.
    """
    found: ByLanguage = {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            for line in csv.DictReader(stream, strict=True):
                if line["gold"] is None or line["predicted"] is None:
                    raise ValueError("a row is cut short")
                answers = found.setdefault(line["language"], {}).setdefault(int(line["seed"]), Answers([], []))
                if int(line["row"]) != len(answers.gold):
                    raise ValueError(f"expected row {len(answers.gold)}, found {line['row']}")
                answers.gold.append(line["gold"])
                answers.predicted.append(line["predicted"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro {stage}`") from None
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path}: damaged ({error}); run `dvc repro --force {stage}`") from None
    return found


def read_task_predictions(root: Path, task: str, models: list[str], languages: list[str]) -> dict[str, ByLanguage]:
    """The predictions of all models on a task.

    Raises:
        UserError: a file is missing or damaged, lacks a language, or is not of the same rows with the same gold labels
            as the first model's.
    """
    found: dict[str, ByLanguage] = {}
    for model in models:
        path = predictions_file(root, model, task)
        found[model] = read_predictions(path, stage_of(model, task))
        for language in languages:
            _check(found, model, language, path, f"run `dvc repro --force {stage_of(model, task)}`")
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


def as_scored(answers: Mapping[int, Answers], labels: list[str], kind: str) -> Predictions | TagPredictions:
    """Answers of one language by seed, in the form in which they are scored."""
    gold = next(iter(answers.values())).gold
    if kind == "token_classification":
        said = {seed: [tags.split(" ") for tags in each.predicted] for seed, each in answers.items()}
        return TagPredictions([tags.split(" ") for tags in gold], said, 0)
    number = {label: at for at, label in enumerate(labels)}

    def numbers(column: list[str]) -> np.ndarray:
        return np.array([number[label] for label in column], np.int64)

    return Predictions(numbers(gold), {seed: numbers(each.predicted) for seed, each in answers.items()}, 0)


def read_texts(path: Path, stage: str) -> list[str]:
    """The test texts of a language; tokens are joined by spaces."""
    try:
        # Not splitlines(): a text may hold U+2028, which JSON does not escape.
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        return [" ".join(row["tokens"]) if "tokens" in row else str(row["text"]) for row in rows]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro {stage}`") from None
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}); run `dvc repro --force {stage}`") from None
