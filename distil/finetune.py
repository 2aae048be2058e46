"""Fine-tune a model on a task's rows and predict with it: teacher and student alike, by the same code."""

import copy
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import XLMRobertaForSequenceClassification

from distil.errors import UserError
from distil.metrics import confusion_matrix, weighted_f1
from distil.params import Params
from distil.progress import Progress, quieten_transformers
from distil.vocabulary import load_tokenizer, special_ids

log = logging.getLogger("distil")

POOL_BATCHES = 50
PREDICT_TOKENS = 8192
NO_DECAY = ("bias", "LayerNorm")


class FinetuneConfig(Params):
    """How long and how fast; the part of section `evaluate:` that one fine-tuning needs."""

    epochs: int
    batch_size: int
    learning_rate: float
    dropout: float
    warmup_fraction: float
    weight_decay: float


class Encoded(NamedTuple):
    """N texts as token ids, with their labels."""

    ids: list[list[int]]
    labels: np.ndarray  # (N,) int64

    def lengths(self) -> np.ndarray:
        """(N,) tokens of each text."""
        return np.array([len(row) for row in self.ids])


class Encoder:
    """Texts -> token ids with a model's own tokenizer."""

    def __init__(self, folder: Path, max_length: int) -> None:
        self._tokenizer = load_tokenizer(folder, _made_by(folder))
        self._tokenizer.enable_truncation(max_length)
        self.pad_id = special_ids(self._tokenizer).pad

    def encode(self, texts: list[str], labels: np.ndarray) -> Encoded:
        """With <s> and </s>, cut at `max_length` tokens."""
        return Encoded([encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)], labels)


def _made_by(folder: Path) -> str:
    """The stage that writes models/student or models/teacher."""
    return "distil" if folder.name == "student" else folder.name


def join(parts: list[Encoded]) -> Encoded:
    """One set of rows after another."""
    return Encoded([row for part in parts for row in part.ids], np.concatenate([part.labels for part in parts]))


def _tensors(rows: list[list[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    lengths = np.array([len(row) for row in rows])
    ids = np.full((len(rows), lengths.max()), pad_id, np.int64)
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    ids[mask] = np.concatenate([np.asarray(row) for row in rows])
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def _plan(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of each batch: shuffled, then sorted by length within pools, so that there is little padding."""
    order = rng.permutation(len(lengths))
    for start in range(0, len(order), POOL_BATCHES * batch_size):
        pool = order[start : start + POOL_BATCHES * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches = [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
        for number in rng.permutation(len(batches)):
            yield batches[number]


def finetune(
    folder: Path,
    labels: int,
    train: Encoded,
    dev: dict[str, Encoded],
    pad_id: int,
    config: FinetuneConfig,
    seed: int,
    title: str,
) -> XLMRobertaForSequenceClassification:
    """A classifier from a masked language model's folder; the epoch with the best mean dev F1 over languages is kept.

    Args:
        folder: models/teacher or models/student.
        labels: how many.
        train: rows of all languages together.
        dev: rows by language.
        pad_id: of the tokenizer.
        config: optimisation.
        seed: first weights of the head, dropout, order of the rows.
        title: of the progress bar.

    Raises:
        UserError: the model does not load, or the loss is not finite.
    """
    quieten_transformers()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    try:
        model = XLMRobertaForSequenceClassification.from_pretrained(
            folder,
            num_labels=labels,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{folder}: the model does not load ({reason}); run `dvc repro --force {_made_by(folder)}`"
        ) from None
    model.to(device)  # type: ignore[arg-type]  # transformers wraps `to` in a way that hides its signature
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [p for name, p in named if not any(part in name for part in NO_DECAY)],
          "weight_decay": config.weight_decay},
         {"params": [p for name, p in named if any(part in name for part in NO_DECAY)], "weight_decay": 0.0}],
        lr=config.learning_rate, fused=True,
    )  # fmt: skip
    lengths = train.lengths()
    steps = config.epochs * -(-len(lengths) // config.batch_size)
    warm = max(1, round(config.warmup_fraction * steps))
    best, best_score, step = copy.deepcopy(model.state_dict()), -1.0, 0
    with Progress(title, config.epochs * len(lengths), "rows") as progress:
        for epoch in range(config.epochs):
            model.train()
            for rows in _plan(lengths, config.batch_size, rng):
                step += 1
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * min(step / warm, (steps - step + 1) / max(1, steps - warm + 1))
                input_ids, mask = _tensors([train.ids[row] for row in rows], pad_id, device)
                logits = model(input_ids, attention_mask=mask).logits.float()
                loss = nn.functional.cross_entropy(logits, torch.from_numpy(train.labels[rows]).to(device))
                if not bool(torch.isfinite(loss)):
                    raise UserError(
                        f"{title}: step {step}: the loss is not finite; lower the learning rate in evaluate:"
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                progress.add(len(rows), f"loss {float(loss.detach()):.3f}")
            score = _dev_score(model, dev, labels, pad_id)
            log.info("%s: epoch %d of %d: mean dev weighted F1 %.3f", title, epoch + 1, config.epochs, score)
            if score > best_score:
                best, best_score = copy.deepcopy(model.state_dict()), score
    model.load_state_dict(best)
    return model.eval()


def _dev_score(model: XLMRobertaForSequenceClassification, dev: dict[str, Encoded], labels: int, pad_id: int) -> float:
    scores = [
        weighted_f1(confusion_matrix(rows.labels, predict(model, rows, pad_id).argmax(axis=1), labels))
        for rows in dev.values()
        if rows.ids
    ]
    return float(np.mean(scores)) if scores else 0.0


@torch.inference_mode()
def predict(model: XLMRobertaForSequenceClassification, rows: Encoded, pad_id: int) -> np.ndarray:
    """(N, C) float32 unnormalised scores, in the order of the rows."""
    model.eval()
    lengths = rows.lengths()
    order = np.argsort(lengths, kind="stable")
    device = next(model.parameters()).device
    found = np.zeros((len(order), int(model.config.num_labels or 0)), np.float32)
    start = 0
    for stop in range(1, len(order) + 1):
        if stop == len(order) or (stop + 1 - start) * lengths[order[stop]] > PREDICT_TOKENS:
            batch = order[start:stop]
            input_ids, mask = _tensors([rows.ids[row] for row in batch], pad_id, device)
            found[batch] = model(input_ids, attention_mask=mask).logits.float().cpu().numpy()
            start = stop
    return found
