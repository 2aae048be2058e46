"""The teachers of one task, mixed in every language: `finetune.task_teachers`.

A language whose dev rows choose has the weights of least loss on them (teacher_mixture.py); one with few labels the
weights of the others (few_labels.py).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from distil.core.errors import UserError
from distil.evaluation.baselines import label_numbers
from distil.evaluation.config import FewLabelsConfig, TaskTeachersConfig
from distil.evaluation.few_labels import chooses, few_labels_entry
from distil.evaluation.teacher_mixture import Mixture, mix_by_weights, mix_teachers
from distil.tasks.data import Task
from distil.tasks.tag_decoding import tag_marginals
from distil.tasks.tag_sequences import TagSequences, best_sequences

BySplit = Mapping[str, np.ndarray]  # (U, C) log-probabilities by split
MAX_LABELS = 255  # of a task whose sequences are kept as bytes, one of which is no tag


class TaskTeachers(NamedTuple):
    """What a task's teachers say together, by language."""

    mixed: dict[str, Mixture]
    soft_labels: dict[str, BySplit]  # what the student learns from
    about: dict[str, Any]  # for the manifest


def mix_task_teachers(
    task: Task, languages: Sequence[str], given: Mapping[str, Mapping[str, BySplit]], splits: Sequence[str],
    config: TaskTeachersConfig, few: FewLabelsConfig, chains: Collection[str] = (),
) -> TaskTeachers:  # fmt: skip
    """Mix the teachers of a task; the linear one is fitted here.

    Args:
        task: with its rows.
        languages: of params.yaml.
        given: by teacher and language, of those that are read from soft labels.
        splits: of the soft labels.
        config: section `finetune.task_teachers:`.
        few: section `evaluate.few_labels:`.
        chains: those of `given` whose soft labels are marginals already, under transitions of their own. Beside one,
            `marginals` turns the others' soft labels into marginals before the mixing, and else those of the mixture.
    """
    marginals = config.tags == "marginals" and task.kind == "token_classification"

    def prepared(teacher: str, language: str, found: BySplit) -> BySplit:
        return marginal_soft_labels(task, language, found) if marginals and chains and teacher not in chains else found

    given = {name: {code: prepared(name, code, found) for code, found in each.items()} for name, each in given.items()}
    mixed = {}
    for language in (code for code in languages if chooses(code, few)):
        found = {teacher: each[language] for teacher, each in given.items()}
        if "linear" in config.use:
            from distil.evaluation.linear_teacher import linear_soft_labels  # with scikit-learn, a second

            found["linear"] = prepared("linear", language, linear_soft_labels(task, language, splits))
        mixed[language] = mix_teachers(found, label_numbers(task, language, "dev"))
    if few.languages:
        from distil.evaluation.pooled_teacher import pooled_soft_labels, shared_weights

        every = {**given}
        if "linear" in config.use:
            pooled = pooled_soft_labels(task, few, splits)
            every["linear"] = {code: prepared("linear", code, found) for code, found in pooled.items()}
        weights = shared_weights(task, few, every)
        for language in few.languages:
            mixed[language] = mix_by_weights({name: each[language] for name, each in every.items()}, weights)
    mixed = {code: mixed[code] for code in languages}
    about = {"teachers": list(config.use), "weights": {code: each.weights for code, each in mixed.items()},
             "dev_loss": {code: each.dev_loss for code, each in mixed.items()},
             **few_labels_entry(task, list(languages), few)}  # fmt: skip
    soft_labels: dict[str, BySplit] = {code: each.log_probs for code, each in mixed.items()}
    if marginals and not chains:
        soft_labels = {code: marginal_soft_labels(task, code, each) for code, each in soft_labels.items()}
    if marginals or (chains and set(chains) == set(config.use)):
        about["tags"] = "marginals"
    return TaskTeachers(mixed, soft_labels, about)


def marginal_soft_labels(task: Task, language: str, splits: BySplit) -> dict[str, np.ndarray]:
    """As `tag_marginals`, of each split's sentences.

    Args:
        task: a tagging task.
        language: code.
        splits: (U, C) log-probabilities of the words of train, dev, test or unlabelled.
    """
    return {
        split: tag_marginals(log_probs, _sentence_starts(task, language, split), task.labels)
        for split, log_probs in splits.items()
    }


def find_sequences(
    task: Task, soft_labels: Mapping[str, BySplit], splits: Sequence[str], config: TaskTeachersConfig
) -> dict[str, dict[str, TagSequences]]:
    """The most probable sequences of tags under mixed soft labels, by language and split.

    Empty unless `config.tags` asks for them and the task is one of tags.

    Args:
        task: with its rows.
        soft_labels: by language, of `mix_task_teachers`.
        splits: that the student learns from.
        config: section `finetune.task_teachers:`.

    Raises:
        UserError: the task has too many labels.
    """
    if config.tags != "sequences" or task.kind != "token_classification":
        return {}
    if len(task.labels) > MAX_LABELS:
        raise UserError(
            f"params.yaml: finetune.task_teachers.tags: expected at most {MAX_LABELS} labels for sequences, found "
            f"{len(task.labels)} in {task.folder}; set it to words or marginals"
        )
    return {
        code: {
            split: best_sequences(each[split], _sentence_starts(task, code, split), task.labels, config.sequences)
            for split in splits
        }
        for code, each in soft_labels.items()
    }


def _sentence_starts(task: Task, language: str, split: str) -> np.ndarray:
    """(N + 1,) the words of sentence n of a split are those from starts[n] to starts[n + 1]."""
    rows = task.unlabelled_tokens(language) if split == "unlabelled" else task.token_rows(language, split)
    return np.cumsum([0, *(len(row) if isinstance(row, list) else len(row.tokens) for row in rows)])
