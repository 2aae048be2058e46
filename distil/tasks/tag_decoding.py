"""Tags of words: which sequences are valid, and the most probable valid one. Numpy only.

`Decoder` decides for evaluation, serving and the comparison of an export alike. `B-X` begins an entity of type X,
`I-X` continues one of the same type, `O` is none (IOB2, in which data/tasks has all entity tags). A label of any other
form may be anywhere, and so may `I-X` where the set has no `B-X`.

Legend: W words, C labels.
"""

import numpy as np

OUTSIDE = "O"


def allowed_transitions(labels: list[str]) -> np.ndarray:
    """(C + 1, C) bool: whether a label (column) may follow another (row); the last row is the start of a sentence."""
    previous = [*labels, OUTSIDE]
    return np.array([
        [_starts(label, labels) or before in (f"B-{label[2:]}", label) for label in labels] for before in previous
    ])  # fmt: skip


def _starts(label: str, labels: list[str]) -> bool:
    """Whether a label may be anywhere: it continues nothing, or the set has no other way to begin its type."""
    return not label.startswith("I-") or f"B-{label[2:]}" not in labels


def viterbi(scores: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The valid sequence of labels with the highest sum of scores (Viterbi 1967); of equal ones the first in order.

    Args:
        scores: (W, C) of each word: log-probabilities, or logits of one word each up to a constant.
        allowed: from `allowed_transitions`.

    Returns:
        (W,) int64 numbers of labels.
    """
    words = len(scores)
    if not words:
        return np.empty(0, np.int64)
    moves = np.where(allowed, 0.0, -np.inf)
    total = scores[0] + moves[-1]
    back = np.zeros((words, scores.shape[1]), np.int64)
    for word in range(1, words):
        ways = total[:, None] + moves[:-1]
        back[word] = ways.argmax(axis=0)
        total = ways.max(axis=0) + scores[word]
    found = np.empty(words, np.int64)
    found[-1] = int(total.argmax())
    for word in range(words - 1, 0, -1):
        found[word - 1] = back[word, found[word]]
    return found


def outside(labels: list[str]) -> int:
    """The label of a word that nothing is known of: `O`, or the first one where the set has no `O`."""
    return labels.index(OUTSIDE) if OUTSIDE in labels else 0


class Decoder:
    """From scores to tags, with the rules of one set of labels."""

    def __init__(self, labels: list[str]) -> None:
        """Take the labels in the order of the scores."""
        self.outside = outside(labels)  # of a word that no model read
        self._allowed = allowed_transitions(labels)

    def __call__(self, logits: np.ndarray, placed: np.ndarray) -> np.ndarray:
        """The most probable valid sequence; `self.outside` for a word without scores.

        Args:
            logits: (W, C) unnormalised scores of the words of one sentence; anything where `placed` is False.
            placed: (W,) bool, whether a model read the word.

        Returns:
            (W,) int64 numbers of labels.
        """
        certain = np.where(np.arange(logits.shape[1]) == self.outside, 0.0, -np.inf)
        scores = np.where(placed[:, None], logits, certain)
        return viterbi(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True), self._allowed)
