"""A student's first weights, random or from its teacher: where the student and its controls start alike."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import XLMRobertaForMaskedLM

from distil.modeling.tokenizer import teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.student.initialisation import Text, init_from_teacher
from distil.student.model import StudentConfig, random_student
from distil.tokenization.shards import TokenizedDataset, masked_input

SAMPLE_TOKENS = 1000  # of each language, on which first weights are fitted


def first_weights(
    config: StudentConfig, seed: int, texts: Sequence[TokenizedDataset], tokenizer: Path, teacher: Path
) -> XLMRobertaForMaskedLM:
    """The student before its first step: the same weights for the same arguments, bit for bit.

    Args:
        config: shape, and what of the teacher it starts from.
        seed: of the random weights (`train.seed`); also sets torch's generator.
        texts: the text of each language, to which layers are fitted where there are some.
        tokenizer: models/tokenizer.
        teacher: models/teacher; of a random start only config.json is read.
    """
    model = random_student(config, seed, tokenizer, teacher / "config.json")
    if config.init == "teacher":
        pieces_kept = torch.tensor(teacher_piece_ids(tokenizer), dtype=torch.int64)
        text = sample_text(texts, pieces_kept) if config.init_layers else None
        init_from_teacher(model, load_masked_lm(teacher, "teacher"), pieces_kept, config.init_layers, text)
    return model


def sample_text(texts: Sequence[TokenizedDataset], teacher_piece_ids: Tensor) -> Text:
    """Masked sequences of every language, spread over the lengths of its first training file.

    Args:
        texts: one of each language.
        teacher_piece_ids: (V,) the teacher's id of each piece of the student.
    """
    parts = []
    for prepared in texts:
        shard = prepared.open(prepared.shards("train")[0])
        count = max(1, min(len(shard.lengths), round(SAMPLE_TOKENS / float(shard.lengths.mean()))))
        chosen = np.linspace(0, len(shard.lengths) - 1, count).astype(np.int64)
        pad_id = prepared.manifest["pad_id"]
        parts.append(masked_input(shard, chosen, np.zeros(count, np.int64), pad_id))
    lengths = torch.from_numpy(np.concatenate([part.lengths for part in parts]))
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.full(mask.shape, pad_id)
    rows = [row[:length] for part in parts for row, length in zip(part.input_ids, part.lengths, strict=True)]
    ids[mask] = torch.from_numpy(np.concatenate(rows))
    return Text(teacher_piece_ids[ids], mask)
