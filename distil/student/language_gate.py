"""Which language a text is in, from the mean of a student's word embeddings: fitted on the prepared text."""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from distil.modeling.experts import LanguageGate
from distil.modeling.xlm_roberta import Student
from distil.tokenization.shards import TokenizedDataset

SEQUENCES = 2000  # of each language at most, on which the gate is fitted
PART_TOKENS = 24  # the texts at work are shorter than news: beside each whole sequence its beginning counts
STRENGTH = 10.0  # the inverse of the L2 penalty


def fit_gate(
    student: Student, texts: Sequence[TokenizedDataset], languages: Sequence[str]
) -> tuple[LanguageGate, dict[str, float]]:
    """A logistic regression over languages, and the share of each one's held-out texts that it recognises.

    Args:
        student: its word embeddings are read.
        texts: one of each language.
        languages: codes.
    """
    words = student.roberta.embeddings.word_embeddings.weight.detach().cpu()
    train = [_means(words, text, "train") for text in texts]
    owner = np.repeat(np.arange(len(texts)), [len(means) for means in train])
    values = np.concatenate(train).astype(np.float64)
    centre, scale = values.mean(axis=0), values.std(axis=0) + 1e-12
    if len(texts) == 1:
        weight, bias = np.zeros((1, values.shape[1])), np.zeros(1)
    else:
        model = LogisticRegression(C=STRENGTH, max_iter=1000).fit((values - centre) / scale, owner)
        weight, bias = model.coef_, model.intercept_
        if len(texts) == 2:  # one line of weights, for the second language
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / scale
    gate = LanguageGate(weight.astype(np.float32), (bias - weight @ centre).astype(np.float32))
    right = {
        code: float(np.mean((_means(words, text, "heldout") @ gate.weight.T + gate.bias).argmax(axis=1) == number))
        for number, (code, text) in enumerate(zip(languages, texts, strict=True))
    }
    return gate, {code: round(share, 6) for code, share in right.items()}


def _means(words: torch.Tensor, text: TokenizedDataset, split: str) -> np.ndarray:
    """(N, D) float32 mean word embeddings of sequences and of their beginnings."""
    means: list[torch.Tensor] = []
    for entry in text.shards(split):
        shard = text.open(entry)
        for start, length in zip(shard.offsets[:-1].astype(np.int64), shard.lengths, strict=True):
            if len(means) >= 2 * SEQUENCES:
                break
            ids = torch.from_numpy(shard.ids[start : start + int(length)].astype(np.int64))
            means += [words[part].mean(dim=0) for part in (ids, torch.cat([ids[: PART_TOKENS - 1], ids[-1:]]))]
    return torch.stack(means).numpy()
