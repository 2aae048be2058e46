"""What the benchmarks run on: a teacher, a student and text, by default those that the pipeline left here."""

import argparse
import copy
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import XLMRobertaForMaskedLM, XLMRobertaModel

from benchmarks.machine import plain_parser
from distil.core.languages import LANGUAGES
from distil.core.params import NO_FOLDER
from distil.modeling.shape import build_masked_lm
from distil.modeling.tokenizer import load_tokenizer, special_ids, teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.student.initialisation import init_from_teacher
from distil.student.model import StudentConfig
from distil.tokenization.prepare import TokenizeConfig, prepare_language
from distil.tokenization.shards import Shard, TokenizedDataset

# The paper's student, from a random start; read when this is imported, so that a test notices a new key.
PAPER = StudentConfig(hidden_size=256, num_hidden_layers=6, num_attention_heads=8, intermediate_size=1024, dropout=0.0,
                      init="random", init_layers=(), experts=0, trunk=NO_FOLDER)  # fmt: skip


def parser(description: str) -> argparse.ArgumentParser:
    """Options of the benchmarks that need models and text."""
    options = plain_parser(description)
    options.add_argument("--teacher", type=Path, default=Path("models/teacher"), help="model folder")
    options.add_argument("--tokenizer", type=Path, default=Path("models/tokenizer"), help="kept pieces")
    options.add_argument("--text", type=Path, default=Path("data/raw"), help="folder with LANG.txt")
    options.add_argument(
        "--student", type=Path, help="model folder; without it, 6 layers of 256 started from the teacher"
    )
    return options


def load_text(
    options: argparse.Namespace, folder: Path, tokens: int, variants: int, shard_tokens: int = 4_000_000
) -> list[TokenizedDataset]:
    """The head of each language's text in `folder`, tokenised and masked as the pipeline does it."""
    config = TokenizeConfig(
        max_length=128, min_length=5, max_tokens=tokens, heldout_fraction=0.1, mask_rate=0.15, mask_variants=variants,
        shard_tokens=shard_tokens,
    )  # fmt: skip
    found = []
    for language in LANGUAGES:
        text = options.text / f"{language}.txt"
        if text.is_file():
            prepare_language(language, text, options.tokenizer, config, 1, folder / language)
            found.append(TokenizedDataset(folder / language))
    if not found:
        sys.exit(f"error: {options.text}: no LANG.txt there; run the pipeline first, or give --text")
    return found


def shards(texts: list[TokenizedDataset]) -> Iterator[Shard]:
    """The first training shard of each language."""
    for text in texts:
        yield text.open(text.shards("train")[0])


def load_student(options: argparse.Namespace, teacher: XLMRobertaForMaskedLM) -> XLMRobertaForMaskedLM:
    """The student given, or a new one of the paper's shape started from the teacher."""
    if options.student:
        return load_masked_lm(options.student, "distil")
    tokenizer = load_tokenizer(options.tokenizer)
    torch.manual_seed(1)
    pieces = torch.tensor(teacher_piece_ids(options.tokenizer), dtype=torch.int64)
    student = build_masked_lm(PAPER.shape, special_ids(tokenizer), len(pieces), 514)
    init_from_teacher(student, teacher, pieces)
    return student.eval()


def in_8_bits(encoder: XLMRobertaModel) -> XLMRobertaModel:
    """A copy whose linear layers have 8-bit weights and quantise their input as it comes (CPU only)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*deprecated")  # torch's own, enough to measure with
        return torch.ao.quantization.quantize_dynamic(copy.deepcopy(encoder), {torch.nn.Linear}, dtype=torch.qint8)
