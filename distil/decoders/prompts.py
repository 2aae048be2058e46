"""The text in front of a label: demonstrations from train, then the prompt filled with a text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from distil.core.errors import UserError
from distil.evaluation.config import FewLabelsConfig
from distil.evaluation.decoders import LABEL, TEXT, DecoderConfig
from distil.evaluation.few_labels import known_of
from distil.tasks.data import Task, TextRow

BETWEEN = "\n\n"  # demonstrations


class TaskPrompt(NamedTuple):
    """The prompt of one task."""

    template: str  # ends with {label}
    names: dict[str, str]  # what stands for each label, in the order of the task's labels

    @classmethod
    def of(cls, where: str, config: DecoderConfig, task: Task) -> "TaskPrompt":
        """Match a decoder's block, which `where` names, with a task.

        Raises:
            UserError: the task is token classification, or its labels' names are unknown or not told apart.
        """
        if task.kind != "text_classification":
            raise UserError(
                f"{where}.prompts.{task.name}: {task.name} is token classification, a decoder scores text "
                f"classification only; take {task.name} out of prompts"
            )
        given = config.names.get(task.name, {})
        if unknown := [label for label in given if label not in task.labels]:
            raise UserError(
                f"{where}.names.{task.name}: expected labels of the task, {', '.join(task.labels)}, found {unknown[0]}"
            )
        names = {label: given.get(label, label).strip() for label in task.labels}
        if len(set(names.values())) < len(names):
            raise UserError(f"{where}.names.{task.name}: two labels are the same text: {', '.join(names.values())}")
        return cls(config.prompts[task.name], names)

    @property
    def answers(self) -> list[str]:
        """What follows a context, for each label: the space before the label belongs to it."""
        gap = self._before_label[len(self._before_label.rstrip()) :]
        return [gap + name for name in self.names.values()]

    @property
    def _before_label(self) -> str:
        return self.template.removesuffix(LABEL)

    def context(self, text: str, shots: Sequence[TextRow] = ()) -> str:
        """What an answer follows; `shots` are filled prompts in front."""
        filled = [self.template.replace(LABEL, self.names[row.label]).replace(TEXT, row.text) for row in shots]
        return BETWEEN.join([*filled, self._before_label.rstrip().replace(TEXT, text)])


def draw_shots(task: Task, language: str, count: int, few: FewLabelsConfig) -> list[TextRow]:
    """`count` training rows of each label whose label may be known, or as many as there are; mixed, always the same."""
    rng, rows = np.random.default_rng(0), known_of(task, language, few) if count else []
    drawn: list[TextRow] = []
    for label in task.labels:
        own = [row for row in rows if isinstance(row, TextRow) and row.label == label]
        drawn += [own[number] for number in rng.permutation(len(own))[:count]]
    return [drawn[number] for number in rng.permutation(len(drawn))]
