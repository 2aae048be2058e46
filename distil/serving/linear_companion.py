"""A linear model beside an exported classifier of texts or words: each says its probabilities, and they are mixed.

A linear model of words and characters remembers spellings that a small transformer has no room for, and the two err on
different texts. There is one for each language, with weights of 8 bits, and one that tells the languages apart. It
needs numpy alone. companion_fit.py makes it. Legend: C labels, F = 2 * 2^bits rows of the table, L languages, W words.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distil.core.errors import UserError
from distil.serving.hashed_ngrams import hashed_ngrams, hashed_windows
from distil.serving.model_info import Card, check_sha256

COMPANION_FILE = "linear.npz"
REPAIR = "run the stage linear_companion of its task, or download the folder again"


class LinearModel(NamedTuple):
    """Scores of K classes: features @ (weights * scales) + intercept."""

    weights: np.ndarray  # (F, K) int8
    scales: np.ndarray  # (K,) float32
    intercept: np.ndarray  # (K,) float32

    def scores(self, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        """(K,) float64 from the features of one text."""
        return (values @ self.weights[rows].astype(np.float64)) * self.scales + self.intercept


class LanguageModel(NamedTuple):
    """The linear model of one language."""

    linear: LinearModel  # of the labels in `known`
    known: np.ndarray  # (K,) int64 numbers of the labels that its training rows have
    calibration: np.ndarray  # (C, C + 1) float32: scores, and 1 last, -> logits
    share: float  # of the linear model in the mixture, 0 to 1

    def log_probs(self, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        """(C,) float64 log-probabilities from the features of one text."""
        found = self.linear.scores(rows, values)
        scores = np.full(len(self.calibration) + 1, found.min() - 1)  # a label that it does not know: below all others
        scores[self.known], scores[-1] = found, 1.0
        logits = self.calibration @ scores
        return logits - np.logaddexp.reduce(logits)


class LinearCompanion:
    """The linear models of all languages."""

    def __init__(self, bits: int, languages: dict[str, LanguageModel], guesser: LinearModel | None) -> None:
        """`guesser` tells L languages apart, in the order of `languages`; None where there is one."""
        self.bits, self.languages, self.guesser = bits, languages, guesser

    def guess(self, rows: np.ndarray, values: np.ndarray) -> str:
        """The language of a text among those of the model."""
        names = list(self.languages)
        return names[int(self.guesser.scores(rows, values).argmax())] if self.guesser and len(rows) else names[0]

    def mix(self, text: str, probs: np.ndarray, language: str | None) -> tuple[np.ndarray, str]:
        """The mixture of both models' probabilities, and the language whose linear model took part.

        Args:
            text: as the classifier read it.
            probs: (C,) of the classifier.
            language: None guesses it.
        """
        rows, values = hashed_ngrams(text, self.bits)
        language = language or self.guess(rows, values)
        return self.mix_features(rows, values, probs, language), language

    def mix_words(self, words: list[str], probs: np.ndarray, language: str | None) -> tuple[np.ndarray, str]:
        """As `mix`, of each word of a sentence.

        Args:
            words: as the tagger read them.
            probs: (W, C) of the tagger.
            language: None guesses it.
        """
        language = language or self.guess(*hashed_ngrams(" ".join(words), self.bits))
        mixed = [self.mix_features(*features, row, language)
                 for features, row in zip(hashed_windows(words, self.bits), probs, strict=True)]  # fmt: skip
        return np.array(mixed).reshape(probs.shape), language

    def mix_features(self, rows: np.ndarray, values: np.ndarray, probs: np.ndarray, language: str) -> np.ndarray:
        """As `mix`, from the features of the text; `probs` themselves where it has none."""
        model = self.languages[language]
        return (1 - model.share) * probs + model.share * np.exp(model.log_probs(rows, values)) if len(rows) else probs

    def keep(self, names: Sequence[str]) -> "LinearCompanion":
        """The models of some of the languages."""
        places = [place for place, code in enumerate(self.languages) if code in names]
        languages = {code: model for code, model in self.languages.items() if code in names}
        columns = [part[..., places] for part in self.guesser] if self.guesser and len(places) > 1 else None
        return LinearCompanion(self.bits, languages, LinearModel(*columns) if columns else None)

    def save(self, folder: Path) -> None:
        """Write linear.npz; the same models give the same bytes."""
        arrays: dict[str, Any] = {"bits": np.int64(self.bits)}
        for code, model in self.languages.items():
            arrays |= _named(code, model.linear) | {
                f"{code}.known": model.known, f"{code}.calibration": model.calibration, f"{code}.share": model.share,
            }  # fmt: skip
        if self.guesser:
            arrays |= _named("guesser", self.guesser)
        np.savez(folder / COMPANION_FILE, **arrays)


def _named(name: str, model: LinearModel) -> dict[str, np.ndarray]:
    return {f"{name}.{part}": array for part, array in model._asdict().items()}


def open_companion(folder: Path, card: Card) -> LinearCompanion | None:
    """linear.npz of a folder; None where the model has none.

    Raises:
        UserError: it is missing though the manifest names it, damaged, or of another task.
    """
    path = folder / COMPANION_FILE
    if not path.is_file() and COMPANION_FILE not in card.sha256:
        return None
    if not path.is_file():
        raise UserError(f"{path}: no such file; {REPAIR}")
    check_sha256(folder, card, COMPANION_FILE)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        names = [name.removesuffix(".share") for name in arrays if name.endswith(".share")]
        languages = {code: LanguageModel(
            _model(arrays, code), arrays[f"{code}.known"], arrays[f"{code}.calibration"], float(arrays[f"{code}.share"])
        ) for code in names}  # fmt: skip
        guesser = _model(arrays, "guesser") if "guesser.weights" in arrays else None
        labels = {len(model.calibration) for model in languages.values()}
        bits = int(arrays["bits"])
    except Exception as error:  # numpy raises a class of the archive module too
        raise UserError(f"{path}: damaged ({error}); {REPAIR}") from None
    if labels != {len(card.labels)}:
        raise UserError(
            f"{path}: expected {len(card.labels)} labels as config.json has, found {sorted(labels)}; {REPAIR}"
        )
    return LinearCompanion(bits, languages, guesser)


def _model(arrays: dict[str, np.ndarray], name: str) -> LinearModel:
    return LinearModel(*(arrays[f"{name}.{part}"] for part in LinearModel._fields))
