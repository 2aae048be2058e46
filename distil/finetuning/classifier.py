"""A classifier of texts or of words: load it, ask it for scores, turn scores into labels."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification,
    XmodForSequenceClassification,
    XmodForTokenClassification,
)

from distil.compute.batching import BATCH_TOKENS, by_length
from distil.compute.precision import autocast
from distil.core.errors import UserError
from distil.evaluation.counts import Predictions, TagPredictions
from distil.finetuning.chain import TagChain, load_chain
from distil.finetuning.encoding import Encoded, pad
from distil.finetuning.ngrams import NGRAMS_FILE, NgramTable, load_table, save_table
from distil.modeling.config import EXPERTS, SUPPORTED, read_config
from distil.modeling.experts import expert_ids, has_experts
from distil.modeling.loading import load_model
from distil.modeling.tokenizer import max_tokens
from distil.tasks.tag_decoding import TRANSITIONS_FILE, Decoder, write_transitions

Transformer = (
    XLMRobertaForSequenceClassification
    | XLMRobertaForTokenClassification
    | XmodForSequenceClassification
    | XmodForTokenClassification
)

# By kind: of an XLM-R model, and of one with language experts.
_CLASSES: dict[str, tuple[Any, Any]] = {
    "text_classification": (XLMRobertaForSequenceClassification, XmodForSequenceClassification),
    "token_classification": (XLMRobertaForTokenClassification, XmodForTokenClassification),
}


class Classifier(nn.Module):
    """A transformer with its head, beside it an n-gram table, and the transitions of a tagger."""

    experts: Tensor | None

    def __init__(
        self, transformer: Transformer, ngrams: NgramTable | None = None, chain: TagChain | None = None,
        languages: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """`languages` in the order of the numbers in `Encoded`; a transformer with language experts needs them."""
        super().__init__()
        self.transformer, self.ngrams, self.chain = transformer, ngrams, chain
        self.register_buffer("experts", expert_ids(transformer, languages), persistent=False)

    def expert_of(self, languages: np.ndarray) -> dict[str, Tensor]:
        """What the transformer reads beside (B,) rows of these languages: X-MOD's `lang_ids`, or nothing."""
        if self.experts is None:
            return {}
        return {"lang_ids": self.experts[torch.from_numpy(languages).to(self.device)]}

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.parameters()).device

    @property
    def transitions(self) -> np.ndarray | None:
        """(C + 1, C) for `Decoder`; None where it has none."""
        return None if self.chain is None else self.chain.as_array()

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json, model.safetensors and what there is of ngrams.safetensors and transitions.json."""
        if self.ngrams is not None:
            self.transformer.config.ngrams = NGRAMS_FILE
            folder.mkdir(parents=True, exist_ok=True)
            save_table(self.ngrams, folder)
        if self.chain is not None:
            self.transformer.config.transitions = TRANSITIONS_FILE
            folder.mkdir(parents=True, exist_ok=True)
            write_transitions(folder, self.chain.labels, self.chain.as_array())
        self.transformer.save_pretrained(folder)


class UnitLogits(NamedTuple):
    """Unnormalised scores of B units."""

    logits: Tensor  # (B, C) float32, of the whole model
    alone: Tensor  # (B, C) float32, of its transformer; the same where there is no n-gram table
    units: np.ndarray  # (B,) numbers of the units


def load_classifier(
    folder: Path, kind: str, labels: list[str], max_length: int, made_by: str, languages: Sequence[str] = (),
    **more: Any,
) -> Classifier:  # fmt: skip
    """The model of a Hugging Face folder with a head for `labels`: its own, or a new one on a masked language model.

    A classifier's n-gram table and transitions come with it.

    Args:
        folder: config.json and model.safetensors.
        kind: of the task.
        labels: in the order of tables.
        max_length: tokens of a text at most.
        made_by: the stage that writes `folder`, named in errors.
        languages: in the order of the numbers in `Encoded`; a model with language experts needs them.
        more: changes of the config, such as dropout.

    Raises:
        UserError: it or what belongs to it does not load, it has fewer positions than max_length, or language experts
            and no languages are given.
    """
    experts, advice = has_experts(folder), f"run `dvc repro --force {made_by}`"
    if experts and not languages:
        raise UserError(
            f"{folder}: expected a model without language experts, found one with some, which cannot be used here; "
            "give a student that was made with student.experts 0"
        )
    model_class = _CLASSES[kind][experts]
    config = read_config(folder, advice, EXPERTS if experts else SUPPORTED)
    if (longest := max_tokens(config)) < max_length:
        raise UserError(
            f"params.yaml: finetune.max_length: expected at most {longest}, the positions of {folder}, found "
            f"{max_length}; lower it"
        )
    # Of a classifier its own head has to be there; a masked language model gets a new one in place of its own.
    own_head = model_class.__name__ in (config.get("architectures") or [])
    new, unused = ("", "") if own_head else ("classifier.", "lm_head.")
    model = load_model(
        model_class, folder, advice, new=new, unused=unused, id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)}, **more,
    )  # fmt: skip
    ngrams = load_table(folder, config, advice) if own_head else None
    chain = load_chain(folder, config, labels, advice) if own_head and kind == "token_classification" else None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Classifier(model, ngrams, chain, languages).to(device)


def unit_logits(model: Classifier, rows: Encoded, batch: np.ndarray, pad_id: int) -> UnitLogits:
    """Scores of the units with a place in some rows."""
    input_ids, mask = pad([rows.ids[row] for row in batch], pad_id, model.device)
    expert = model.expert_of(rows.languages[batch])
    alone = model.transformer(input_ids, attention_mask=mask, **expert).logits.float()
    logits = alone if model.ngrams is None else alone + model.ngrams(input_ids, mask)
    units, owner = rows.units(batch)
    if alone.dim() == 2:
        return UnitLogits(logits, alone, units)
    at = tuple(torch.from_numpy(each).to(model.device) for each in (owner, rows.places[units]))
    return UnitLogits(logits[at], alone[at], units)


def predict_scores(model: Classifier, rows: Encoded, pad_id: int) -> np.ndarray:
    """(U, C) float32 unnormalised scores, in the order of the units; nan for one without a place."""
    return predict_both(model, rows, pad_id, "float32")[0]


@torch.inference_mode()
def predict_both(
    model: Classifier, rows: Encoded, pad_id: int, precision: str, done: Callable[[int], None] = lambda _: None
) -> tuple[np.ndarray, np.ndarray | None]:
    """`predict_scores`, and from the same pass those of the transformer alone; None where it has no n-gram table.

    Args:
        model: to predict with.
        rows: of texts or sentences.
        pad_id: of the padding piece.
        precision: float32 or bfloat16, of the matrix products.
        done: called after each batch with its number of rows.
    """
    model.eval()
    found = np.full((len(rows.gold), int(model.transformer.config.num_labels or 0)), np.nan, np.float32)
    alone = None if model.ngrams is None else found.copy()
    for batch in by_length(rows.lengths(), BATCH_TOKENS[model.device.type]):
        with autocast(model.device, precision):
            scored = unit_logits(model, rows, batch, pad_id)
        found[scored.units] = scored.logits.cpu().numpy()
        if alone is not None:
            alone[scored.units] = scored.alone.cpu().numpy()
        done(len(batch))
    return found, alone


def decode_labels(
    scores: np.ndarray, rows: Encoded, kind: str, labels: list[str], transitions: np.ndarray | None
) -> np.ndarray:
    """(U,) int64 numbers of labels; of words the best valid sequence (distil/tasks/tag_decoding.py).

    Args:
        scores: (U, C) unnormalised.
        rows: with these units.
        kind: of the task.
        labels: C.
        transitions: of the model that gave the scores, None where it has none.
    """
    if kind == "text_classification":
        return scores.argmax(axis=1)
    decode, placed = Decoder(labels, transitions), rows.places >= 0
    found = [decode(scores[start:stop], placed[start:stop]) for start, stop in pairwise(rows.starts)]
    return np.concatenate([*found, np.empty(0, np.int64)])


def to_predictions(
    rows: Encoded, decided: dict[int, np.ndarray], kind: str, labels: list[str]
) -> Predictions | TagPredictions:
    """Gold and decided labels of one language's rows, in the form that is scored; `decided` by seed."""
    if kind == "text_classification":
        return Predictions(rows.gold, decided)

    def tags(numbers: np.ndarray) -> list[list[str]]:
        names = [labels[number] for number in numbers]
        return [names[start:stop] for start, stop in pairwise(rows.starts)]

    return TagPredictions(tags(rows.gold), {seed: tags(each) for seed, each in decided.items()})
