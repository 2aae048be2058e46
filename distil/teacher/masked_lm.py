"""Masked-LM training of a whole XLM-R model on text in memory: the sample's teacher, and a teacher adapted to its text.

Masks are drawn again at every step. Everything that a step draws follows from the seed and the step's number, so that a
run continued from a checkpoint is the run that was not killed.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import XLMRobertaForMaskedLM

from distil.compute.batching import BATCH_TOKENS, by_length, prefetch
from distil.compute.checkpoint import load_checkpoint, save_checkpoint
from distil.compute.guard import EVENTS_FILE, Action, Guard
from distil.compute.optimizer import adamw, set_learning_rate
from distil.compute.precision import Precision, autocast
from distil.modeling.tokenizer import SpecialTokenIds
from distil.modeling.xlm_roberta import MaskedHead
from distil.runtime.progress import Progress
from distil.teacher.weights import VOCABULARY_ROWS
from distil.tokenization.masking import draw_masks

log = logging.getLogger("distil")

LINES_AT_ONCE = 2000
POOL = 16  # steps whose sequences are drawn together: of one, a quarter to a half is padding
WEIGHT_DECAY = 0.01


class Sequences(NamedTuple):
    """Texts of one language as ids, one after another; N sequences, each from <s> to </s>."""

    ids: np.ndarray  # (tokens,) int32
    offsets: np.ndarray  # (N + 1,) int64, where each begins

    def take(self, numbers: Iterable[int]) -> list[np.ndarray]:
        """The ids of some sequences."""
        return [self.ids[self.offsets[number] : self.offsets[number + 1]] for number in numbers]


class MaskedLMSchedule(NamedTuple):
    """How a model is trained."""

    steps: int
    batch_tokens: int  # in a step, about
    learning_rate: float  # peak, after the warm-up; then linear to zero
    warmup_fraction: float  # of the steps
    mask_rate: float
    sampling_temperature: float  # languages are drawn in proportion to tokens ** (1 / this)
    precision: Precision = "float32"
    guard: float = 0.0  # deviations, see distil/compute/guard.py; 0 is off


class FasterRows(NamedTuple):
    """Rows of the vocabulary that learn faster than all other weights."""

    rows: slice  # ids
    times: float  # the learning rate


class MaskedLMTraining(NamedTuple):
    """What a training came to."""

    tokens: int  # read
    guard: dict[str, dict[str, float]]  # Guard.summary


def encode_lines(lines: Sequence[str], tokenizer: Tokenizer, special: SpecialTokenIds, max_length: int) -> Sequences:
    """Lines as sequences of at most `max_length` tokens; the rest of a longer line is left out, an empty one too."""
    parts, lengths = [np.zeros(0, np.int32)], [0]
    for start in range(0, len(lines), LINES_AT_ONCE):
        batch = list(lines[start : start + LINES_AT_ONCE])
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            if encoding.ids:
                ids = np.array([special.bos, *encoding.ids[: max_length - 2], special.eos], np.int32)
                parts.append(ids)
                lengths.append(len(ids))
    return Sequences(np.concatenate(parts), np.cumsum(lengths))


class MaskedBatch(NamedTuple):
    """Some sequences, masked."""

    input_ids: torch.Tensor  # (B, T) int64
    mask: torch.Tensor  # (B, T) bool, true at tokens
    row: torch.Tensor  # (P,) int64
    column: torch.Tensor  # (P,) int64
    gold: torch.Tensor  # (P,) int64


def mask_batch(
    chosen: list[np.ndarray], rate: float, special: SpecialTokenIds, pieces: int, rng: np.random.Generator
) -> MaskedBatch:
    """Pad sequences and mask them (masking.draw_masks)."""
    lengths = np.array([len(ids) for ids in chosen])
    flat = np.concatenate(chosen).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    masks = draw_masks(flat, offsets, rate, 1, special.mask, _ordinary_ids(pieces, special), rng)
    row = np.repeat(np.arange(len(chosen)), np.diff(masks.offsets[0]))
    column = masks.positions.astype(np.int64)
    mask = np.arange(lengths.max()) < lengths[:, None]
    input_ids = np.full(mask.shape, special.pad)
    input_ids[mask] = flat
    gold = input_ids[row, column]
    input_ids[row, column] = masks.inputs
    return MaskedBatch(*(torch.from_numpy(array) for array in (input_ids, mask, row, column, gold)))


@cache
def _ordinary_ids(pieces: int, special: SpecialTokenIds) -> np.ndarray:
    """The ids that may replace a masked token; finding them takes longer than to mask a batch."""
    return np.setdiff1d(np.arange(pieces), np.array(special))


def train_masked_lm(
    model: XLMRobertaForMaskedLM,
    texts: Mapping[str, Sequences],
    special: SpecialTokenIds,
    schedule: MaskedLMSchedule,
    seed: int,
    title: str,
    scratch: Path | None = None,
    checkpoint_every: int = 0,
    faster: FasterRows | None = None,
) -> MaskedLMTraining:
    """Train `model` in place.

    Args:
        model: with its first weights.
        texts: training text by language.
        special: ids of the special pieces.
        schedule: optimisation.
        seed: decides batches, masks and dropout.
        title: names the work in messages.
        scratch: folder of the checkpoint and of the guard's events, for this very training only; None keeps none, and
            then there is no guard.
        checkpoint_every: steps between two checkpoints.
        faster: rows of embedding and head with a rate of their own; None: all weights have one.

    Raises:
        UserError: see `Guard.judge`; names the step and the languages.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)  # type: ignore[arg-type]  # transformers hides the signature
    model.train()
    torch.manual_seed(seed)
    head, optimizer = MaskedHead(model), adamw(model.named_parameters(), schedule.learning_rate, WEIGHT_DECAY)
    guard = Guard(schedule.guard if scratch else 0, title, "learning rate in teacher: of params.yaml",
                  scratch / EVENTS_FILE if scratch else None)  # fmt: skip
    state: dict[str, Any] = {"step": 0, "tokens": 0, "norms": 0.0, "guard": guard.state}
    checkpoint = scratch / "checkpoint.safetensors" if scratch else None
    if checkpoint:
        restored = load_checkpoint(checkpoint, {"model": model}, optimizer)
        state = restored or state
        guard.state = state["guard"]
        if guard.on and not restored:
            save_checkpoint(checkpoint, {"model": model}, optimizer, state)  # there is always one to go back to
    draws = SequenceSampler(list(texts.values()), schedule, BATCH_TOKENS[device.type]).steps(seed, state["step"])

    def masked(step: int) -> list[MaskedBatch]:
        rng, chosen = np.random.default_rng([seed, step]), next(draws)
        return [mask_batch(rows, schedule.mask_rate, special, model.config.vocab_size, rng) for rows in chosen]

    with Progress(title, schedule.steps, "steps") as progress:
        progress.skip(state["step"])
        for step, parts, _ in prefetch(range(state["step"], schedule.steps), masked):
            set_learning_rate(optimizer, schedule.learning_rate * _share(step, schedule))
            optimizer.zero_grad(set_to_none=True)
            value, positions = 0.0, sum(len(part.gold) for part in parts)
            for part in parts:
                loss = _losses(model, head, part, device, schedule.precision).sum() / positions
                loss.backward()
                value += float(loss.detach())
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            batch = f"{sum(len(part.mask) for part in parts)} sequences of {', '.join(texts)}"
            action = guard.judge(step + 1, value, norm, batch)
            if action is Action.TAKE:
                _take_step(optimizer, model, faster)
                state["norms"] += float(norm)
            elif action is Action.ROLL_BACK and checkpoint:
                guard.roll_back(checkpoint, {"model": model}, optimizer)
            state |= {"step": step + 1, "tokens": state["tokens"] + sum(int(part.mask.sum()) for part in parts)}
            progress.add(1, f"loss {value:.3f}")
            due = checkpoint_every and state["step"] % checkpoint_every == 0 and state["step"] < schedule.steps
            if checkpoint and due and guard.settled:
                save_checkpoint(checkpoint, {"model": model}, optimizer, state)
    taken = max(1, state["step"] - guard.state["skipped"])
    log.info("%s: mean gradient norm %.3f over %d steps", title, state["norms"] / taken, taken)
    guard.write_events()
    model.cpu().eval()
    return MaskedLMTraining(state["tokens"], guard.summary())


@torch.no_grad()
def _take_step(optimizer: torch.optim.Optimizer, model: nn.Module, faster: FasterRows | None) -> None:
    """A step of the optimizer, and more of it for the rows of `faster`.

    AdamW changes a weight in proportion to the learning rate, decay included, so `times` the change is the change at
    `times` the rate.
    """
    tables = [each for name, each in model.named_parameters() if name in VOCABULARY_ROWS] if faster else []
    before = [table[faster.rows].clone() for table in tables] if faster else []
    optimizer.step()
    if faster:
        for table, old in zip(tables, before, strict=True):
            table[faster.rows] = torch.lerp(old, table[faster.rows], faster.times)


@torch.no_grad()
def measure_masked_lm(
    model: XLMRobertaForMaskedLM, text: Sequences, special: SpecialTokenIds, batch_tokens: int, rate: float, seed: int
) -> tuple[float, int]:
    """Mean cross-entropy at masked positions in nats, and their number; the same masks for the same arguments."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval()  # type: ignore[arg-type]
    head, rng, total, positions = MaskedHead(model), np.random.default_rng(seed), 0.0, 0
    for rows in by_length(np.diff(text.offsets), batch_tokens):
        batch = mask_batch(text.take(rows), rate, special, model.config.vocab_size, rng)
        losses = _losses(model, head, batch, device, "float32")
        total += float(losses.double().sum())
        positions += len(losses)
    model.cpu()
    return total / positions, positions


class SequenceSampler:
    """Draw the sequences of each step: a language by its share of the tokens, then any of its sequences.

    Those of POOL steps are drawn at once and cut into parts of like length, which come in a random order.
    """

    def __init__(self, texts: list[Sequences], schedule: MaskedLMSchedule, at_once: int) -> None:
        """`at_once`: padded tokens of a part, about; a step is one part or, of more tokens, several."""
        tokens = np.array([len(text.ids) for text in texts], np.float64)
        weights = tokens ** (1.0 / schedule.sampling_temperature)
        lengths = tokens / np.array([len(text.offsets) - 1 for text in texts])
        # `weights` are shares of tokens; a language of short sequences needs more of them.
        self._shares = weights / lengths / (weights / lengths).sum()
        self._rows = max(1, int(POOL * schedule.batch_tokens / float(self._shares @ lengths)))
        self._parts = max(1, round(schedule.batch_tokens / at_once))  # of a step
        self._room = schedule.batch_tokens // self._parts
        self._texts = texts

    def steps(self, seed: int, first: int) -> Iterator[list[list[np.ndarray]]]:
        """The parts of step `first` and, without an end, of those after it; each the ids of its sequences."""
        parts = islice(self._stream(seed), first * self._parts, None)
        while True:
            yield [
                [self._texts[text].take([number])[0] for text, number in rows] for rows in islice(parts, self._parts)
            ]

    def _stream(self, seed: int) -> Iterator[np.ndarray]:
        """Parts as (rows, 2) numbers of text and sequence."""
        for pool in count():
            rng = np.random.default_rng([seed, pool, POOL])
            counts = rng.multinomial(self._rows, self._shares)
            numbers = [rng.integers(0, len(text.offsets) - 1, rows)
                       for text, rows in zip(self._texts, counts, strict=True)]  # fmt: skip
            lengths = [np.diff(text.offsets)[chosen] for text, chosen in zip(self._texts, numbers, strict=True)]
            rows = np.stack([np.repeat(np.arange(len(counts)), counts), np.concatenate(numbers)], axis=1)
            parts = list(by_length(np.concatenate(lengths), self._room))
            for place in rng.permutation(len(parts)):
                yield rows[parts[place]]


def _losses(
    model: XLMRobertaForMaskedLM, head: MaskedHead, batch: MaskedBatch, device: torch.device, precision: Precision
) -> torch.Tensor:
    """(P,) nats, float32."""
    input_ids, mask, row, column, gold = (tensor.to(device) for tensor in batch)
    with autocast(device, precision):
        hidden = model.roberta(input_ids, attention_mask=mask).last_hidden_state
        logits = head.logits(hidden[row, column])
    return nn.functional.cross_entropy(logits.float(), gold, reduction="none")


def _share(step: int, schedule: MaskedLMSchedule) -> float:
    """Of the peak: a linear rise, then linear to zero, never zero."""
    warm = schedule.warmup_fraction * schedule.steps
    rise = (step + 1) / warm if warm else 1.0
    return min(rise, (schedule.steps - step) / (schedule.steps - warm), 1.0)
