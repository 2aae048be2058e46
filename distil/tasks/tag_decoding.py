"""Tags of words: which sequences are valid, the most probable valid one, and a word's share of all. Numpy only.

`Decoder` decides for evaluation, serving and the comparison of an export alike. `B-X` begins an entity of type X,
`I-X` continues one of the same type, `O` is none (IOB2, in which data/tasks has all entity tags). A label of any other
form may be anywhere, and so may `I-X` where the set has no `B-X`.

A sequence scores the sum of its words' scores and, of a tagger with learned transitions (distil/finetuning/chain.py),
that of its transitions; one that is not valid scores -inf. `transitions` are (C + 1, C), label (column) after label
(row), the last row the start of a sentence; None are 0.

Legend: N sentences, U words of all of them, B sentences of a batch, W words of the longest or of one, C labels.
"""

import json
from pathlib import Path

import numpy as np

from distil.core.errors import UserError, cut
from distil.core.files import write_json

OUTSIDE = "O"
TRANSITIONS_FILE = "transitions.json"  # in a model's folder; its config.json names it as `transitions`
BATCH = 256  # sentences; results do not depend on it
FLOOR = -30.0  # log-probability of a tag that no valid sequence has, about 1e-13: the student's loss takes no -inf


def allowed_transitions(labels: list[str]) -> np.ndarray:
    """(C + 1, C) bool: whether a label (column) may follow another (row); the last row is the start of a sentence."""
    previous = [*labels, OUTSIDE]
    return np.array([
        [_starts(label, labels) or before in (f"B-{label[2:]}", label) for label in labels] for before in previous
    ])  # fmt: skip


def _starts(label: str, labels: list[str]) -> bool:
    """Whether a label may be anywhere: it continues nothing, or the set has no other way to begin its type."""
    return not label.startswith("I-") or f"B-{label[2:]}" not in labels


def valid_moves(labels: list[str], transitions: np.ndarray | None = None) -> np.ndarray:
    """(C + 1, C) scores of label (column) after label (row): `transitions`, and -inf for what is not valid."""
    return np.where(allowed_transitions(labels), 0.0 if transitions is None else transitions, -np.inf)


def viterbi(scores: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """The valid sequence of labels with the highest sum of scores (Viterbi 1967); of equal ones the first in order.

    Args:
        scores: (W, C) of each word: log-probabilities, or logits of one word each up to a constant.
        moves: from `valid_moves`.

    Returns:
        (W,) int64 numbers of labels.
    """
    words = len(scores)
    if not words:
        return np.empty(0, np.int64)
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


def tag_marginals(
    log_probs: np.ndarray, starts: np.ndarray, labels: list[str], transitions: np.ndarray | None = None
) -> np.ndarray:
    """(U, C) float32 logs of the posterior marginals over the valid sequences, at least FLOOR.

    A model that scores each word by itself puts probability on sequences that cannot be, such as B-LOC before I-PER.
    Here a word's tag has the sum over all valid sequences with it there: forward-backward (Rabiner 1989). They are the
    soft labels of structure-level distillation (Wang et al. 2020, arXiv 2004.03846).

    Args:
        log_probs: (U, C) log-probabilities of each word by itself, or logits; nan where the model could not read it.
            Nothing is then known of the word, and it stays nan.
        starts: (N + 1,) the words of sentence n are starts[n]:starts[n + 1].
        labels: C, in the order of the scores.
        transitions: of the model, None where it has none.
    """
    moves = valid_moves(labels, transitions)
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
        moves: (C + 1, C), from `valid_moves`.
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


class Decoder:
    """From scores to tags, with the rules of one set of labels and the transitions of one model."""

    def __init__(self, labels: list[str], transitions: np.ndarray | None) -> None:
        """Take the labels in the order of the scores, and the model's transitions, None where it has none."""
        self.outside = outside(labels)  # of a word that no model read
        self._moves = valid_moves(labels, transitions)

    def __call__(self, logits: np.ndarray, placed: np.ndarray) -> np.ndarray:
        """The most probable valid sequence; `self.outside` for a word without scores.

        Args:
            logits: (W, C) unnormalised scores of the words of one sentence; anything where `placed` is False.
            placed: (W,) bool, whether a model read the word.

        Returns:
            (W,) int64 numbers of labels.
        """
        return viterbi(self._log_probs(logits, placed), self._moves)

    def marginals(self, logits: np.ndarray, placed: np.ndarray) -> np.ndarray:
        """(W, C) probabilities of each word's tags over all valid sequences; arguments as of a call."""
        if not len(logits):
            return np.empty(logits.shape)
        scores = np.maximum(self._log_probs(logits, placed), FLOOR)
        return np.exp(padded_marginals(scores[None], np.ones((1, len(scores)), np.bool_), self._moves)[0])

    def _log_probs(self, logits: np.ndarray, placed: np.ndarray) -> np.ndarray:
        certain = np.where(np.arange(logits.shape[1]) == self.outside, 0.0, -np.inf)
        scores = np.where(placed[:, None], logits, certain)
        return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


def write_transitions(folder: Path, labels: list[str], transitions: np.ndarray) -> None:
    """Write transitions.json; every number as it is."""
    write_json(folder / TRANSITIONS_FILE, {"labels": labels, "transitions": transitions.tolist()})


def read_transitions(folder: Path, labels: list[str], advice: str) -> np.ndarray:
    """(C + 1, C) float64 of transitions.json.

    Args:
        folder: of a model whose config.json names the file.
        labels: of the model, in the order of its scores.
        advice: what to do about a fault, for the message.

    Raises:
        UserError: missing, damaged, of another shape, or made for other labels.
    """
    path, shape = folder / TRANSITIONS_FILE, (len(labels) + 1, len(labels))
    if not path.is_file():
        raise UserError(f"{path}: no such file, but the tagger of config.json decodes with it; {advice}")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        made_for, rows = [str(label) for label in about["labels"]], about["transitions"]
        found = np.array(rows, np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({cut(error)}); {advice}") from None
    if found.shape != shape:
        raise UserError(f"{path}: expected {_times(shape)} numbers, found {_times(found.shape)}; {advice}")
    if not np.isfinite(found).all():
        raise UserError(f"{path}: expected finite numbers, found {found[~np.isfinite(found)][0]}; {advice}")
    if made_for != labels:
        raise UserError(
            f"{path}: made for the labels {cut(', '.join(made_for))}, but the model has {cut(', '.join(labels))}; "
            f"{advice}"
        )
    return found


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one"
