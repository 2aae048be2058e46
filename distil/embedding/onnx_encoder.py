"""The encoder as ONNX in 8 bits, for `distil predict`: no torch, no sentence-transformers.

The graph has the inputs of every other model here, and the output `sentence_embedding`, float32 (batch, dimensions),
vectors of length 1. Mean, linear map and normalisation are in it.
"""

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import normalize

from distil.core.errors import UserError
from distil.core.files import atomic_folder, sha256_file, write_json
from distil.embedding.teacher_vectors import mean_of_states
from distil.modeling.tokenizer import copy_tokenizer
from distil.serving.model_info import SENTENCE_EMBEDDING, read_card
from distil.serving.onnx_export import quantise, write_onnx

OPSET = 20  # the first with GELU as one operator
OUTPUT = "sentence_embedding"


class _Encoder(nn.Module):
    """What the modules of the sentence-transformers folder compute, in one forward pass."""

    def __init__(self, body: nn.Module, dense: nn.Module) -> None:
        super().__init__()
        self.body, self.dense = body, dense

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        states = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return SimpleNamespace(logits=normalize(self.dense(mean_of_states(states, attention_mask)), dim=-1))


def check_script(student: Path) -> None:
    """See that the student reads text as pairs have it.

    Raises:
        UserError: it learned from transliterated text.
    """
    if read_card(student).script == "latin":
        raise UserError(
            f"{student}: a student of corpus.script: latin, and sentence encoders read every text as it is; set "
            "corpus.script to keep"
        )


def export_encoder(folder: Path, languages: list[str], max_length: int, out: Path) -> None:
    """Write `out` with model.onnx, its tokenizer, config.json and manifest.json.

    Args:
        folder: the sentence-transformers folder.
        languages: that it was trained on, the pivot among them.
        max_length: tokens of a text with `<s>` and `</s>`.
        out: of the 8-bit encoder.
    """
    from sentence_transformers import SentenceTransformer

    modules: Any = SentenceTransformer(
        str(folder), device="cpu", model_kwargs={"attn_implementation": "eager", "add_pooling_layer": False}
    )
    encoder = _Encoder(modules[0].auto_model, modules[2].linear).eval()
    with atomic_folder(out) as target:
        (target / "config.json").write_bytes((folder / "config.json").read_bytes())
        copy_tokenizer(folder, target)
        with tempfile.TemporaryDirectory(dir=target) as scratch:
            whole = Path(scratch) / "model.onnx"
            write_onnx(encoder, None, whole, OPSET, OUTPUT)
            quantise(whole, target / "model.onnx", per_channel=True)
        dimensions = modules[2].linear.out_features
        write_json(target / "manifest.json", {
            "kind": SENTENCE_EMBEDDING, "task": None, "labels": [], "languages": languages, "normalised": False,
            "max_length": max_length, "opset": OPSET, "precision": "int8", "per_channel": True,
            "inputs": {"input_ids": ["batch", "tokens"], "attention_mask": ["batch", "tokens"]},
            "outputs": {OUTPUT: ["batch", dimensions]},
            "sha256": {name: sha256_file(target / name) for name in ("model.onnx", "tokenizer.json")},
        })  # fmt: skip
