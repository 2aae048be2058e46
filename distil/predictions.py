"""Teacher and student compared row by row: how sure their ratio is, and where they disagree.

Both were scored on the same test rows, so the ratio of their scores is far surer than their separate intervals say:
a paired bootstrap draws the same rows for both.
"""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distil.errors import UserError
from distil.metrics import weighted_f1

Predictions = dict[str, dict[int, dict[int, tuple[str, str]]]]  # language -> seed -> row -> (gold, predicted)

EXAMPLES = 5


@dataclass(frozen=True)
class Ratio:
    """The student's score over the teacher's, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Example:
    """A test row on which teacher and student disagree."""

    row: int
    text: str
    gold: str
    teacher: str
    student: str


@dataclass(frozen=True)
class Disagreement:
    """Test rows of one seed, counted by who was right; `examples` are at most five of them."""

    seed: int
    rows: int
    both_right: int
    teacher_only: int
    student_only: int
    both_wrong: int
    differ: int
    examples: list[Example]


def read_predictions(path: Path, stage: str) -> Predictions:
    """The rows of a metrics/predictions/MODEL/TASK.csv.

    Raises:
        UserError: missing, a column lacks, or a seed or row is no number.
    """
    found: Predictions = {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            for line in csv.DictReader(stream, strict=True):
                if line["gold"] is None or line["predicted"] is None:
                    raise ValueError("a row is cut short")
                rows = found.setdefault(line["language"], {}).setdefault(int(line["seed"]), {})
                rows[int(line["row"])] = (line["gold"], line["predicted"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro {stage}`") from None
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path}: damaged ({error}); run `dvc repro --force {stage}`") from None
    return found


def read_texts(path: Path, stage: str) -> list[str]:
    """The test texts of a language."""
    try:
        # Not splitlines(): a text may hold U+2028, which JSON does not escape.
        return [str(json.loads(line)["text"]) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro {stage}`") from None
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}); run `dvc repro --force {stage}`") from None


def check_pairs(teacher: Predictions, student: Predictions, language: str, rows: int, where: str) -> None:
    """Refuse predictions that are not of the same rows with the same gold labels.

    Raises:
        UserError: names the language and what to run again; begins with `where`.
    """
    again = "run `dvc repro --force` on both evaluate stages of this task"
    ours, theirs = student.get(language, {}), teacher.get(language, {})
    if not ours or set(ours) != set(theirs):
        raise UserError(
            f"{where}: {language}: seeds of the teacher {sorted(theirs)}, of the student {sorted(ours)}; {again}"
        )
    for seed in ours:
        if set(ours[seed]) != set(range(rows)) or set(theirs[seed]) != set(range(rows)):
            raise UserError(
                f"{where}: {language}, seed {seed}: expected predictions for the {rows} rows of test.jsonl, found "
                f"{len(theirs[seed])} of the teacher and {len(ours[seed])} of the student; {again}"
            )
        if any(ours[seed][row][0] != theirs[seed][row][0] for row in range(rows)):
            raise UserError(f"{where}: {language}, seed {seed}: teacher and student have other gold labels; {again}")


def ratio_interval(
    teacher: Predictions, student: Predictions, language: str, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """95 % interval of student / teacher in weighted F1, means over seeds, by a paired bootstrap of the test rows.

    As in `metrics.bootstrap_interval`, drawing rows is drawing the counts of distinct combinations of the gold label
    and all predictions. A draw in which the teacher scores 0 has no ratio and is left out.
    """
    models = (teacher[language], student[language])
    labels = sorted(
        {label for by_seed in models for rows in by_seed.values() for pair in rows.values() for label in pair}
    )
    numbers = {label: number for number, label in enumerate(labels)}
    rows = sorted(models[0][min(models[0])])
    gold = [numbers[models[0][min(models[0])][row][0]] for row in rows]
    predicted = [[numbers[by_seed[seed][row][1]] for row in rows] for by_seed in models for seed in sorted(by_seed)]
    combinations, counts = np.unique(np.array([gold, *predicted]), axis=1, return_counts=True)
    draws = rng.multinomial(len(rows), counts / len(rows), size=resamples)
    scores = np.zeros((2, resamples))
    for place, column in enumerate(combinations[1:]):
        cells = combinations[0] * len(labels) + column
        into_cells = (cells[:, None] == np.arange(len(labels) ** 2)).astype(np.int64)
        confusion = (draws @ into_cells).reshape(resamples, len(labels), len(labels))
        scores[place // (len(predicted) // 2)] += weighted_f1(confusion)
    usable = scores[0] > 0
    low, high = np.percentile(scores[1][usable] / scores[0][usable], [2.5, 97.5])
    return float(low), float(high)


def disagreement(teacher: Predictions, student: Predictions, language: str, texts: list[str]) -> Disagreement:
    """Rows of the first seed by who was right, and the first examples of each kind in turn."""
    seed = min(student[language])
    theirs, ours = teacher[language][seed], student[language][seed]
    right: Counter[tuple[bool, bool]] = Counter()
    kinds: dict[tuple[bool, bool], list[Example]] = {}
    for row, text in enumerate(texts):
        gold, by_teacher, by_student = theirs[row][0], theirs[row][1], ours[row][1]
        outcome = (by_teacher == gold, by_student == gold)
        right[outcome] += 1
        if by_teacher != by_student:
            kinds.setdefault(outcome, []).append(Example(row, text, gold, by_teacher, by_student))
    queues = [kinds.get(outcome, []) for outcome in ((True, False), (False, True), (False, False))]
    mixed = [queue[turn] for turn in range(EXAMPLES) for queue in queues if turn < len(queue)]
    return Disagreement(
        seed=seed,
        rows=len(texts),
        both_right=right[True, True],
        teacher_only=right[True, False],
        student_only=right[False, True],
        both_wrong=right[False, False],
        differ=sum(len(queue) for queue in queues),
        examples=sorted(mixed[:EXAMPLES], key=lambda example: example.row),
    )
