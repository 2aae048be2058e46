"""Masked-LM training of a student's shape on the student's text, masks, batches and epochs; the true pieces only.

From random weights it is the model without a teacher; from the student's own start it is the control `masked_lm`.
"""

from pathlib import Path
from typing import Any

from transformers import XLMRobertaForMaskedLM

from distil.compute.distributed import SINGLE_PROCESS, Processes
from distil.modeling.shape import describe_model
from distil.student.model import StudentConfig, random_student, save_student
from distil.tokenization.shards import TokenizedDataset
from distil.training.config import RunPaths, TrainConfig
from distil.training.objective import MASKED_LM_ONLY, Objective
from distil.training.text_only import TextOnlyDataset
from distil.training.trainer import Trainer, TrainingResult


def open_texts(languages: list[str], prepared: Path, tokenizer: Path) -> list[TextOnlyDataset]:
    """The text of each language, matched with the tokenizer."""
    texts = [TokenizedDataset(prepared / language) for language in languages]
    for text in texts:
        text.check_tokenizer(tokenizer)
    return [TextOnlyDataset(text) for text in texts]


def train_without_teacher(
    texts: list[TextOnlyDataset],
    languages: list[str],
    shape: StudentConfig,
    config: TrainConfig,
    paths: RunPaths,
    processes: Processes = SINGLE_PROCESS,
) -> tuple[dict[str, Any], TrainingResult]:
    """`train_on_text` from random weights; of the teacher only config.json is read.

    Args:
        texts: one of each language.
        languages: codes.
        shape: the student's; its `init` is not used.
        config: the student's optimisation.
        paths: where to read and write.
        processes: the processes that train together.
    """
    model = random_student(shape, config.seed, paths.tokenizer, paths.teacher / "config.json")
    return train_on_text(model, texts, languages, config, paths, "no_teacher", processes)


def train_on_text(
    model: XLMRobertaForMaskedLM,
    texts: list[TextOnlyDataset],
    languages: list[str],
    config: TrainConfig,
    paths: RunPaths,
    title: str,
    processes: Processes = SINGLE_PROCESS,
) -> tuple[dict[str, Any], TrainingResult]:
    """Train by masked-LM cross-entropy and write to `paths.out`, a Hugging Face folder with its tokenizer.

    It never stops early; the weights kept are those of the least held-out loss.

    Args:
        model: with its first weights; changed in place.
        texts: one of each language.
        languages: codes.
        config: the student's optimisation; its `patience` is not used.
        paths: where to read and write.
        title: the stage, for messages.
        processes: the processes that train together; the main one alone writes.

    Returns:
        The summary (metrics/no_teacher/summary.json without its key) and the result of the training.
    """
    objective = Objective(model, None, MASKED_LM_ONLY, [])
    patient = config.model_copy(update={"patience": 0})
    outcome = Trainer(model, objective, patient, paths, title, processes=processes).train(texts, languages)
    if processes.is_main:
        save_student(model, paths.tokenizer, paths.out)
    summary = {
        "steps": outcome.steps,
        "epochs": config.epochs,
        "tokens": outcome.tokens,
        "best_step": outcome.best_step,
        **({"averaged": outcome.averaged} if config.average else {}),
        "student": describe_model(model),
        "heldout": outcome.heldout,
    }
    return summary, outcome
