"""The same student without a teacher: its shape, text, masks, batches and epochs; random weights; the true pieces only.

The distance to it is what a teacher is worth.
"""

from pathlib import Path
from typing import Any

import torch

from distil.compute.distributed import SINGLE_PROCESS, Processes
from distil.core.errors import UserError
from distil.core.files import read_json
from distil.modeling.shape import build_masked_lm, describe_model
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.student.model import StudentConfig, save_student
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
    """Train by masked-LM cross-entropy and write to `paths.out`, a Hugging Face folder with its tokenizer.

    It never stops early; the weights kept are those of the least held-out loss.

    Args:
        texts: one of each language.
        languages: codes.
        shape: the student's; its `init` is not used.
        config: the student's optimisation; its `patience` is not used.
        paths: where to read and write; of the teacher only config.json, for the length of the position table.
        processes: the processes that train together; the main one alone writes.

    Returns:
        The summary (metrics/no_teacher/summary.json without its key) and the result of the training.
    """
    fast, teacher_config = load_tokenizer(paths.tokenizer), paths.teacher / "config.json"
    positions = read_json(teacher_config, "teacher").get("max_position_embeddings")
    if not isinstance(positions, int):
        raise UserError(f"{teacher_config}: expected max_position_embeddings, found none; run `dvc repro teacher`")
    torch.manual_seed(config.seed)
    model = build_masked_lm(shape.shape, special_ids(fast), fast.get_vocab_size(), positions)
    objective = Objective(model, None, MASKED_LM_ONLY, [])
    patient = config.model_copy(update={"patience": 0})
    outcome = Trainer(model, objective, patient, paths, "no_teacher", processes=processes).train(texts, languages)
    if processes.is_main:
        save_student(model, paths.tokenizer, paths.out)
    summary = {
        "steps": outcome.steps,
        "epochs": config.epochs,
        "tokens": outcome.tokens,
        "best_step": outcome.best_step,
        "student": describe_model(model),
        "heldout": outcome.heldout,
    }
    return summary, outcome
