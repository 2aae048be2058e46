"""What `tasks.NAME.marks` gives a linear model, and how many texts are longer than a model reads.

    python -m benchmarks.marks [--task DIR] [--tokenizer DIR]

TF-IDF with a linear support vector machine, one model a language, fitted on training rows with marks (keep), without
(drop) or in both spellings (both). Test rows, weighted F1 in per cent; `minus_keep` has differences with 95 % intervals
of a paired bootstrap. `longer` counts texts of train and test beyond 96 and 128 tokens, and all of them. The last line
is one JSON object.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from benchmarks.machine import by_size, finish, machine, plain_parser
from benchmarks.scores import scores_by_model
from distil.evaluation.baselines import SEED, fit, linear_model
from distil.evaluation.comparison import compare_models
from distil.evaluation.counts import Predictions
from distil.modeling.tokenizer import load_tokenizer
from distil.tasks.data import Task, TextRow, read_task
from distil.text.views import without_marks

LENGTHS = (96, 128)


def bare(rows: Sequence[TextRow]) -> list[TextRow]:
    """The rows without marks."""
    return [TextRow(without_marks(row.text), row.label) for row in rows]


def predictions(task: Task, train: Sequence[TextRow], test: Sequence[TextRow]) -> Predictions:
    """The linear model's labels of the test rows."""
    numbers = [np.array([task.labels.index(row.label) for row in rows], np.int64) for rows in (train, test)]
    model = fit(linear_model(task.kind), [row.text for row in train], numbers[0])
    return Predictions(numbers[1], {SEED: model.predict([row.text for row in test])})


def views(task: Task, code: str, most: int) -> dict[str, Predictions]:
    """Predictions of a language's test rows by `marks`; of at most `most` training rows, 0 for all."""
    train, test = task.text_rows(code, "train")[: most or None], task.text_rows(code, "test")
    without = bare(train)
    second = [row for row, old in zip(without, train, strict=True) if row != old]
    return {
        "drop": predictions(task, without, bare(test)), "both": predictions(task, [*train, *second], test),
        "keep": predictions(task, train, test),
    }  # fmt: skip


def longer(task: Task, code: str, tokenizer: Tokenizer) -> dict[str, dict[str, list[int]]]:
    """Texts beyond each of LENGTHS by split and `marks`, and how many texts there are."""
    found: dict[str, dict[str, list[int]]] = {}
    for split in ("train", "test"):
        rows = task.text_rows(code, split)
        for name, each in (("keep", rows), ("drop", bare(rows))):
            lengths = [len(encoding) for encoding in tokenizer.encode_batch_fast([row.text for row in each])]
            over = [sum(length > most for length in lengths) for most in LENGTHS]
            found.setdefault(split, {})[name] = [*over, len(rows)]
    return found


def main() -> None:
    """Print the mean of each view, then one JSON object."""
    options = plain_parser(__doc__.splitlines()[0])
    options.add_argument("--task", type=Path, default=Path("data/tasks/sentiment"), help="texts with their marks")
    options.add_argument("--tokenizer", type=Path, default=Path("models/teacher"))
    given = options.parse_args()
    most, resamples = by_size(given, (100, 100), (1000, 1000), (0, 10_000))
    task, tokenizer = read_task(given.task), load_tokenizer(given.tokenizer)
    found = {code: views(task, code, most) for code in task.languages}
    scores = scores_by_model(task, found)
    pairs = compare_models(task.name, task.kind, task.labels, found, resamples)["differences"]
    mean = {name: round(float(np.mean(list(by_language.values()))), 2) for name, by_language in scores.items()}
    for name, score in mean.items():
        print(f"{name}: {score:.1f}")
    finish({
        "scores": scores, "mean": mean,
        "minus_keep": {pair["model"]: _percent(pair) for pair in pairs if pair["baseline"] == "keep"},
        "longer": {code: longer(task, code, tokenizer) for code in task.languages}, "lengths": LENGTHS,
        "train_rows": {code: len(task.text_rows(code, "train")[: most or None]) for code in task.languages},
        **machine(given.threads),
    })  # fmt: skip


def _percent(pair: dict[str, Any]) -> dict[str, Any]:
    def figures(entry: dict[str, Any]) -> list[float]:
        return [round(100 * value, 2) for value in (entry["difference"], *entry["interval_95"])]

    return {"mean": figures(pair["mean"]), **{code: figures(entry) for code, entry in pair["languages"].items()}}


if __name__ == "__main__":
    main()
