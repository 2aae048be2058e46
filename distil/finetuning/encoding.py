"""Rows of a task as token ids, with the units that are classified: a text is one unit, a sentence one for each word.

N rows, U units, C labels. A word's tag is read at its first piece, the other pieces of the word take no part (Devlin et
al. 2019, section 5.3). A word that the limit of tokens cut off, or that has no piece, has no place: nothing is learned
from it.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Encoding
from torch import Tensor

from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.tasks.data import Task

NO_LABEL = -1
NO_PLACE = -1


class Encoded(NamedTuple):
    """N rows and their U units, those of row r at starts[r]:starts[r + 1]."""

    ids: list[list[int]]
    starts: np.ndarray  # (N + 1,) int64
    places: np.ndarray  # (U,) int64 token that the unit is read at, NO_PLACE if there is none
    gold: np.ndarray  # (U,) int64 number of the label, NO_LABEL where it is not known
    languages: np.ndarray  # (N,) int64
    teacher: np.ndarray | None = None  # (U, C) float32 log-probabilities, nan where there are none
    sequences: np.ndarray | None = None  # (U, K) numbers of labels in the teacher's sequences, NO_LABEL where none
    sequence_weights: np.ndarray | None = None  # (N, K) float32, see distil/tasks/tag_sequences.py

    def lengths(self) -> np.ndarray:
        """(N,) tokens of each row."""
        return np.array([len(row) for row in self.ids], np.int64)

    def take(self, rows: np.ndarray) -> "Encoded":
        """Some rows, in the order given."""
        units = np.concatenate(
            [np.arange(self.starts[row], self.starts[row + 1]) for row in rows] or [np.empty(0, int)]
        )
        counts = self.starts[rows + 1] - self.starts[rows]
        return Encoded(
            [self.ids[row] for row in rows], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            self.places[units], self.gold[units], self.languages[rows],
            *(None if found is None else found[chosen] for found, chosen in (
                (self.teacher, units), (self.sequences, units), (self.sequence_weights, rows),
            )),
        )  # fmt: skip

    def hide_labels(self, hidden: np.ndarray) -> "Encoded":
        """The same rows, those in `hidden` (N,) bool without labels."""
        return self._replace(gold=np.where(np.repeat(hidden, np.diff(self.starts)), NO_LABEL, self.gold))

    def unlabelled_rows(self) -> np.ndarray:
        """(N,) bool: which rows have no label; a row without units has none."""
        known = np.concatenate([[0], np.cumsum(self.gold != NO_LABEL)])
        return known[self.starts[1:]] == known[self.starts[:-1]]

    def units(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The units of some rows that have a place: their numbers (B,), and which of `rows` each is of (B,)."""
        counts = self.starts[rows + 1] - self.starts[rows]
        owner = np.repeat(np.arange(len(rows)), counts)
        before = np.repeat(np.cumsum(counts) - counts, counts)
        units = np.arange(len(owner)) - before + np.repeat(self.starts[rows], counts)
        placed = self.places[units] != NO_PLACE
        return units[placed], owner[placed]


class Encoder:
    """Rows -> token ids with a model's own tokenizer, <s> and </s> included, cut at `max_length` tokens."""

    def __init__(self, folder: Path, max_length: int, made_by: str) -> None:
        """`made_by` is the stage that writes `folder`, named in errors."""
        self._tokenizer = load_tokenizer(folder, made_by)
        self._tokenizer.enable_truncation(max_length)
        self.pad_id = special_ids(self._tokenizer).pad

    def split(self, task: Task, language: str, number: int, split: str) -> Encoded:
        """The rows of train, dev or test, with their labels; `number` is the language's."""
        if task.kind == "text_classification":
            rows = task.text_rows(language, split)
            gold = [task.labels.index(row.label) for row in rows]
            return self._texts([row.text for row in rows], gold, number)
        sentences = task.token_rows(language, split)
        tags = [[task.labels.index(tag) for tag in row.tags] for row in sentences]
        return self._sentences([row.tokens for row in sentences], tags, number)

    def unlabelled(self, task: Task, language: str, number: int) -> Encoded:
        """The rows without a label."""
        if task.kind == "text_classification":
            texts = task.unlabelled_texts(language)
            return self._texts(texts, [NO_LABEL] * len(texts), number)
        sentences = task.unlabelled_tokens(language)
        return self._sentences(sentences, [[NO_LABEL] * len(tokens) for tokens in sentences], number)

    def _texts(self, texts: list[str], gold: list[int], number: int) -> Encoded:
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)]
        return Encoded(
            ids, np.arange(len(ids) + 1), np.zeros(len(ids), np.int64), np.array(gold, np.int64),
            np.full(len(ids), number),
        )  # fmt: skip

    def _sentences(self, sentences: list[list[str]], gold: list[list[int]], number: int) -> Encoded:
        encodings = self._tokenizer.encode_batch(sentences, is_pretokenized=True)  # type: ignore[arg-type]
        places = [_first_pieces(encoding, len(tokens)) for encoding, tokens in zip(encodings, sentences, strict=True)]
        starts = np.cumsum([0, *(len(tokens) for tokens in sentences)], dtype=np.int64)
        return Encoded(
            [encoding.ids for encoding in encodings], starts, np.concatenate([*places, np.empty(0, np.int64)]),
            np.array([tag for tags in gold for tag in tags], np.int64), np.full(len(sentences), number),
        )  # fmt: skip


def _first_pieces(encoding: Encoding, words: int) -> np.ndarray:
    """(words,) the token that each word begins with."""
    places = np.full(words, NO_PLACE, np.int64)
    for token, word in reversed(list(enumerate(encoding.word_ids))):
        if word is not None:
            places[word] = token
    return places


def join(parts: list[Encoded]) -> Encoded:
    """One set of rows after another; where some have a teacher's distributions or sequences, the others have none."""
    starts, units = [np.zeros(1, np.int64)], 0
    for part in parts:  # a part may have no rows
        starts.append(part.starts[1:] + units)
        units += int(part.starts[-1])
    return Encoded(
        [row for part in parts for row in part.ids],
        np.concatenate(starts),
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.gold for part in parts]),
        np.concatenate([part.languages for part in parts]),
        _join_optional([(part.teacher, len(part.gold)) for part in parts], np.nan),
        _join_optional([(part.sequences, len(part.gold)) for part in parts], NO_LABEL),
        _join_optional([(part.sequence_weights, len(part.ids)) for part in parts], 0),
    )


def _join_optional(parts: list[tuple[np.ndarray | None, int]], missing: float) -> np.ndarray | None:
    """Arrays one after another, `missing` in the rows (their number is given) of one that is None; None without any."""
    like = next((found for found, _ in parts if found is not None), None)
    if like is None:
        return None
    return np.concatenate([
        np.full((rows, like.shape[1]), missing, like.dtype) if found is None else found for found, rows in parts
    ])  # fmt: skip


def pad(rows: list[list[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids (rows, longest row) int64 and where they are no padding, bool."""
    lengths = np.array([len(row) for row in rows])
    ids = np.full((len(rows), lengths.max()), pad_id, np.int64)
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    ids[mask] = np.concatenate([np.asarray(row) for row in rows])
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
