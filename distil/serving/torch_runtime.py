"""A Hugging Face folder in torch, float32, behind the same call as an ONNX one (distil/serving/predictor.py)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification

from distil.core.errors import UserError
from distil.runtime.progress import quieten_transformers
from distil.serving.model_info import ServedKind

CLASSES: dict[ServedKind, Any] = {
    "text_classification": AutoModelForSequenceClassification,
    "token_classification": AutoModelForTokenClassification,
    "masked_lm": AutoModelForMaskedLM,
}


def load_torch(folder: Path, kind: ServedKind, **options: Any) -> Any:
    """A model of `kind` in float32, ready to read from; safetensors only, no code from the folder is run.

    Raises:
        UserError: it does not load.
    """
    quieten_transformers()
    try:
        model = CLASSES[kind].from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, **options
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{folder}: the model does not load ({reason}); train, export or download it again") from None
    return model.eval()


class TorchRuntime:
    """model.safetensors on the CPU, all threads on one batch."""

    workers = 1

    def __init__(self, folder: Path, kind: ServedKind, threads: int = 0) -> None:
        """Open `folder` with `threads` threads, 0 for torch's own choice.

        Raises:
            UserError: it does not load.
        """
        self.model = load_torch(folder, kind)
        if threads:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def logits(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """As `Runtime.logits`."""
        return self.model(torch.from_numpy(input_ids), attention_mask=torch.from_numpy(attention_mask)).logits.numpy()
