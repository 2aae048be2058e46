"""The K most probable valid sequences of tags of each sentence, from the probabilities of its words. Numpy only.

They are the soft labels of structure-level distillation by whole sequences (Wang et al. 2020, arXiv 2004.03846, Top-K
with weights). The probability of a sequence is in proportion to the product of its words' probabilities. A word that no
model read has no tag and no part in the product: any tag may follow it, since a valid one can always be between.

Legend: N sentences, U words of all of them, B sentences of a batch, W words of the longest, C labels, K sequences.
"""

from typing import NamedTuple

import numpy as np

from distil.tasks.tag_decoding import BATCH, FLOOR, valid_moves

NO_TAG = -1


class TagSequences(NamedTuple):
    """Of each sentence, the most probable first."""

    tags: np.ndarray  # (K, U) int16 numbers of labels, NO_TAG at a word that was not read and in a missing sequence
    weights: np.ndarray  # (N, K) float32 probabilities, 1 in sum over K, 0 of a missing sequence


def best_sequences(log_probs: np.ndarray, starts: np.ndarray, labels: list[str], count: int) -> TagSequences:
    """The K best valid sequences, or all where there are fewer, by a Viterbi search with K paths to each tag.

    Args:
        log_probs: (U, C) log-probabilities of each word by itself, taken as at least FLOOR; nan where no model read it.
        starts: (N + 1,) the words of sentence n are starts[n]:starts[n + 1].
        labels: C, in the order of the scores.
        count: K.
    """
    read = ~np.isnan(log_probs).any(axis=1)
    begins = np.concatenate([[0], np.cumsum(read)])[starts]  # as `starts`, among the words that were read
    follows = np.concatenate([[True], read])
    follows[starts] = True  # the first word of a sentence keeps the rules of a start
    scores, free = np.maximum(log_probs[read].astype(np.float64), FLOOR), ~follows[:-1][read]
    moves, lengths = valid_moves(labels), np.diff(begins)
    found, weights = np.empty((count, len(scores)), np.int16), np.empty((len(lengths), count), np.float32)
    order = np.argsort(lengths, kind="stable")
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        place = begins[chosen][:, None] + np.arange(max(1, lengths[chosen].max()))
        real = place < begins[chosen + 1][:, None]
        padded, after_gap = np.zeros((*place.shape, len(labels))), np.zeros(place.shape, np.bool_)
        padded[real], after_gap[real] = scores[place[real]], free[place[real]]
        tags, weights[chosen] = _search(padded, real, after_gap, moves, count)
        found[:, place[real]] = tags[:, real]
    every = np.full((count, len(log_probs)), NO_TAG, np.int16)
    every[:, read] = found
    return TagSequences(every, weights)


def _search(
    scores: np.ndarray, real: np.ndarray, free: np.ndarray, moves: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tags (K, B, W), NO_TAG in a missing sequence and anything at padding; weights (B, K).

    Args:
        scores: (B, W, C) of each word; anything at padding.
        real: (B, W) bool, false at padding, which is behind the words.
        free: (B, W) bool, whether a word may have any tag, whatever is before it.
        moves: (C + 1, C), from `valid_moves`.
        count: K.
    """
    batch, words, labels = scores.shape
    total = np.full((batch, count, labels), -np.inf)  # of the k-th best path to each tag
    total[:, 0] = scores[:, 0] + np.where(free[:, 0, None], 0.0, moves[-1])
    total[~real[:, 0], 0] = np.where(np.arange(labels) == 0, 0.0, -np.inf)  # without words: one sequence, an empty one
    back = np.zeros((words, batch, count, labels), np.int16)  # path * C + tag of the word before
    for word in range(1, words):
        step = np.where(free[:, word, None, None], 0.0, moves[:-1])
        ways = (total[..., None] + step[:, None]).reshape(batch, count * labels, labels)
        back[word] = np.argsort(-ways, axis=1, kind="stable")[:, :count]
        longer = np.take_along_axis(ways, back[word].astype(np.int64), axis=1) + scores[:, word, None]
        total = np.where(real[:, word, None, None], longer, total)
    ends = total.reshape(batch, count * labels)
    at = np.argsort(-ends, axis=1, kind="stable")[:, :count]
    totals = np.take_along_axis(ends, at, axis=1)
    tags, rows = np.empty((count, batch, words), np.int16), np.arange(batch)[:, None]
    for word in range(words - 1, -1, -1):
        path, tag = np.divmod(at, labels)
        tags[:, :, word] = tag.T
        at = np.where(real[:, word, None], back[word, rows, path, tag], at)
    tags[np.isneginf(totals).T] = NO_TAG
    weights = np.exp(totals - totals[:, :1])
    return tags, weights / weights.sum(axis=1, keepdims=True)
