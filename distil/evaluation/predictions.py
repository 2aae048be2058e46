"""The predictions of one model on the test rows of one task: metrics/predictions/MODEL/TASK.csv, written and read."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from distil.core.errors import UserError
from distil.core.files import write_text
from distil.evaluation.counts import Predictions, TagPredictions


class GoldAndPredicted(NamedTuple):
    """Right and said labels of the test rows in order; of a sentence its tags as `join_tags` joins them."""

    gold: list[str]
    predicted: list[str]


ByLanguage = dict[str, dict[int, GoldAndPredicted]]  # language -> seed -> answers


def join_tags(tags: Sequence[str]) -> str:
    """The tags of a sentence as one text, with a space between; a space inside a tag is `%20`, a percent sign `%25`."""
    return " ".join(tag.replace("%", "%25").replace(" ", "%20") for tag in tags)


def split_tags(text: str) -> list[str]:
    """The tags that `join_tags` joined."""
    return [tag.replace("%20", " ").replace("%25", "%") for tag in text.split(" ")]


def predictions_file(root: Path, model: str, task: str) -> Path:
    """The file of a model's predictions."""
    return root / "metrics/predictions" / model / f"{task}.csv"


def has_predictions(root: Path, model: str, task: str) -> bool:
    """Whether a file has rows; of the transformer of a student without n-grams it has none."""
    path = predictions_file(root, model, task)
    return path.is_file() and path.read_bytes().count(b"\n") > 1


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
                answers = found.setdefault(line["language"], {}).setdefault(int(line["seed"]), GoldAndPredicted([], []))
                if int(line["row"]) != len(answers.gold):
                    raise ValueError(f"expected row {len(answers.gold)}, found {line['row']}")
                # Few labels, many rows: one copy of each.
                answers.gold.append(sys.intern(line["gold"]))
                answers.predicted.append(sys.intern(line["predicted"]))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro {stage}`") from None
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path}: damaged ({error}); run `dvc repro --force {stage}`") from None
    return found


def write_predictions(path: Path, found: Mapping[str, Predictions | TagPredictions], labels: Sequence[str]) -> None:
    """Write seed, language, row, gold and predicted label of each test row.

    A row is a text with its label, or a sentence with its tags as `join_tags` joins them.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["seed", "language", "row", "gold", "predicted"])
    for language, predictions in found.items():
        for seed, predicted in predictions.predicted.items():
            for row, pair in enumerate(zip(predictions.gold, predicted, strict=True)):
                texts = [join_tags(said) if isinstance(said, list) else labels[said] for said in pair]
                writer.writerow([seed, language, row, *texts])
    write_text(path, stream.getvalue())
