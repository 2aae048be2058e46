"""ONNX folders: the same answers as torch at every shape, the same bytes each time, loaded by others as they are."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from distil.core.errors import UserError
from distil.core.files import read_json, write_json
from distil.serving.onnx_export import export, find_sources
from distil.serving.runtime import OnnxRuntime, PaddedBatch
from distil.serving.torch_runtime import TorchRuntime
from tests.support import ROOT, toy
from tests.support.exported import CLASSES, CONFIG, LABELS, source

AUTO = {
    "text_classification": AutoModelForSequenceClassification,
    "token_classification": AutoModelForTokenClassification,
    "masked_lm": AutoModelForMaskedLM,
}
SHAPES = [(1, 1), (1, 2), (2, 1), (1, 7), (3, 11), (16, 33), (1, 512), (2, 512)]


def batch(rows: int, tokens: int, pieces: int) -> PaddedBatch:
    rng = np.random.default_rng(rows * 1000 + tokens)
    ids, mask = rng.integers(4, pieces - 1, (rows, tokens)), np.ones((rows, tokens), np.int64)
    if rows > 1:
        ids[0, 1:], mask[0, 1:] = 1, 0
    return PaddedBatch(ids, mask)


@pytest.mark.parametrize("kind", CLASSES)
def test_float32_onnx_says_what_torch_says_at_every_shape(exports, kind) -> None:
    made = source(exports, kind)
    whole = OnnxRuntime(exports / "models/onnx" / made.name / "fp32/model.onnx", 1)
    trained = TorchRuntime(made.folder, kind)
    for rows, tokens in SHAPES:
        given = batch(rows, tokens, trained.model.config.vocab_size)
        expected, found = trained.logits(*given), whole.logits(*given)
        real = given.attention_mask.astype(bool) if expected.ndim == 3 else np.ones(rows, bool)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found[real], expected[real], atol=2e-5, err_msg=f"{rows} x {tokens}")


@pytest.mark.parametrize("kind", CLASSES)
def test_int8_runs_at_every_shape_and_stays_near(exports, kind) -> None:
    made = source(exports, kind)
    small = OnnxRuntime(exports / "models/onnx" / made.name / "int8/model.onnx", 1)
    trained = TorchRuntime(made.folder, kind)
    for rows, tokens in SHAPES:
        given = batch(rows, tokens, trained.model.config.vocab_size)
        expected, found = trained.logits(*given), small.logits(*given)
        assert np.abs(found - expected)[given.attention_mask.astype(bool) if expected.ndim == 3 else ...].mean() < (
            0.1 * expected.std()
        )


@pytest.mark.parametrize("kind", CLASSES)
def test_the_float32_folder_loads_in_transformers_with_no_other_code(exports, kind) -> None:
    made = source(exports, kind)
    folder = exports / "models/onnx" / made.name / "fp32"
    model, tokenizer = AUTO[kind].from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    given = tokenizer(["zuri sana", "baya"], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.isfinite(model.eval()(**given).logits).all()
    assert list(model.config.id2label.values()) == LABELS[kind] or kind == "masked_lm"


def test_the_int8_folder_has_a_tokenizer_that_gives_the_same_ids(exports) -> None:
    texts = [*toy.sentences(50, 9), "ọ̀rọ̀ ɓoye 😀 @user", "<mask> a"]
    for kind in CLASSES:
        made = source(exports, kind)
        first, second = (AutoTokenizer.from_pretrained(folder) for folder in
                         (made.folder, exports / "models/onnx" / made.name / "int8"))  # fmt: skip
        assert first(texts)["input_ids"] == second(texts)["input_ids"]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_matrix_is_kept_in_8_bits_the_embeddings_included(exports, kind) -> None:
    folder = exports / "models/onnx" / source(exports, kind).name
    tensors = onnx.load(folder / "int8/model.onnx").graph.initializer
    assert not [
        t.name for t in tensors if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) > 1 and min(t.dims) > 1
    ]
    tables = [t for t in tensors if "embeddings" in t.name and len(t.dims) == 2]
    assert {tuple(t.dims)[0] for t in tables} >= {514}


def test_the_manifest_states_opset_axes_and_where_it_comes_from(exports) -> None:
    folder = exports / "models/onnx/words"
    manifest = read_json(folder / "int8/manifest.json", "export")
    assert manifest["opset"] == 20 and manifest["precision"] == "int8"
    assert manifest["inputs"] == dict.fromkeys(("input_ids", "attention_mask"), ["batch", "tokens"])
    assert manifest["outputs"] == {"logits": ["batch", 3]}
    for precision in ("fp32", "int8"):
        graph = onnx.load(folder / precision / "model.onnx")
        assert {o.version for o in graph.opset_import if not o.domain} == {20}
        assert [d.dim_param for d in graph.graph.input[0].type.tensor_type.shape.dim] == ["batch", "tokens"]


def test_the_same_model_gives_the_same_bytes_and_no_path_of_this_machine(exports, tmp_path) -> None:
    made = source(exports, "text_classification")
    export(made, CONFIG, tmp_path / "again")
    for path in sorted((tmp_path / "again").rglob("*.*")):
        assert path.read_bytes() == (exports / "models/onnx/words" / path.relative_to(tmp_path / "again")).read_bytes()
        assert str(ROOT).encode() not in path.read_bytes()


def test_the_exported_manifest_names_the_view_that_the_classifier_was_trained_on(exports, tmp_path) -> None:
    made = source(exports, "text_classification")
    task = Path(shutil.copytree(made.folder.parent, tmp_path / "words"))
    manifest = read_json(task / "manifest.json", "")
    for view in ({"normalised": True, "marks": "drop", "script": "latin"}, {"normalised": False}):
        write_json(task / "manifest.json", manifest | view)
        export(made._replace(folder=task / "seed-1"), CONFIG, tmp_path / "out")
        for precision in ("fp32", "int8"):
            found = read_json(tmp_path / "out" / precision / "manifest.json", "")
            assert {key: found[key] for key in ("normalised", "marks", "script") if key in found} == view


def test_one_joint_model_or_one_for_each_language_of_the_best_seed_by_dev(exports, tmp_path) -> None:
    finetuned, student = exports / "models/finetuned/student", exports / "models/student"
    joint = find_sources(finetuned, student, ["words", "names"], [], toy.LANGUAGES, True)
    assert [(one.name, one.folder.name, one.kind) for one in joint] == [
        ("words", "seed-1", "text_classification"), ("names", "seed-1", "token_classification"),
        ("masked_lm", "student", "masked_lm"),
    ]  # fmt: skip
    manifest = read_json(finetuned / "words/manifest.json", "finetune")
    dev = {"seed-7/swa": 0.6, "seed-8/swa": 0.6, "seed-7/yor": 0.5, "seed-8/yor": 0.7}
    separate = {**manifest, "languages_mode": "separate", "seeds": [7, 8],
                "dev": {run: {run[-3:]: score} for run, score in dev.items()}}  # fmt: skip
    write_json(tmp_path / "words/manifest.json", separate)
    found = find_sources(tmp_path, student, ["words"], [], toy.LANGUAGES, False)
    assert [(one.name, one.folder, one.languages) for one in found] == [
        ("words-swa", tmp_path / "words/seed-7/swa", ["swa"]), ("words-yor", tmp_path / "words/seed-8/yor", ["yor"]),
    ]  # fmt: skip
    dev = {"seed-7": {"swa": 0.5, "yor": 0.6}, "seed-8": {"swa": 0.4, "yor": 0.8}}
    write_json(tmp_path / "words/manifest.json", {**separate, "languages_mode": "joint", "dev": dev})
    assert find_sources(tmp_path, student, ["words"], [], toy.LANGUAGES, False)[0].folder == tmp_path / "words/seed-8"


def test_a_merged_student_is_exported_where_there_is_to_be_one(exports, tmp_path) -> None:
    student, manifest = (
        exports / "models/student",
        read_json(exports / "models/finetuned/student/words/manifest.json", ""),
    )
    merged = {**manifest, "seeds": [0], "dev": {"seed-0": {"swa": 0.5}}}
    write_json(tmp_path / "merged/words/manifest.json", merged)
    found = find_sources(tmp_path, student, ["words"], ["words"], toy.LANGUAGES, False)
    assert found[0].folder == tmp_path / "merged/words/seed-0" and found[0].name == "words"
    with pytest.raises(
        UserError, match="merged/words/manifest.json: no such file; run `dvc repro merge_student@words`"
    ):
        find_sources(exports / "models/finetuned/student", student, ["words"], ["words"], toy.LANGUAGES, False)


def test_what_cannot_be_exported_is_refused_by_name(exports, tmp_path) -> None:
    student = exports / "models/student"
    with pytest.raises(UserError, match="manifest.json: no such file; run `dvc repro finetune_student@words`"):
        find_sources(tmp_path, student, ["words"], [], toy.LANGUAGES, False)
    with pytest.raises(UserError, match="masked_lm is the folder of the masked LM; rename the task"):
        find_sources(tmp_path, student, ["masked_lm"], [], toy.LANGUAGES, False)
    write_json(tmp_path / "words/manifest.json", {"kind": "text_classification", "seeds": []})
    with pytest.raises(UserError, match="damaged .*dvc repro --force finetune_student@words"):
        find_sources(tmp_path, student, ["words"], [], toy.LANGUAGES, False)
    made = source(exports, "text_classification")
    shutil.copytree(made.folder, tmp_path / "cut")
    weights = (tmp_path / "cut/model.safetensors").read_bytes()
    (tmp_path / "cut/model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(UserError, match=r"cut/model\.safetensors: damaged"):
        export(made._replace(folder=tmp_path / "cut"), CONFIG, tmp_path / "onnx")
    assert not (tmp_path / "onnx/fp32").exists()
