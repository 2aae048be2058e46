"""A classifier -> a folder with model.onnx in 8 bits, config, tokenizer and manifest, which `distil.predict` reads.

`dynamic` is what the student's export has: 8-bit weights, and activations scaled to 8 bits as they come. `weights`
keeps the activations in float32, for a model that loses more than a point by `dynamic` (BERT-base lost 35 points on
QNLI by one scale for all activations of a layer, arXiv 2603.04308). Embeddings and n-grams have 8 bits in both.
"""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from torch import nn

from distil.core.files import sha256_file, write_json
from distil.finetuning.chain import TagChain
from distil.finetuning.ngrams import NgramTable, QuantisedNgramTable
from distil.rivals.cutting import KeptNgramTable
from distil.serving.onnx_export import ExportConfig, copy_small_tokenizer, quantise, quiet, write_onnx
from distil.tasks.tag_decoding import TRANSITIONS_FILE, write_transitions

BLOCK = 64  # weights of an output column that share a scale in `weights`


class Written(NamedTuple):
    """What a rival's folder holds beside its graph."""

    model: nn.Module  # of transformers, or one with the same call, on the CPU; its `config` is written
    ngrams: NgramTable | None
    chain: TagChain | None
    tokenizer: Path  # a folder
    about: dict[str, Any]  # of the manifest


def write_rival(rival: Written, form: str, config: ExportConfig, folder: Path) -> None:
    """Write `folder`, which is there and empty.

    Args:
        rival: what is written.
        form: dynamic, weights or static; a static model stays in float32.
        config: section `export:`.
        folder: of the rival.
    """
    rival.model.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
    copy_small_tokenizer(rival.tokenizer, folder)
    path = folder / "model.onnx"
    if form == "static":
        write_onnx(rival.model, None, path, config.opset)
    else:
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            whole = Path(name) / "model.onnx"
            write_onnx(rival.model, _rounded(rival.ngrams), whole, config.opset)
            if form == "dynamic":
                quantise(whole, path, config.per_channel)
            else:
                quantise_weights(whole, path)
    if rival.chain is not None:
        write_transitions(folder, rival.chain.labels, rival.chain.as_array())
    names = ("model.onnx", "tokenizer.json", *([TRANSITIONS_FILE] if rival.chain is not None else []))
    sums = {name: sha256_file(folder / name) for name in names}
    write_json(folder / "manifest.json", {**rival.about, "opset": config.opset, "sha256": sums})


def _rounded(ngrams: NgramTable | None) -> NgramTable | None:
    """The table in 8 bits, as the student's export has it."""
    if isinstance(ngrams, KeptNgramTable):
        return KeptNgramTable(QuantisedNgramTable(ngrams.table), ngrams.teacher_ids.numpy())
    return QuantisedNgramTable(ngrams) if ngrams is not None else None


def quantise_weights(source: Path, path: Path) -> None:
    """8-bit weights and float32 activations: a scale for each BLOCK weights of an output column, one for a table.

    Args:
        source: a float32 ONNX file.
        path: to write.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as name, quiet():
        tables = Path(name) / "model.onnx"
        quantize_dynamic(source, tables, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8)
        quantiser = MatMulNBitsQuantizer(onnx.load(tables), bits=8, block_size=BLOCK, is_symmetric=True,
                                         accuracy_level=1)  # fmt: skip
        quantiser.process()
        quantiser.model.save_model_to_file(str(path), use_external_data_format=False)
