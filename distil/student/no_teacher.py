"""The same student without a teacher: its shape, text, masks, batches and epochs; random weights; the true pieces only.

The distance to it is what a teacher is worth.
"""

from pathlib import Path
from typing import Any

import torch

from distil.compute.distributed import ALONE, Ranks
from distil.core.errors import UserError
from distil.core.files import read_json
from distil.modeling.shape import build_masked_lm, describe_model
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.student.model import StudentConfig, save_student
from distil.tokenization.shards import Prepared
from distil.training.objective import WITHOUT_TEACHER, Objective
from distil.training.text_only import TextOnly
from distil.training.trainer import Outcome, TrainConfig, train


def open_texts(languages: list[str], prepared: Path, tokenizer: Path) -> list[TextOnly]:
    """The text of each language, matched with the tokenizer."""
    texts = [Prepared(prepared / language) for language in languages]
    for text in texts:
        text.check_tokenizer(tokenizer)
    return [TextOnly(text) for text in texts]


def train_without_teacher(
    texts: list[TextOnly],
    languages: list[str],
    shape: StudentConfig,
    config: TrainConfig,
    teacher_config: Path,
    tokenizer: Path,
    out: Path,
    metrics: Path,
    scratch: Path,
    ranks: Ranks = ALONE,
) -> tuple[dict[str, Any], Outcome]:
    """Train it by masked-LM cross-entropy and write it to `out`, a Hugging Face folder with its tokenizer.

    It never stops early; the weights kept are those of the least held-out loss.

    Args:
        texts: one of each language.
        languages: codes.
        shape: the student's; its `init` plays no part.
        config: the student's optimisation; its `patience` plays no part.
        teacher_config: config.json of the teacher, for the length of the position table, the student's.
        tokenizer: models/tokenizer.
        out: an empty folder.
        metrics: folder of train.csv and heldout.csv.
        scratch: folder of the checkpoint.
        ranks: the processes that train together; the main one alone writes.

    Returns:
        The summary (docs/design.md, metrics/no_teacher/summary.json, without its key) and what the training came to.
    """
    fast = load_tokenizer(tokenizer)
    positions = read_json(teacher_config, "teacher").get("max_position_embeddings")
    if not isinstance(positions, int):
        raise UserError(f"{teacher_config}: expected max_position_embeddings, found none; run `dvc repro teacher`")
    torch.manual_seed(config.seed)
    model = build_masked_lm(shape.shape, special_ids(fast), fast.get_vocab_size(), positions)
    objective = Objective(model, None, WITHOUT_TEACHER, [])
    patient = config.model_copy(update={"patience": 0})
    outcome = train(
        model,
        objective,
        texts,
        languages,
        patient,
        metrics,
        scratch,
        lambda step, figures: None,
        "no_teacher",
        ranks,
    )
    if ranks.is_main:
        save_student(model, tokenizer, out)
    summary = {
        "steps": outcome.steps,
        "epochs": config.epochs,
        "tokens": outcome.tokens,
        "best_step": outcome.best_step,
        "student": describe_model(model),
        "heldout": outcome.heldout,
    }
    return summary, outcome
