"""A Hugging Face folder in torch, float32, behind the same call as an ONNX one (distil/serving/runtime.py)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import XLMRobertaForMaskedLM, XLMRobertaForSequenceClassification, XLMRobertaForTokenClassification

from distil.finetuning.ngrams import NgramTable, load_table
from distil.modeling.config import read_config
from distil.modeling.loading import load_model
from distil.serving.model_info import ServedKind

CLASSES: dict[ServedKind, Any] = {
    "text_classification": XLMRobertaForSequenceClassification,
    "token_classification": XLMRobertaForTokenClassification,
    "masked_lm": XLMRobertaForMaskedLM,
}


ADVICE = "train, export or download it again"


def load_torch(folder: Path, kind: ServedKind, **options: Any) -> Any:
    """A model of `kind` in float32, ready to read from; safetensors only, no code from the folder is run.

    Raises:
        UserError: it does not load, or lacks a weight.
    """
    return load_model(CLASSES[kind], folder, ADVICE, **options)


def load_ngrams(folder: Path, kind: ServedKind) -> NgramTable | None:
    """The n-gram table of a text classifier that has one.

    Raises:
        UserError: see `load_table`.
    """
    return load_table(folder, read_config(folder, ADVICE), ADVICE) if kind == "text_classification" else None


class TorchRuntime:
    """model.safetensors, and the n-gram table beside it, on the CPU; all threads on one batch."""

    workers = 1

    def __init__(self, folder: Path, kind: ServedKind, threads: int = 0, new_head: bool = False) -> None:
        """Open `folder` with `threads` threads, 0 for torch's own choice.

        Args:
            folder: a model.
            kind: of its head.
            threads: for torch.
            new_head: put a random classifier on a masked language model, which costs what a trained one does.

        Raises:
            UserError: it does not load.
        """
        self.model = load_torch(folder, kind, **({"new": "classifier.", "unused": "lm_head."} if new_head else {}))
        self.ngrams = None if new_head else load_ngrams(folder, kind)
        if threads:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def logits(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """As `Runtime.logits`."""
        ids, mask = torch.from_numpy(input_ids), torch.from_numpy(attention_mask)
        logits = self.model(ids, attention_mask=mask).logits
        return (logits if self.ngrams is None else logits + self.ngrams(ids, mask)).numpy()
