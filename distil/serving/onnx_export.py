"""A trained model -> a folder in ONNX, float32, and one with weights of 8 bits, each with its tokenizer.

Layout of models/onnx: docs/reference/output-files.md. The graph has the inputs `input_ids` and `attention_mask`, int64
(batch, tokens), and the output `logits`, float32 (batch, labels) or (batch, tokens, labels or pieces); batch and tokens
may be any from 1, tokens up to the model's positions. A classifier's n-gram table is in the graph, and so are all
language experts of a model that has some, with the gate that tells languages apart. Such a graph has the optional input
`language`, int64 (1), the number of all texts' language in student_languages of config.json; -1, the default: the gate.
"""

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from pydantic import Field
from torch import Tensor, nn

from distil.core.errors import UserError
from distil.core.files import atomic_folder, read_json, sha256_file, verify_checksums, write_json
from distil.core.params import Params
from distil.evaluation.model_names import MERGED, predictions_stage
from distil.finetuning.ngrams import NGRAMS_FILE, NgramTable, QuantisedNgramTable
from distil.modeling.experts import BY_GATE, GatedStudent, copy_gate, has_experts
from distil.modeling.tokenizer import copy_tokenizer, limit_length
from distil.serving.model_info import ServedKind, open_tokenizer, open_transitions, read_card
from distil.serving.runtime import LANGUAGE_INPUT, NGRAMS_KEY
from distil.serving.small_tokenizer import write_small_tokenizer
from distil.serving.torch_runtime import load_ngrams, load_torch
from distil.serving.word_embeddings import EmbeddingForm, store_by_row
from distil.tasks.tag_decoding import TRANSITIONS_FILE

log = logging.getLogger("distil")

MASKED_LM = "masked_lm"
QUANTISED = ["MatMul", "Gemm", "Gather"]  # every matrix: layers, head, and the embedding tables
LARGEST_WEIGHTS = 2**31 - 2**24  # bytes: protobuf writes 2 GiB at once, and there are the nodes
DATA_SUFFIX = ".data"  # of the file with the weights of a larger model, beside model.onnx


class ExportConfig(Params):
    """Section `export:` of params.yaml."""

    opset: int = Field(ge=20, le=21)
    per_channel: bool
    embeddings: EmbeddingForm
    masked_lm: bool
    speed_rows: int = Field(ge=1, le=10_000)
    repetitions: int = Field(ge=1, le=100)


class ExportSource(NamedTuple):
    """A model to export."""

    name: str  # of the folder in models/onnx
    folder: Path
    kind: ServedKind
    task: str | None
    languages: list[str]
    max_length: int


def find_sources(
    finetuned: Path, student: Path, tasks: Sequence[str], merged: Sequence[str], languages: list[str], masked_lm: bool
) -> list[ExportSource]:
    """Of each task the merged model or the one of the best seed (of each language, where they are separate).

    Then the masked LM, on request. The best seed is that of the highest mean dev score over the languages.

    Args:
        finetuned: models/finetuned/student.
        student: models/student.
        tasks: of `evaluate.tasks`.
        merged: those of `evaluate.merge.tasks`.
        languages: of params.yaml.
        masked_lm: whether `student` itself is one of them.

    Raises:
        UserError: a manifest is missing or damaged, or a task has the masked LM's name.
    """
    found = []
    for task in tasks:
        if task == MASKED_LM:
            raise UserError(f"params.yaml: evaluate.tasks: {task} is the folder of the masked LM; rename the task")
        stage = predictions_stage(MERGED if task in merged else "student", task)
        path = finetuned / ("merged" if task in merged else "") / task / "manifest.json"
        verify_checksums(path.parent, stage)
        manifest = read_json(path, stage)
        try:
            about = {"kind": manifest["kind"], "task": task, "max_length": manifest["max_length"]}
            if manifest["languages_mode"] == "joint":
                folder = path.parent / best_run(manifest, "")
                found.append(ExportSource(name=task, folder=folder, languages=languages, **about))
            else:
                found += [ExportSource(name=f"{task}-{code}", folder=path.parent / best_run(manifest, f"/{code}"),
                                       languages=[code], **about) for code in languages]  # fmt: skip
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: damaged (no usable {error}); run `dvc repro --force {stage}`") from None
    if masked_lm:
        positions = read_card(student).max_length
        found.append(ExportSource(MASKED_LM, student, "masked_lm", None, languages, positions))
    return found


def best_run(manifest: Mapping[str, Any], folder: str) -> str:
    """The classifier with the best mean dev score of all seeds, of equal ones the first: seed-2, or seed-2/kin."""
    runs = [f"seed-{seed}{folder}" for seed in manifest["seeds"]]
    return max(runs, key=lambda run: sum(manifest["dev"][run].values()))


def export(source: ExportSource, config: ExportConfig, out: Path) -> None:
    """Write `out`/fp32 and `out`/int8.

    Args:
        source: the model.
        config: section `export:`.
        out: models/onnx/NAME.

    Raises:
        UserError: the folder has no model, it or what belongs to it does not load, or its tokenizer is not its own.
    """
    card = read_card(source.folder)
    open_tokenizer(source.folder, card)
    beside = [TRANSITIONS_FILE] if open_transitions(source.folder, card) is not None else []
    # The eager form of attention has a third fewer nodes and no test for rows without a token.
    model = load_torch(source.folder, source.kind, attn_implementation="eager")
    experts = has_experts(source.folder)
    ngrams = load_ngrams(source.folder)
    about = {
        "task": source.task, "kind": source.kind, "labels": card.labels, "languages": source.languages,
        **card.view, "max_length": source.max_length, "opset": config.opset,
        "inputs": {"input_ids": ["batch", "tokens"], "attention_mask": ["batch", "tokens"]},
        "outputs": {"logits": ["batch", *(["tokens"] if source.kind != "text_classification" else []),
                               len(card.labels) or card.pieces]},
        "weights_sha256": sha256_file(source.folder / "model.safetensors"), "ngrams": ngrams is not None,
        **({"experts": list(model.config.languages)} if experts else {}),
    }  # fmt: skip
    with atomic_folder(out / "fp32") as folder:
        for name in ("config.json", "model.safetensors", *([NGRAMS_FILE] if ngrams else []), *beside):
            shutil.copyfile(source.folder / name, folder / name)
        copy_tokenizer(source.folder, folder)
        copy_gate(source.folder, folder)
        write_onnx(model, ngrams, folder / "model.onnx", config.opset)
        _write_manifest(folder, {**about, "precision": "fp32"})
    with atomic_folder(out / "int8") as folder:
        for name in ("config.json", *beside):
            shutil.copyfile(source.folder / name, folder / name)
        copy_small_tokenizer(source.folder, folder)
        _write_int8(model, ngrams, out / "fp32/model.onnx", folder / "model.onnx", config)
        _write_manifest(folder, {**about, "precision": "int8", "per_channel": config.per_channel,
                                 "embeddings": config.embeddings})  # fmt: skip
    log.info("export: %s: fp32 %.1f MB, int8 %.1f MB", source.name, *(
        (out / precision / "model.onnx").stat().st_size / 1e6 for precision in ("fp32", "int8")))  # fmt: skip


def copy_small_tokenizer(source: Path, folder: Path) -> None:
    """Copy what a server needs of a tokenizer beside a model; `folder` has the model's config.json."""
    if (source / "tokenizer_config.json").is_file():
        shutil.copyfile(source / "tokenizer_config.json", folder / "tokenizer_config.json")
    limit_length(folder)
    write_small_tokenizer(source / "tokenizer.json", folder / "tokenizer.json")


def _write_manifest(folder: Path, about: dict[str, Any]) -> None:
    names = ("model.onnx", f"model.onnx{DATA_SUFFIX}", "tokenizer.json", TRANSITIONS_FILE)
    sums = {name: sha256_file(folder / name) for name in names if (folder / name).is_file()}
    write_json(folder / "manifest.json", {**about, "sha256": sums})


class _Logits(nn.Module):
    """Only the inputs and the one output that a server needs; `language` of a model with language experts."""

    def __init__(self, model: nn.Module, ngrams: NgramTable | None) -> None:
        super().__init__()
        self.model, self.ngrams = model, ngrams

    def forward(self, input_ids: Tensor, attention_mask: Tensor, language: Tensor | None = None) -> Tensor:
        expert = {} if language is None else {"language": language}
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask, **expert).logits
        return logits if self.ngrams is None else logits + self.ngrams(input_ids, attention_mask)


def write_onnx(model: nn.Module, ngrams: NgramTable | None, path: Path, opset: int, output: str = "logits") -> None:
    """A model of transformers and its n-gram table as one ONNX file; the same weights give the same bytes.

    Beyond LARGEST_WEIGHTS they are in a second file, `path` with DATA_SUFFIX, which ONNX Runtime finds by itself.
    """
    # 0 and 1 would be taken for constants; any other example gives a graph for all sizes.
    ids = torch.full((2, 5), 3, dtype=torch.int64)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    inputs, shapes = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, {"input_ids": axes,
                                                                                 "attention_mask": axes}  # fmt: skip
    if isinstance(model, GatedStudent):
        inputs[LANGUAGE_INPUT], shapes[LANGUAGE_INPUT] = torch.tensor([BY_GATE]), {}
    with quiet():
        program = torch.onnx.export(
            _Logits(model, ngrams), tuple(inputs.values()), dynamo=True, opset_version=opset, verbose=False,
            input_names=list(inputs), output_names=[output], dynamic_shapes=shapes,
        )  # fmt: skip
    assert program is not None
    proto = _without_traces(program.model_proto)
    if LANGUAGE_INPUT in inputs:  # an input with a value of its own may be left out
        proto.graph.initializer.append(numpy_helper.from_array(np.array([BY_GATE]), LANGUAGE_INPUT))
    if ngrams is not None:
        proto.metadata_props.add(key=NGRAMS_KEY, value=f"{ngrams.shape.max_n} pieces, 2^{ngrams.shape.bits} rows")
    size = sum(len(tensor.raw_data) for tensor in proto.graph.initializer)
    data = path.with_name(path.name + DATA_SUFFIX)
    data.unlink(missing_ok=True)  # onnx would append to it
    onnx.save(proto, path, save_as_external_data=size > LARGEST_WEIGHTS, location=data.name)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out where in which file each node comes from: paths of this machine, and most of a small model's bytes."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def _write_int8(model: Any, ngrams: NgramTable | None, whole: Path, path: Path, config: ExportConfig) -> None:
    """The 8-bit graph; the quantiser gives a table that is gathered from one scale, so the n-grams' comes rounded."""
    if ngrams is None:
        quantise(whole, path, config.per_channel)
    else:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            rounded = Path(folder) / "model.onnx"
            write_onnx(model, QuantisedNgramTable(ngrams), rounded, config.opset)
            quantise(rounded, path, config.per_channel)
    if config.embeddings != "tensor8":
        graph = onnx.load(path)
        store_by_row(graph, model.get_input_embeddings().weight.detach().numpy(), config.embeddings)
        onnx.save(graph, path)


def quantise(source: Path, path: Path, per_channel: bool) -> None:
    """8-bit weights, embeddings included, by onnxruntime's quantiser; activations are scaled as they come.

    The weights span 7 of the 8 bits: a processor without VNNI instructions adds pairs of products in 16 bits, which
    full 8-bit weights overflow (seen on such a one: logits off by 0.2 of their deviation, now by less than 0.1).

    Args:
        source: a float32 ONNX file.
        path: to write.
        per_channel: a scale for each output column of a layer's matrix instead of one for the matrix.
    """
    with quiet():
        quantize_dynamic(
            source, path, op_types_to_quantize=QUANTISED, per_channel=per_channel, reduce_range=True,
            weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip


@contextmanager
def quiet() -> Iterator[None]:
    """The exporter tells of each node it simplifies, the quantiser advises a preparation that changes nothing here."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
