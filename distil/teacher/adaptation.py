"""Continued masked-LM training of a teacher on the languages' own text, before it is cached.

The recipe that made AfroXLMR out of XLM-R: language-adaptive fine-tuning on several languages at once (Alabi et al.
2022, arXiv 2204.06487).
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import XLMRobertaForMaskedLM

from distil.compute.guard import GuardDeviations
from distil.compute.precision import Precision
from distil.core.errors import UserError
from distil.core.params import Params
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.teacher.masked_lm import (
    FasterRows,
    MaskedLMSchedule,
    Sequences,
    encode_lines,
    measure_masked_lm,
    train_masked_lm,
)
from distil.teacher.new_pieces import add_new_pieces
from distil.tokenization.masking import is_held_out

log = logging.getLogger("distil")

MOST_HELDOUT = 300  # lines of each language that are measured, spread over those held out


class AdaptConfig(Params):
    """Section `teacher.adapt:` of params.yaml."""

    steps: int = Field(ge=0)
    text: str = Field(min_length=1)
    batch_tokens: int = Field(ge=256)
    max_length: int = Field(ge=8, le=512)
    learning_rate: float = Field(gt=0, lt=1)
    warmup_fraction: float = Field(ge=0, lt=1)
    mask_rate: float = Field(gt=0, le=0.5)
    sampling_temperature: float = Field(gt=0)
    heldout_fraction: float = Field(gt=0, le=0.5)
    checkpoint_every: int = Field(ge=1)
    keep: float = Field(gt=0, le=1)  # share of the change that stays
    new_pieces: int = Field(ge=0, le=50_000)  # of each language
    new_pieces_rate: float = Field(gt=0, le=100)  # times the learning rate
    guard: GuardDeviations
    precision: Precision


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's parameters on the CPU, a tied one once."""
    return {name: parameter.detach().cpu().clone() for name, parameter in model.named_parameters()}


@torch.no_grad()
def keep_share(model: nn.Module, start: Mapping[str, Tensor], keep: float) -> None:
    """Go back part of the way: start + keep * (weights - start), in place.

    Task arithmetic (Ilharco et al. 2023, arXiv 2212.04089); between a model and its fine-tuned self it is WiSE-FT
    (Wortsman et al. 2022, arXiv 2109.01903).

    Args:
        model: trained.
        start: its parameters before.
        keep: 0 to 1; 1 changes nothing.
    """
    for name, parameter in model.named_parameters():
        parameter.copy_(torch.lerp(start[name].to(parameter.device), parameter, keep))


class Texts(NamedTuple):
    """Lines of each language, by code."""

    train: dict[str, list[str]]
    heldout: dict[str, list[str]]  # MOST_HELDOUT of those apart at most


def read_texts(languages: list[str], config: AdaptConfig, room: int, otherwise: str) -> Texts:
    """The text that a teacher is adapted to and measured on.

    Args:
        languages: codes; `config.text` holds LANG.txt of each.
        config: which text, and how much of it is held out.
        room: tokens that the teacher can read.
        otherwise: ends the error of a missing text: how to do without one.

    Raises:
        UserError: a text is missing, has nothing to train on or to hold out, or sequences are longer than `room`.
    """
    if config.max_length > room:
        raise UserError(
            f"params.yaml: teacher.adapt.max_length: expected at most {room}, what this teacher can read, found "
            f"{config.max_length}"
        )
    texts = Texts({}, {})
    for language in languages:
        path = Path(config.text) / f"{language}.txt"
        if not path.is_file():
            raise UserError(
                f"{path}: no such file; to adapt a teacher or to merge several, set teacher.adapt.text of params.yaml "
                f"to data/raw and run `dvc repro corpus`, or {otherwise}"
            )
        lines = path.read_text(encoding="utf-8").split("\n")
        apart = [is_held_out(line, config.heldout_fraction) for line in lines]
        kept = [line for line, out in zip(lines, apart, strict=True) if not out]
        away = [line for line, out in zip(lines, apart, strict=True) if out]
        if not any(map(str.strip, kept)) or not any(map(str.strip, away)):
            raise UserError(
                f"{path}: {language}: expected text to train on and to hold out, found {len(kept)} and {len(away)} "
                "lines; give more text, or change teacher.adapt.heldout_fraction"
            )
        texts.train[language] = kept
        texts.heldout[language] = away[:: max(1, -(-len(away) // MOST_HELDOUT))]
    return texts


def measure(
    model: XLMRobertaForMaskedLM, tokenizer: Path, heldout: Mapping[str, Sequence[str]], config: AdaptConfig, seed: int
) -> dict[str, tuple[float, int]]:
    """Masked-LM loss on held-out lines of each language, in nats, and the positions behind it.

    Args:
        model: to measure.
        tokenizer: a folder with its tokenizer.json.
        heldout: lines by language.
        config: length, rate of masks, size of batches.
        seed: decides the masks: the same ones for every model with this tokenizer.

    Raises:
        UserError: the tokenizer finds no piece in a language's lines.
    """
    fast = load_tokenizer(tokenizer, "teacher")
    special = special_ids(fast)
    return {
        language: measure_masked_lm(
            model, _encode(language, lines, fast, config, "to hold out"), special, config.batch_tokens,
            config.mask_rate, seed,
        )
        for language, lines in heldout.items()
    }  # fmt: skip


def _encode(
    language: str, lines: Sequence[str], tokenizer: Tokenizer, config: AdaptConfig, purpose: str
) -> Sequences:  # fmt: skip
    """The lines of a language as sequences, at least one."""
    found = encode_lines(lines, tokenizer, special_ids(tokenizer), config.max_length)
    if not len(found.ids):
        raise UserError(
            f"{Path(config.text) / language}.txt: {language}: expected text {purpose} in which the teacher's tokenizer "
            f"finds pieces, found {len(lines)} lines without one; give more text, or change "
            "teacher.adapt.heldout_fraction"
        )
    return found


def adapt(
    model: XLMRobertaForMaskedLM, tokenizer: Path, languages: list[str], config: AdaptConfig, seed: int, scratch: Path
) -> dict[str, Any]:
    """Train `model` in place; returns its entry for the manifest of models/teacher (docs/reference/output-files.md).

    Args:
        model: the teacher.
        tokenizer: a folder with its tokenizer; its files are written again where the language gets new pieces.
        languages: codes; `config.text` holds LANG.txt of each.
        config: text and optimisation; its steps are 1 or more.
        seed: decides batches, masks and dropout.
        scratch: folder of the checkpoint and of the guard's events, for this very training only.

    Raises:
        UserError: see `read_texts`, `add_new_pieces` and `measure`.
    """
    texts = read_texts(
        languages, config, model.config.max_position_embeddings - 2, "set teacher.adapt.steps to 0 and merge none"
    )
    new = None
    if config.new_pieces:
        new = add_new_pieces(model, tokenizer, texts.train, texts.heldout, config.new_pieces, Path(config.text))
    fast = load_tokenizer(tokenizer, "teacher")
    special = special_ids(fast)
    train = {name: _encode(name, lines, fast, config, "to train on") for name, lines in texts.train.items()}
    before = measure(model, tokenizer, texts.heldout, config, seed)
    start = weights_of(model) if config.keep < 1 else None
    schedule = MaskedLMSchedule(config.steps, config.batch_tokens, config.learning_rate, config.warmup_fraction,
                        config.mask_rate, config.sampling_temperature, config.precision, config.guard)  # fmt: skip
    training = train_masked_lm(
        model, train, special, schedule, seed, "adapt the teacher", scratch, config.checkpoint_every,
        FasterRows(new.rows, config.new_pieces_rate) if new else None,
    )  # fmt: skip
    if start is not None:
        keep_share(model, start, config.keep)
    after = measure(model, tokenizer, texts.heldout, config, seed)
    for language in languages:
        log.info("teacher: %s: held-out masked-LM loss %.3f -> %.3f nats", language, before[language][0],
                 after[language][0])  # fmt: skip
    return {
        "steps": config.steps,
        "tokens": training.tokens,
        **training.guard,
        **({"keep": config.keep} if start is not None else {}),
        **({"new_pieces": new.languages} if new else {}),
        "languages": {
            language: {
                "train_sequences": len(train[language].offsets) - 1,
                "heldout_positions": before[language][1],
                "masked_lm_before": round(before[language][0], 6),
                "masked_lm_after": round(after[language][0], 6),
            }
            for language in languages
        },
    }
