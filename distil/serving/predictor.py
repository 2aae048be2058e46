"""A trained student at work: texts in, labels, tags, pieces or vectors out.

A folder with model.onnx needs numpy, tokenizers and onnxruntime, which start in half a second. Legend: T tokens,
C labels or pieces.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Encoding

from distil.core.errors import UserError
from distil.modeling.tokenizer import SpecialTokenIds, special_ids
from distil.serving.line_stream import read_line
from distil.serving.linear_companion import open_companion
from distil.serving.model_info import open_tokenizer, open_transitions, read_card
from distil.serving.runtime import each_row, open_runtime
from distil.tasks.tag_decoding import Decoder
from distil.text.views import TextView, romaniser

TOP_PIECES = 5


def softmax(logits: np.ndarray) -> np.ndarray:
    """(..., C) probabilities from (..., C) logits."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def logs(probs: np.ndarray) -> np.ndarray:
    """(..., C) finite logarithms of probabilities; nan stays nan."""
    return np.log(np.maximum(probs, np.finfo(np.float64).tiny))


class Words(NamedTuple):
    """A text in tokens for a tagger: rows of ids, and the position of each word's first piece."""

    words: list[str]
    rows: list[list[int]]
    places: list[tuple[int, int] | None]  # (row, token) of each word; None where a word has no piece


def split_words(words: list[str], encoding: Encoding, special: SpecialTokenIds, max_length: int) -> Words:
    """Rows of at most `max_length` ids, cut between words; a longer word is cut itself.

    Args:
        words: the parts between white space.
        encoding: of these words, `is_pretokenized` and without special pieces.
        special: ids of <s> and </s>.
        max_length: tokens with <s> and </s>.
    """
    pieces: list[list[int]] = [[] for _ in words]
    for number, piece in zip(encoding.word_ids, encoding.ids, strict=True):
        if number is not None:  # a special piece, of which there is none here
            pieces[number].append(piece)
    room, rows, places = max_length - 2, [[special.bos]], []
    for ids in pieces:
        if len(rows[-1]) > 1 and len(rows[-1]) - 1 + len(ids) > room:
            rows.append([special.bos])
        places.append((len(rows) - 1, len(rows[-1])) if ids else None)
        rows[-1] += ids[:room]
    return Words(words, [[*row, special.eos] for row in rows], places)


def word_logits(sentence: Words, rows: Sequence[np.ndarray], labels: int) -> tuple[np.ndarray, np.ndarray]:
    """The scores of each of W words at its first piece.

    Args:
        sentence: W words.
        rows: (T, C) logits of each of its rows.
        labels: C.

    Returns:
        (W, C) float32 logits, 0 where a word has no piece, and (W,) bool whether it has one.
    """
    logits = np.zeros((len(sentence.places), labels), np.float32)
    placed = np.array([place is not None for place in sentence.places], np.bool_)
    for word, place in enumerate(sentence.places):
        if place:
            logits[word] = rows[place[0]][place[1]]
    return logits, placed


class Predictor:
    """A folder, open: cleaned texts -> one result each, in their order."""

    def __init__(self, folder: Path, threads: int = 0, language: str | None = None) -> None:
        """Open a folder with `threads` threads, 0 for one a core.

        Args:
            folder: with model.onnx or model.safetensors.
            threads: 0 or more.
            language: of all texts, one that the model has; with language experts or a linear companion None guesses
                that of each text.

        Raises:
            UserError: see `read_card`, `open_tokenizer`, `open_runtime`, `open_companion` and `open_transitions`; or a
                language that the model does not have or that was trimmed away; or texts are to be transliterated
                without uroman.
        """
        self.card = read_card(folder)
        self.tokenizer = open_tokenizer(folder, self.card)
        self.companion = open_companion(folder, self.card)
        self.transitions = open_transitions(folder, self.card)
        self.view = TextView(**self.card.view)
        if self.card.script == "latin":
            romaniser()  # says at once where it is not installed
        self.language = language
        known = list(self.companion.languages) if self.companion else self.card.languages or self.card.gated
        if language and language not in known:
            raise UserError(
                f"{folder}: --language: expected {', '.join(known) or 'none, since manifest.json names none'}, found "
                f"{language}; give a model that has it"
            )
        self.runtime = open_runtime(folder, self.card, threads, language)
        self.special = special_ids(self.tokenizer)
        self.tokens = 0  # predicted so far, padding not counted

    def __call__(self, texts: list[str]) -> list[dict[str, Any]]:
        """For each text (from `clean_line`) its result, or {"error": sentence}."""
        viewed = [self.view(text) for text in texts]
        if self.card.kind == "token_classification":  # which views word by word and answers with the words as they are
            texts = [text if seen else "" for text, seen in zip(texts, viewed, strict=True)]
        else:
            texts = viewed
        kinds = {
            "text_classification": self._classify, "token_classification": self._tag, "masked_lm": self._fill,
            "sentence_embedding": self._embed,
        }  # fmt: skip
        found: list[dict[str, Any]] = [
            {"error": "no letter is left once the text is normalised as in training"} for _ in texts
        ]
        usable = [number for number, text in enumerate(texts) if text]
        for number, result in zip(usable, kinds[self.card.kind]([texts[n] for n in usable]), strict=True):
            found[number] = result
        return found

    def predict(self, texts: Iterable[str]) -> list[dict[str, Any]]:
        """For each text what `distil predict` prints, without the number of the line.

        A text classifier gives `label` and `scores`, a tagger `tokens`, `tags` and `scores`, both with a linear
        companion also `language`; a masked language model `masks`; a sentence encoder a `vector` of length 1; a text
        that cannot be predicted `error`.
        """
        if isinstance(texts, str):
            raise TypeError("predict: expected a list of texts, found one text; give [text]")
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        lines = [read_line(raw, len(raw)) for raw in encoded]
        results = iter(self([line.text for line in lines if line.error is None]))
        return [next(results) if line.error is None else {"error": line.error} for line in lines]

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Ids with <s> and </s>, cut at max_length."""
        last = self.card.max_length - 1
        encoded = (encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts))
        return [ids if len(ids) <= last + 1 else [*ids[:last], self.special.eos] for ids in encoded]

    def encode_words(self, sentences: list[list[str]]) -> list[Words]:
        """As `encode`, for a tagger."""
        encodings = self.tokenizer.encode_batch(sentences, is_pretokenized=True, add_special_tokens=False)
        return [split_words(words, encoding, self.special, self.card.max_length)
                for words, encoding in zip(sentences, encodings, strict=True)]  # fmt: skip

    def rows(self, rows: list[list[int]]) -> Iterator[tuple[int, np.ndarray]]:
        """As `each_row`."""
        self.tokens += sum(map(len, rows))
        outputs = len(self.card.labels) or (self.card.pieces if self.card.kind == "masked_lm" else 1)
        return each_row(self.runtime, rows, self.special.pad, outputs)

    def _classify(self, texts: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [{}] * len(texts)
        for row, logits in self.rows(self.encode(texts)):
            probs, about = softmax(logits), {}
            if self.companion:
                probs, about["language"] = self.companion.mix(texts[row], probs, self.language)
            scores = dict(zip(self.card.labels, (round(float(score), 6) for score in probs), strict=True))
            found[row] = {"label": self.card.labels[int(probs.argmax())], "scores": scores, **about}
        return found

    def _embed(self, texts: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [{}] * len(texts)
        for row, vector in self.rows(self.encode(texts)):
            found[row] = {"vector": [round(float(number), 6) for number in vector]}
        return found

    def _tag(self, texts: list[str]) -> list[dict[str, Any]]:
        words = [text.split() for text in texts]
        sentences = self.encode_words([[self.view(word) for word in each] for each in words])
        return [{"tokens": each, **tagged} for each, tagged in zip(words, self.tag(sentences), strict=True)]

    def tag(self, sentences: list[Words]) -> list[dict[str, Any]]:
        """For each sentence the `tags` of its words and their `scores`, and with a linear companion its `language`.

        A score is the tag's probability, 1 where a word has no piece: with learned transitions that over all valid
        sequences, with a companion the mixture's, and else the word's own. Tags are decided as in evaluation
        (distil/tasks/tag_decoding.py), so one may be less probable than another tag that its neighbours rule out.
        """
        labels, decode, plain = (
            self.card.labels,
            Decoder(self.card.labels, self.transitions),
            Decoder(self.card.labels, None),
        )
        found = []
        for sentence, (logits, placed) in zip(sentences, self.word_logits(sentences), strict=True):
            probs, about = self.word_probs(logits, placed), {}
            if self.companion:
                probs, about["language"] = self.companion.mix_words(sentence.words, probs, self.language)
                tags = plain(logs(probs), placed)  # transitions are in the tagger's probabilities
            else:
                tags = decode(logits, placed)
            scores = [round(float(probs[word, tag]), 6) if placed[word] else 1.0 for word, tag in enumerate(tags)]
            found.append({"tags": [labels[tag] for tag in tags], "scores": scores, **about})
        return found

    def word_logits(self, sentences: list[Words]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As `word_logits`, of each sentence."""
        scores, first = dict(self.rows([row for sentence in sentences for row in sentence.rows])), 0
        for sentence in sentences:
            rows = [scores[first + row] for row in range(len(sentence.rows))]
            first += len(rows)
            yield word_logits(sentence, rows, len(self.card.labels))

    def word_probs(self, logits: np.ndarray, placed: np.ndarray) -> np.ndarray:
        """(W, C) the tagger's probabilities of each word, with learned transitions over all valid sequences.

        Args:
            logits: (W, C) of one sentence.
            placed: (W,) bool, whether the word has a piece.
        """
        if self.transitions is None:
            return softmax(logits)
        return Decoder(self.card.labels, self.transitions).marginals(logits, placed)

    def _fill(self, texts: list[str]) -> list[dict[str, Any]]:
        rows = self.encode(texts)
        masked = [number for number, ids in enumerate(rows) if self.special.mask in ids]
        found: list[dict[str, Any]] = [
            {"error": f"no <mask> among the first {self.card.max_length} tokens; a masked language model fills those"}
            for _ in texts
        ]
        for row, logits in self.rows([rows[number] for number in masked]):
            number = masked[row]
            probs = softmax(logits[np.array(rows[number]) == self.special.mask])
            found[number] = {"masks": [self._pieces(place) for place in probs]}
        return found

    def _pieces(self, probs: np.ndarray) -> list[dict[str, Any]]:
        best = np.argsort(-probs, kind="stable")[:TOP_PIECES]
        return [{"piece": self.tokenizer.id_to_token(int(number)), "score": round(float(probs[number]), 6)}
                for number in best]  # fmt: skip
