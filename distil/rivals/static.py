"""A classifier without a transformer: a vector for each piece, their mean over the text, a linear head.

In the manner of model2vec (Tulkens and van Dongen 2024, github.com/MinishLab/model2vec): an encoder reads each piece
alone, principal components of the states are the pieces' vectors, and frequent pieces weigh less (smooth inverse
frequency, Arora et al. 2017, with Zipf's law for the frequencies). The head is a logistic regression. Since it is
linear, all of it becomes one table with a row for each piece and a column for each label, exactly.

A tagger reads a word at its first piece and knows nothing of the words beside it.

Legend: V pieces, D components, H hidden size, U units, C labels, B texts, T tokens.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import XLMRobertaConfig
from transformers.modeling_outputs import SequenceClassifierOutput

from distil.compute.batching import BATCH_TOKENS
from distil.finetuning.encoding import Encoded, join
from distil.finetuning.saved_models import Scored
from distil.modeling.tokenizer import SpecialTokenIds
from distil.rivals.scoring import score_of
from distil.tasks.data import Task

COMPONENTS = 256
SIF = 1e-4  # model2vec's
STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # of the head, C of scikit-learn; the one with the best mean dev score is kept
ITERATIONS = 1000
KINDS = {
    "text_classification": "StaticForSequenceClassification",
    "token_classification": "StaticForTokenClassification",
}


class StaticClassifier(nn.Module):
    """The folded table; called as a model of transformers is."""

    table: Tensor
    bias: Tensor
    special: Tensor

    def __init__(self, table: np.ndarray, bias: np.ndarray, special: list[int], config: XLMRobertaConfig) -> None:
        """`table` (V, C) float32, `bias` (C,) float32; ids in `special` do not count."""
        super().__init__()
        self.config = config
        self.register_buffer("table", torch.from_numpy(table))
        self.register_buffer("bias", torch.from_numpy(bias))
        self.register_buffer("special", torch.tensor(special))
        self.of_texts = config.architectures == [KINDS["text_classification"]]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SequenceClassifierOutput:
        """Logits (B, C) of texts, (B, T, C) of words; of a text without a piece the bias."""
        rows = self.table[input_ids]
        if not self.of_texts:
            return SequenceClassifierOutput(logits=rows + self.bias)
        counted = attention_mask.bool() & (input_ids[..., None] != self.special).all(dim=-1)
        weights = counted.float() / counted.sum(dim=1, keepdim=True).clamp(min=1)
        return SequenceClassifierOutput(logits=(rows * weights[..., None]).sum(dim=1) + self.bias)


@torch.inference_mode()
def piece_vectors(encoder: Any, special: SpecialTokenIds) -> np.ndarray:
    """(V, D) float32 weighted vectors of all pieces, 0 for special ones.

    Args:
        encoder: an XLM-R without a head; its pieces are in the order of their frequency, as SentencePiece has them.
        special: ids of the special pieces.
    """
    count, device = int(encoder.config.vocab_size), encoder.device
    states, step = [], BATCH_TOKENS[device.type] // 3
    for start in range(0, count, step):
        pieces = torch.arange(start, min(start + step, count))
        ids = torch.stack([torch.full_like(pieces, special.bos), pieces, torch.full_like(pieces, special.eos)], dim=1)
        mask = torch.ones_like(ids).to(device)  # also of <pad> itself, whose vector is not used
        states.append(encoder(ids.to(device), attention_mask=mask).last_hidden_state.mean(dim=1).float().cpu().numpy())
    found, usable = np.concatenate(states), np.setdiff1d(np.arange(count), sorted(special))
    components = min(COMPONENTS, found.shape[1], len(usable))
    reduced = PCA(components, svd_solver="covariance_eigh").fit_transform(found[usable])
    ranks = np.arange(2, count + 2)[usable]
    frequency = (1 / ranks) / (1 / np.arange(2, count + 2)).sum()
    vectors = np.zeros((count, components), np.float32)
    vectors[usable] = reduced * (SIF / (SIF + frequency))[:, None]
    return vectors


class Head(NamedTuple):
    """A linear head on standardised means, folded: logits are `means @ weight + bias`."""

    weight: np.ndarray  # (D, C)
    bias: np.ndarray  # (C,)


def fit_static(
    vectors: np.ndarray, special: SpecialTokenIds, train: list[Encoded], dev: dict[str, Encoded], task: Task
) -> StaticClassifier:
    """Fit the head, choose its strength on dev rows, and fold it into the table.

    Args:
        vectors: (V, D), of `piece_vectors`.
        special: ids of the special pieces.
        train: labelled rows of each language.
        dev: rows by language, of those whose dev rows choose; none: strength 1.
        task: whose rows they are.
    """
    of_texts = task.kind == "text_classification"
    rows = join(train)
    features, gold = unit_means(vectors, special, rows, of_texts), rows.gold
    usable = np.isfinite(features).all(axis=1)
    best, found = -1.0, None
    dev_features = {code: unit_means(vectors, special, rows, of_texts) for code, rows in dev.items()}
    for strength in STRENGTHS if dev else (1.0,):
        head = _fit_head(features[usable], gold[usable], strength, len(task.labels))
        scored = {code: Scored(dev_features[code] @ head.weight + head.bias, None) for code in dev}
        scores = [score_of(scored[code], each, task) for code, each in dev.items()]
        if (mean := float(np.mean(scores)) if dev else 0.0) > best:
            best, found = mean, head
    assert found is not None
    labels = dict(enumerate(task.labels))
    config = XLMRobertaConfig(
        vocab_size=len(vectors), max_position_embeddings=514, id2label=labels, architectures=[KINDS[task.kind]],
        label2id={label: number for number, label in labels.items()},
    )  # fmt: skip
    table = (vectors.astype(np.float64) @ found.weight).astype(np.float32)
    return StaticClassifier(table, found.bias.astype(np.float32), sorted(special), config).eval()


def unit_means(vectors: np.ndarray, special: SpecialTokenIds, rows: Encoded, of_texts: bool) -> np.ndarray:
    """(U, D) float64 features: of a text the mean over its pieces, of a word its first piece's; nan without a place."""
    found = np.full((len(rows.gold), vectors.shape[1]), np.nan)
    for number, ids in enumerate(rows.ids):
        units, row = slice(int(rows.starts[number]), int(rows.starts[number + 1])), np.array(ids)
        if of_texts:
            kept = row[~np.isin(row, sorted(special))]
            found[units] = vectors[kept].mean(axis=0, dtype=np.float64) if len(kept) else 0.0
        else:
            places = rows.places[units]
            found[units][places >= 0] = vectors[row[places[places >= 0]]]
    return found


def _fit_head(features: np.ndarray, gold: np.ndarray, strength: float, labels: int) -> Head:
    """Logistic regression on standardised features, for the features themselves; an absent label is never said."""
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-12
    model = LogisticRegression(C=strength, max_iter=ITERATIONS).fit((features - mean) / deviation, gold)
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one row for two labels
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    every, each = np.zeros((features.shape[1], labels)), np.full(labels, -1e4)
    every[:, model.classes_] = weight.T / deviation[:, None]
    each[model.classes_] = bias - (weight / deviation) @ mean
    return Head(every, each)
