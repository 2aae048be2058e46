"""Sentence vectors of a masked language model: the mean of its last states.

A multilingual model's vectors lie in a narrow cone: those of afro-e5-mini have a mean of length 1.33 and a deviation
of 0.019 in a dimension. So targets are centred and scaled by one number; otherwise the optimiser spends hundreds of
steps on the mean.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from distil.compute.batching import BATCH_TOKENS, by_length
from distil.core.files import atomic_path, scratch_folder, sha256_file, sha256_json
from distil.core.pipeline import code_checksums
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.modeling.xlm_roberta import load_masked_lm

log = logging.getLogger("distil")

MANY_PIECES = 3.0  # a word; the five languages of the presets take 1.6 to 2.8 by their own pieces
CODE = ("distil/embedding/teacher_vectors.py", "distil/modeling/xlm_roberta.py", "distil/modeling/tokenizer.py")


def mean_of_states(states: Tensor, mask: Tensor) -> Tensor:
    """(B, D) float32 means over the tokens of (B, T, D) states; mask (B, T), 1 for a token."""
    weights = mask[..., None].float()
    return (states.float() * weights).sum(1) / weights.sum(1)


def cut_ids(tokenizer: Tokenizer, texts: list[str], max_length: int) -> list[list[int]]:
    """Token ids with `<s>` and `</s>`, cut at `max_length` tokens."""
    last, end = max_length - 1, special_ids(tokenizer).eos
    found = (encoding.ids for encoding in tokenizer.encode_batch_fast(texts))
    return [ids if len(ids) <= max_length else [*ids[:last], end] for ids in found]


@torch.inference_mode()
def sentence_vectors(
    folder: Path, made_by: str | None, texts: list[str], max_length: int, precision: str
) -> np.ndarray:
    """(N, D) float32 vectors of N texts.

    Args:
        folder: an XLM-R masked language model and its tokenizer.
        made_by: the stage that writes it, named in errors; None where a person chose it.
        texts: N of them.
        max_length: tokens of a text with `<s>` and `</s>`; what is behind them is cut off.
        precision: of the matrix products, float32 or bfloat16.

    Raises:
        UserError: the model or its tokenizer does not load.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    masked_lm: Any = load_masked_lm(folder, made_by)
    model = masked_lm.roberta.to(device)
    tokenizer = load_tokenizer(folder, made_by or "embed")
    rows, pad = cut_ids(tokenizer, texts, max_length), special_ids(tokenizer).pad
    found = np.zeros((len(rows), model.config.hidden_size), np.float32)
    lengths = np.array([len(ids) for ids in rows])
    for batch in by_length(lengths, BATCH_TOKENS[device.type]):
        ids = torch.full((len(batch), int(lengths[batch].max())), pad)
        for place, row in enumerate(batch):
            ids[place, : lengths[row]] = torch.tensor(rows[row])
        ids = ids.to(device)
        mask = (ids != pad).long()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            states = model(ids, attention_mask=mask).last_hidden_state
        found[batch] = mean_of_states(states, mask).cpu().numpy()
    return found


def cached_vectors(folder: Path, texts: list[str], max_length: int, precision: str) -> np.ndarray:
    """As `sentence_vectors`, kept in .scratch by content: another training costs no pass of the teacher."""
    key = sha256_json([
        sha256_file(folder / "model.safetensors"), sha256_file(folder / "tokenizer.json"), texts, max_length, precision,
        {file: sha for file, sha in code_checksums("embed").items() if file in CODE},
    ])  # fmt: skip
    path = scratch_folder("embedding") / f"vectors-{key}.npy"
    if not path.is_file():
        log.info("embed: the teacher reads %s sentences", f"{len(texts):,}")
        found = sentence_vectors(folder, maker(folder), texts, max_length, precision)
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, found)
    return np.load(path)


def maker(teacher: Path) -> str | None:
    """The stage that writes a teacher, for errors; None where a person chose another folder."""
    return "teacher" if teacher == Path("models/teacher") else None


def scaled(vectors: np.ndarray) -> np.ndarray:
    """(N, D) float32 vectors with mean 0 in each dimension and deviation 1 over all of them."""
    away = vectors - vectors.mean(axis=0)
    return (away / away.std()).astype(np.float32)


def pieces_per_word(folder: Path, texts: list[str], pivot: str) -> float:
    """Pieces a word of the student's tokenizer in the pivot; warns where it has few of that language's.

    Args:
        folder: models/student.
        texts: in the pivot.
        pivot: its code, for the warning.
    """
    found = sum(len(encoding.ids) - 2 for encoding in load_tokenizer(folder, "distil").encode_batch_fast(texts))
    rate = found / max(1, sum(len(text.split()) for text in texts))
    if rate > MANY_PIECES:
        log.warning(
            "embed: %.1f pieces a word of %s: the student's tokenizer hardly covers it; a student made with that "
            "language among `languages:` would", rate, pivot,
        )  # fmt: skip
    return round(rate, 3)
