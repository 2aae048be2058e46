"""A model's scores on a task, language by language."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from distil.errors import UserError
from distil.finetune import Encoded, Encoder, FinetuneConfig, finetune, join, predict
from distil.params import Params
from distil.scoring import Predictions
from distil.tasks import Task

log = logging.getLogger("distil")


class LearningRates(Params):
    """`evaluate.learning_rate:`, one for each model."""

    teacher: float = Field(gt=0, lt=1)
    student: float = Field(gt=0, lt=1)


class EvaluateConfig(Params):
    """Section `evaluate:` of params.yaml."""

    tasks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(min_length=1)
    languages: Literal["joint", "separate"]
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    max_length: int = Field(ge=8, le=512)
    learning_rate: LearningRates
    dropout: float = Field(ge=0, le=0.5)
    warmup_fraction: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, lt=1)
    bootstrap_resamples: int = Field(ge=100)

    def finetuning(self, model: str) -> FinetuneConfig:
        """What fine-tuning `model` (teacher or student) takes."""
        return FinetuneConfig(
            epochs=self.epochs, batch_size=self.batch_size, learning_rate=getattr(self.learning_rate, model),
            dropout=self.dropout, warmup_fraction=self.warmup_fraction, weight_decay=self.weight_decay,
        )  # fmt: skip


def evaluate(
    folder: Path, model: str, task: Task, languages: list[str], config: EvaluateConfig
) -> dict[str, Predictions]:
    """Fine-tune once for each seed (and, with `separate`, each language) and predict the test rows.

    Args:
        folder: models/teacher or models/student.
        model: teacher or student; decides the learning rate.
        task: its rows.
        languages: in the order of tables.
        config: section `evaluate:`.

    Raises:
        UserError: the task is of a kind that cannot be scored here, or see `finetune`.
    """
    if task.kind != "text_classification":
        raise UserError(
            f"data/tasks/{task.name}: kind {task.kind}: only text_classification is scored so far; take it out of "
            "evaluate.tasks"
        )
    encoder = Encoder(folder, config.max_length)
    rows = {split: {language: _encode(encoder, task, language, split) for language in languages}
            for split in ("train", "dev", "test")}  # fmt: skip
    groups = [languages] if config.languages == "joint" else [[language] for language in languages]
    predicted: dict[str, dict[int, np.ndarray]] = {language: {} for language in languages}
    for seed in config.seeds:
        for group in groups:
            title = f"fine-tune {model} on {task.name}, {' '.join(group)}, seed {seed}"
            classifier = finetune(
                folder, len(task.labels), join([rows["train"][language] for language in group]),
                {language: rows["dev"][language] for language in group}, encoder.pad_id, config.finetuning(model), seed,
                title,
            )  # fmt: skip
            for language in group:
                predicted[language][seed] = predict(classifier, rows["test"][language], encoder.pad_id).argmax(axis=1)
    return {
        language: Predictions(rows["test"][language].labels, predicted[language], len(rows["train"][language].ids))
        for language in languages
    }


def _encode(encoder: Encoder, task: Task, language: str, split: str) -> Encoded:
    rows = task.text_rows(language, split)
    labels = np.array([task.labels.index(row.label) for row in rows], np.int64)
    return encoder.encode([row.text for row in rows], labels)
