"""Soft labels of words from whole tag sequences: the posterior marginals of a teacher over the valid ones. Numpy only.

A teacher that scores each word by itself puts probability on sequences that cannot be, such as B-LOC before I-PER. Here
a sequence has the product of its words' probabilities where it is valid (distil/tasks/tag_decoding.py), 0 where it is
not, and a word the sum over all sequences with a tag at it: forward-backward (Rabiner 1989) over a chain whose
transitions are 0 and -inf. Structure-level distillation by posteriors (Wang et al. 2020, arXiv 2004.03846).

Legend: N sentences, U words of all of them, B sentences of a batch, W words of the longest, C labels.
"""

from collections.abc import Mapping

import numpy as np

from distil.tasks.data import Task
from distil.tasks.tag_decoding import allowed_transitions

BATCH = 256  # sentences; results do not depend on it
FLOOR = -30.0  # log-probability of a tag that no valid sequence has, about 1e-13: the student's loss takes no -inf


def tag_marginals(log_probs: np.ndarray, starts: np.ndarray, labels: list[str]) -> np.ndarray:
    """(U, C) float32 logs of the marginals, at least FLOOR.

    Args:
        log_probs: (U, C) log-probabilities of each word by itself, or logits; nan where the teacher could not read it.
            Nothing is then known of the word, and it stays nan.
        starts: (N + 1,) the words of sentence n are starts[n]:starts[n + 1].
        labels: C, in the order of the scores.
    """
    moves = np.where(allowed_transitions(labels), 0.0, -np.inf)
    lengths, found = np.diff(starts), np.empty(log_probs.shape, np.float32)
    order = np.argsort(lengths, kind="stable")
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        place = starts[chosen][:, None] + np.arange(lengths[chosen].max(initial=0))
        real = place < starts[chosen + 1][:, None]
        scores = np.zeros((*place.shape, len(labels)))
        scores[real] = np.nan_to_num(log_probs[place[real]].astype(np.float64), nan=0.0)
        found[place[real]] = padded_marginals(scores, real, moves)[real]
    found[np.isnan(log_probs).any(axis=1)] = np.nan
    return found


def padded_marginals(scores: np.ndarray, real: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """(B, W, C) logs of the marginals, at least FLOOR; anything at padding.

    Args:
        scores: (B, W, C) of each word, up to a constant; finite.
        real: (B, W) bool, false at padding, which is behind the words.
        moves: (C + 1, C) scores of label (column) after label (row), 0 or -inf; the last row is the start.
    """
    batch, words, labels = scores.shape
    forward, backward = np.empty(scores.shape), np.zeros(scores.shape)
    before = np.broadcast_to(moves[-1], (batch, labels))
    for word in range(words):
        forward[:, word] = before + scores[:, word]
        before = np.logaddexp.reduce(forward[:, word, :, None] + moves[:-1], axis=1)
    for word in range(words - 2, -1, -1):
        after = scores[:, word + 1] + backward[:, word + 1]
        ways = np.logaddexp.reduce(moves[:-1] + after[:, None, :], axis=2)
        backward[:, word] = np.where(real[:, word + 1, None], ways, 0.0)
    total = forward + backward
    return np.maximum(total - np.logaddexp.reduce(total, axis=2, keepdims=True), FLOOR)


def marginal_soft_labels(task: Task, language: str, splits: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As `tag_marginals`, of each split's sentences.

    Args:
        task: a tagging task.
        language: code.
        splits: (U, C) log-probabilities of the words of train, dev, test or unlabelled.
    """
    found = {}
    for split, log_probs in splits.items():
        rows = task.unlabelled_tokens(language) if split == "unlabelled" else task.token_rows(language, split)
        counts = [len(row) if isinstance(row, list) else len(row.tokens) for row in rows]
        found[split] = tag_marginals(log_probs, np.cumsum([0, *counts]), task.labels)
    return found
