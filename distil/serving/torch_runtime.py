"""A Hugging Face folder in torch, float32, behind the same call as an ONNX one (distil/serving/runtime.py)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    XLMRobertaForMaskedLM,
    XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification,
    XmodForMaskedLM,
    XmodForSequenceClassification,
    XmodForTokenClassification,
)

from distil.finetuning.ngrams import NgramTable, load_table
from distil.modeling.config import EXPERTS, SUPPORTED, read_config
from distil.modeling.experts import GatedStudent, has_experts, read_gate
from distil.modeling.loading import load_model
from distil.serving.model_info import ServedKind

# By kind: of an XLM-R model, and of one with language experts.
CLASSES: dict[ServedKind, tuple[Any, Any]] = {
    "text_classification": (XLMRobertaForSequenceClassification, XmodForSequenceClassification),
    "token_classification": (XLMRobertaForTokenClassification, XmodForTokenClassification),
    "masked_lm": (XLMRobertaForMaskedLM, XmodForMaskedLM),
}

ADVICE = "train, export or download it again"


def load_torch(folder: Path, kind: ServedKind, **options: Any) -> Any:
    """A model of `kind` in float32, ready to read from; safetensors only, no code from the folder is run.

    One with language experts comes as a `GatedStudent`.

    Raises:
        UserError: it does not load, or lacks a weight or its gate.
    """
    experts = has_experts(folder)
    model = load_model(CLASSES[kind][experts], folder, ADVICE, **options)
    if not experts:
        return model
    gate = read_gate(folder, len(model.config.student_languages), model.config.hidden_size, "export")
    return GatedStudent(model, gate).eval()


def load_ngrams(folder: Path) -> NgramTable | None:
    """The n-gram table of a model that has one.

    Raises:
        UserError: see `load_table`.
    """
    return load_table(folder, read_config(folder, ADVICE, EXPERTS if has_experts(folder) else SUPPORTED), ADVICE)


class TorchRuntime:
    """model.safetensors, and the n-gram table beside it, on the CPU; all threads on one batch."""

    workers = 1

    def __init__(
        self, folder: Path, kind: ServedKind, threads: int = 0, new_head: bool = False, language: int | None = None
    ) -> None:
        """Open `folder` with `threads` threads, 0 for torch's own choice.

        Args:
            folder: a model.
            kind: of its head.
            threads: for torch.
            new_head: put a random classifier on a masked language model, which costs what a trained one does.
            language: of a model with language experts, the number of all texts' language; None: its gate decides.

        Raises:
            UserError: it does not load.
        """
        self.model = load_torch(folder, kind, **({"new": "classifier.", "unused": "lm_head."} if new_head else {}))
        self.ngrams = None if new_head else load_ngrams(folder)
        self._language = {} if language is None else {"language": torch.tensor([language])}
        if threads:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def logits(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """As `Runtime.logits`."""
        ids, mask = torch.from_numpy(input_ids), torch.from_numpy(attention_mask)
        logits = self.model(ids, attention_mask=mask, **self._language).logits
        return (logits if self.ngrams is None else logits + self.ngrams(ids, mask)).numpy()
