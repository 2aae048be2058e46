"""The linear teacher of languages with few labels, and what every teacher counts for there (evaluation/few_labels.py).

The linear model is that of the baselines: one for all such languages, of all known rows. How sure it may be is found by
holding out one language after another, since it answers for a language of which it has seen little or nothing; where
fewer than two languages have all labels, rows are held out as in evaluation/linear_teacher.py. The teachers' weights
come from the other languages' dev rows; those of a language with few labels take no part.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from distil.evaluation.baselines import documents, documents_of, fit, label_numbers, linear_model, numbers_of
from distil.evaluation.config import FewLabelsConfig
from distil.evaluation.few_labels import chooses, known_of, known_rows
from distil.evaluation.linear_teacher import calibrated, decision_scores, frequencies, row_folds, unit_rows
from distil.evaluation.teacher_mixture import mixture_weights
from distil.tasks.data import Row, Task

SoftLabelsByLanguage = Mapping[str, Mapping[str, np.ndarray]]


class _Known(NamedTuple):
    """All rows with a label, pooled."""

    inputs: Sequence[object]
    gold: np.ndarray  # (U,)
    rows: np.ndarray  # (U,) the row of each unit
    languages: np.ndarray  # (U,) index of its language
    folds: np.ndarray  # (U,) the language with all labels that it is held out with


def pooled_soft_labels(task: Task, few: FewLabelsConfig, splits: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """(units, C) float32 log-probabilities by language and split.

    Of a language with few labels all `splits`; of any other `dev`, as if it were such a language: from a model that
    has seen none of its rows.
    """
    known, classes = _known(task, few), len(task.labels)
    full = [code for code in task.languages if chooses(code, few)]
    asked = {code: list(splits) if code in few.languages else ["dev"] for code in task.languages}
    by_language = len(full) > 1
    parts = [(known.folds != at, known.folds == at) for at in range(len(full))] if by_language else [
        (_mask(seen, known.gold), _mask(held, known.gold)) for seen, held in row_folds(known.gold, known.rows)
    ]  # fmt: skip
    if not parts or any(len(np.unique(known.gold[seen])) < 2 for seen, _ in parts):
        return {
            code: {split: frequencies(known.gold, classes, len(documents(task, code, split))) for split in names}
            for code, names in asked.items()
        }
    model = fit(linear_model(task.kind), known.inputs, known.gold)
    held_out, unseen = np.zeros((len(known.gold), classes)), {}
    for at, (seen, held) in enumerate(parts):
        without = fit(linear_model(task.kind), _some(known.inputs, seen), known.gold[seen])
        held_out[held] = decision_scores(without, _some(known.inputs, held), classes)
        if by_language:
            unseen[full[at]] = decision_scores(without, documents(task, full[at], "dev"), classes)
    calibration = LogisticRegression(max_iter=1000).fit(held_out, known.gold)
    found: dict[str, dict[str, np.ndarray]] = {}
    for at, code in enumerate(task.languages):
        scores = {split: decision_scores(model, documents(task, code, split), classes) for split in asked[code]}
        if code in unseen:
            scores["dev"] = unseen[code]
        if "train" in scores:  # the few rows with a label, too, are predicted by a model that has not seen them
            own = known_rows(task, code, few)[unit_rows(task.rows(code, "train"))]
            scores["train"][own] = held_out[known.languages == at]
        found[code] = {split: calibrated(calibration, each) for split, each in scores.items()}
    return found


def shared_weights(task: Task, few: FewLabelsConfig, teachers: Mapping[str, SoftLabelsByLanguage]) -> np.ndarray:
    """(K,) weights of the teachers in every language with few labels: of least loss on the other languages' dev rows.

    Args:
        task: with its dev rows.
        few: the section.
        teachers: log-probabilities of `dev` by teacher and language.
    """
    full = [code for code in task.languages if chooses(code, few)]
    empty = np.zeros((0, len(task.labels)), np.float32)
    dev = [np.concatenate([empty, *(each[code]["dev"] for code in full)]) for each in teachers.values()]
    gold = np.concatenate([np.zeros(0, np.int64), *(label_numbers(task, code, "dev") for code in full)])
    return mixture_weights(dev, gold)


def _known(task: Task, few: FewLabelsConfig) -> _Known:
    rows: list[Row] = []
    groups, languages, folds = list[int](), list[int](), list[int]()
    full = [code for code in task.languages if chooses(code, few)]
    for at, code in enumerate(task.languages):
        own = known_of(task, code, few)
        _, numbers = np.unique(np.array(task.row_numbers(code))[known_rows(task, code, few)], return_inverse=True)
        rows += own
        groups += (numbers + len(set(groups))).tolist()
        languages += [at] * len(own)
        # The few rows of a language take turns: each is unseen once, and the rest of them help.
        folds += [full.index(code)] * len(own) if code in full else (numbers % max(1, len(full))).tolist()
    units = unit_rows(rows)
    return _Known(
        documents_of(rows), numbers_of(task, rows), np.array(groups)[units], np.array(languages, np.int64)[units],
        np.array(folds, np.int64)[units],
    )  # fmt: skip


def _mask(units: np.ndarray, gold: np.ndarray) -> np.ndarray:
    found = np.zeros(len(gold), np.bool_)
    found[units] = True
    return found


def _some(inputs: Sequence[object], which: np.ndarray) -> list[object]:
    return [inputs[unit] for unit in np.flatnonzero(which).tolist()]
