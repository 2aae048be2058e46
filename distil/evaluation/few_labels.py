"""Languages of a task that keep few labels or none: `evaluate.few_labels` of params.yaml.

Labels are hidden where a task is learned, not in data/tasks, so nothing before the fine-tuning runs again. In such a
language the drawn rows of train keep their label; the others count as text without one. Its dev rows choose nothing: no
epoch, no weight of a teacher. The draw depends on the texts alone and is nested: the 30 rows are among the 100.
"""

import hashlib
from typing import Any

import numpy as np

from distil.core.errors import UserError
from distil.core.files import sha256_json
from distil.evaluation.config import FewLabelsConfig
from distil.tasks.data import Row, Task


def known_rows(task: Task, language: str, few: FewLabelsConfig) -> np.ndarray:
    """(R,) bool: which training rows of a language have their label.

    The `rows` texts of least SHA-256 (of language and text) do, so every seed and every run has the same.

    Raises:
        UserError: there are fewer rows than are to keep theirs.
    """
    texts = task.texts(language, "train")
    if language not in few.languages:
        return np.ones(len(texts), np.bool_)
    numbers = np.array(task.row_numbers(language), np.int64)  # a second view of a row comes with it
    first = [texts[row] for row in np.flatnonzero(np.diff(numbers, prepend=-1)).tolist()]
    if few.rows > len(first):
        raise UserError(
            f"params.yaml: evaluate.few_labels.rows: expected at most {len(first):,}, the training rows of {language} "
            f"in {task.folder}, found {few.rows:,}; lower it"
        )
    order = sorted(range(len(first)), key=lambda row: (_digest(language, first[row]), row))
    known = np.zeros(len(first), np.bool_)
    known[order[: few.rows]] = True
    return known[numbers]


def _digest(language: str, text: str) -> bytes:
    return hashlib.sha256(f"{language}\n{text}".encode()).digest()


def chooses(language: str, few: FewLabelsConfig) -> bool:
    """Whether a language's dev rows may choose an epoch or a weight."""
    return language not in few.languages


def training_rows(task: Task, language: str, few: FewLabelsConfig) -> list[Row]:
    """What a model of one language alone is fitted on: its train rows; of one with few labels all that are known.

    These are the train rows of the other languages, pooled, and its own that keep their label.
    """
    if language not in few.languages:
        return [*task.rows(language, "train")]
    return [row for code in task.languages for row in known_of(task, code, few)]


def known_of(task: Task, language: str, few: FewLabelsConfig) -> list[Row]:
    """The training rows of a language that have their label."""
    rows: list[Row] = [*task.rows(language, "train")]
    return [row for row, known in zip(rows, known_rows(task, language, few), strict=True) if known]


def few_labels_entry(task: Task, languages: list[str], few: FewLabelsConfig) -> dict[str, Any]:
    """For a manifest: the section, and a checksum of the row numbers drawn in each language; empty where it is off."""
    drawn = {
        code: sha256_json(np.flatnonzero(known_rows(task, code, few)).tolist())
        for code in languages
        if code in few.languages
    }
    return {"few_labels": {"rows": few.rows, "drawn_rows_sha256": drawn}} if drawn else {}
