"""A model with n-grams at work: torch, both ONNX graphs and the prediction command say the same, or refuse."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

import distil
from distil.core.errors import UserError
from distil.core.files import read_json, sha256_file, write_json
from distil.finetuning.classifier import load_classifier
from distil.finetuning.ngrams import NGRAMS_FILE, NgramsConfig, new_table
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.serving.model_info import ServedKind
from distil.serving.onnx_export import ExportSource, export
from distil.serving.predictor import Predictor
from distil.serving.runtime import OnnxRuntime
from distil.serving.shrink import main as shrink
from distil.serving.torch_runtime import TorchRuntime
from tests.serving.test_onnx_export import SHAPES, batch
from tests.support import ROOT, toy
from tests.support.exported import CONFIG, LABELS, TASKS, make_model, source

TEXTS = [*toy.sentences(40, 5), "a", "<mask> a <s>"]
BITS = 12


class Room(NamedTuple):
    """models/finetuned/student and models/onnx with one model that has a random table; read only."""

    root: Path
    kind: ServedKind

    @property
    def source(self) -> ExportSource:
        return source(self.root, self.kind)

    @property
    def onnx(self) -> Path:
        return self.root / "models/onnx" / self.source.name


@pytest.fixture(scope="module", params=TASKS.values())
def room(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Room:
    """A classifier of texts, and a tagger."""
    room = Room(tmp_path_factory.mktemp("ngrams"), request.param)
    made = room.source
    make_model(made.folder, made.kind)
    labels, special = LABELS[made.kind], special_ids(load_tokenizer(made.folder))
    model = load_classifier(made.folder, made.kind, labels, made.max_length, "finetune").cpu()
    config = NgramsConfig(max_n=3, tag_window=2, bits=BITS, learning_rate=0.2, alone_weight=0.3)
    model.ngrams = new_table(config, made.kind, labels, int(model.transformer.config.vocab_size), special)
    with torch.no_grad():
        model.ngrams.weight.normal_(generator=torch.Generator().manual_seed(0))
        model.ngrams.weight[:, 1] *= 3
    model.save_pretrained(made.folder)
    write_json(made.folder.parent / "manifest.json", {
        "kind": made.kind, "task": made.task, "labels": labels, "normalised": False, "max_length": made.max_length,
        "languages_mode": "joint", "seeds": [1], "ngrams": True,
    })  # fmt: skip
    export(made, CONFIG, room.onnx)
    return room


@pytest.fixture
def folder(room: Room, tmp_path: Path) -> Path:
    """A copy of the float32 export that a test may damage."""
    return Path(shutil.copytree(room.onnx / "fp32", tmp_path / "words"))


def runtimes(room: Room) -> tuple[TorchRuntime, OnnxRuntime, OnnxRuntime]:
    return (TorchRuntime(room.source.folder, room.kind),
            *(OnnxRuntime(room.onnx / precision / "model.onnx", 1) for precision in ("fp32", "int8")))  # fmt: skip


def test_torch_and_the_float32_graph_say_the_same_at_every_shape_and_int8_stays_near(room: Room) -> None:
    trained, whole, small = runtimes(room)
    assert trained.ngrams is not None
    for rows, tokens in SHAPES:
        given = batch(rows, tokens, trained.model.config.vocab_size)
        given.input_ids[-1, tokens // 2] = 3  # <unk>
        expected = trained.logits(*given)
        with torch.inference_mode():
            sums = trained.ngrams(*map(torch.from_numpy, given)).numpy()
        assert np.abs(sums[-1]).max() > 0.1 or tokens == 1
        np.testing.assert_allclose(whole.logits(*given), expected, atol=2e-5, err_msg=f"{rows} x {tokens}")
        assert np.abs(small.logits(*given) - expected).mean() < 0.1 * expected.std()


def test_padding_changes_no_answer_of_a_graph(room: Room) -> None:
    for runtime in runtimes(room)[1:]:
        ids = np.array([[0, 9, 8, 7, 2]], np.int64)
        one = runtime.logits(ids, np.ones_like(ids))
        padded, mask = np.pad(ids, ((0, 0), (0, 4)), constant_values=1), np.pad(np.ones_like(ids), ((0, 0), (0, 4)))
        found = runtime.logits(padded, mask)
        found = found[:, : ids.shape[1]] if found.ndim == 3 else found
        np.testing.assert_allclose(found, one, atol=1e-4 * np.abs(one).max())


def test_a_graph_keeps_its_inputs_and_the_table_in_8_bits(room: Room, exports: Path) -> None:
    sizes = {}
    for precision in ("fp32", "int8"):
        path = room.onnx / precision / "model.onnx"
        graph = onnx.load(path).graph
        assert [node.name for node in graph.input] == ["input_ids", "attention_mask"]
        tables = [tensor for tensor in graph.initializer if tuple(tensor.dims) == (2**BITS, 3)]
        types = {"fp32": onnx.TensorProto.FLOAT, "int8": onnx.TensorProto.INT8}
        assert [tensor.data_type for tensor in tables] == [types[precision]]
        sizes[precision] = path.stat().st_size
    assert sizes["fp32"] - sizes["int8"] > 2**BITS * 3 * 3
    plain = exports / "models/onnx" / room.source.name / "int8/model.onnx"  # of a like transformer
    grown = sizes["int8"] - plain.stat().st_size
    assert 2**BITS * 3 <= grown < 2**BITS * 3 + 14_000  # the table, and the nodes of the hash


def test_the_same_table_gives_the_same_bytes(room: Room, tmp_path: Path) -> None:
    export(room.source, CONFIG, tmp_path / "again")
    for path in sorted((tmp_path / "again").rglob("*.*")):
        assert path.read_bytes() == (room.onnx / path.relative_to(tmp_path / "again")).read_bytes()
    assert sorted(path.name for path in (tmp_path / "again/int8").iterdir()) == [
        "config.json", "manifest.json", "model.onnx", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_predict_and_load_use_the_table_in_torch_and_in_onnx(room: Room, folder: Path) -> None:
    (folder / "model.onnx").unlink()  # the export as a folder of transformers
    trained = room.source.folder
    scores = [scores_of(distil.load(each, 1).predict(TEXTS)) for each in (trained, folder, room.onnx / "fp32")]
    np.testing.assert_allclose(scores[0], scores[1], atol=2e-6)
    np.testing.assert_allclose(scores[0], scores[2], atol=2e-5)
    loader = {"words": AutoModelForSequenceClassification, "names": AutoModelForTokenClassification}[room.source.name]
    alone, model = loader.from_pretrained(trained).eval(), distil.load(trained)
    ids = torch.tensor(model.encode(TEXTS[:1]))
    with torch.no_grad():
        transformer, whole = alone(ids).logits.numpy(), runtimes(room)[0].logits(ids.numpy(), np.ones_like(ids))
    assert np.abs(transformer - whole).max() > 0.01
    run = subprocess.run(
        [sys.executable, "-m", "distil.predict", "--model", str(trained)], input="\n".join(TEXTS[:5]).encode(),
        capture_output=True, cwd=ROOT, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    np.testing.assert_allclose(scores_of(lines), scores_of(model.predict(TEXTS[:5])), atol=2e-6)


def test_fewer_pieces_leave_the_rows_of_the_table_where_they_were(room: Room, tmp_path: Path) -> None:
    (tmp_path / "swa.txt").write_text("\n".join(TEXTS[:9]), encoding="utf-8")
    whole = room.onnx / "int8"
    for options in (["--languages", "swa"], ["--languages", "swa", "--ort"]):
        shrink([str(whole), "--out", str(tmp_path / "out"), *options, "--text", str(tmp_path)])
        before, after = (Predictor(folder, 1) for folder in (whole, tmp_path / "out"))
        assert after.card.ngrams and after.card.pieces < before.card.pieces
        one, other = (scores_of(each.predict(TEXTS[:9])) for each in (before, after))
        np.testing.assert_allclose(one, other, atol=1e-6)


def scores_of(answers: Iterable[dict[str, Any]]) -> np.ndarray:
    """All scores of texts or of words, in one row."""
    found = [each["scores"] for each in answers]
    return np.array([score for each in found for score in (each.values() if isinstance(each, dict) else each)])


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as found:
        Predictor(folder, 1)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_a_lost_or_damaged_table_is_refused_by_torch(room: Room, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(room.source.folder, tmp_path / "seed-1"))
    whole = (folder / NGRAMS_FILE).read_bytes()
    (folder / NGRAMS_FILE).write_bytes(whole[:-7])
    assert "ngrams.safetensors: damaged" in refusal(folder)
    (folder / NGRAMS_FILE).unlink()
    assert "ngrams.safetensors: no such file, but the model of config.json has an n-gram table" in refusal(folder)
    with pytest.raises(UserError, match="no such file, but the model of config"):
        load_classifier(folder, room.kind, LABELS[room.kind], 24, "finetune")
    with pytest.raises(UserError, match="no such file, but the model of config"):
        export(room.source._replace(folder=folder), CONFIG, tmp_path / "onnx")
    run = subprocess.run([sys.executable, "-m", "distil.predict", "--model", str(folder)], input=b"a\n", cwd=ROOT,
                         capture_output=True, check=False)  # fmt: skip
    assert run.returncode == 1 and run.stderr.decode().count("\n") == 1 and not run.stdout


@pytest.mark.parametrize("beside", ["config.json", NGRAMS_FILE])
def test_a_graph_without_the_table_that_its_folder_declares_is_refused(
    room: Room, folder: Path, exports: Path, beside: str
) -> None:
    shutil.copyfile(exports / "models/onnx" / room.source.name / "fp32/model.onnx", folder / "model.onnx")
    manifest = read_json(folder / "manifest.json", "export")
    manifest["sha256"]["model.onnx"] = sha256_file(folder / "model.onnx")
    write_json(folder / "manifest.json", manifest)
    if beside == "config.json":
        (folder / NGRAMS_FILE).unlink()
    else:
        about = read_json(folder / "config.json", "export")
        write_json(folder / "config.json", {key: value for key, value in about.items() if key != "ngrams"})
    assert "model.onnx: expected a graph with an n-gram table" in refusal(folder)


def test_a_table_of_another_model_is_refused(room: Room, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(room.source.folder, tmp_path / "seed-1"))
    about = read_json(folder / "config.json", "export")
    labels = LABELS[room.kind][::-1]
    about["id2label"] = {str(number): label for number, label in enumerate(labels)}
    write_json(folder / "config.json", about | {"label2id": {label: number for number, label in enumerate(labels)}})
    expected = f"made for the labels {', '.join(LABELS[room.kind])}, but the model has {', '.join(labels)}"
    assert expected in refusal(folder)
