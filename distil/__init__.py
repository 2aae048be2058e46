"""distil: a large multilingual masked language model in, a very small student for a few languages out."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distil.serving.predictor import Predictor

__all__ = ["load"]


def load(folder: str | Path, threads: int = 0, language: str | None = None) -> "Predictor":
    """Open a model: `distil.load("models/onnx/sentiment/int8").predict(["Ndishimye cyane"])`.

    Args:
        folder: with model.onnx, or with model.safetensors where torch and transformers are installed.
        threads: 0 for one a core.
        language: of all texts, for a model with a linear companion; None guesses that of each text.

    Raises:
        distil.core.errors.UserError: no model there, or a damaged one.
    """
    from distil.serving.predictor import Predictor  # not above: importing any module of distil would load it

    return Predictor(Path(folder), threads, language)
