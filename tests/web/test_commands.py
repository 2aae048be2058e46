"""`distil demo` and `distil web`: what they write, and a sentence for each input that is no model."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, normalizers
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distil.core.errors import UserError
from distil.core.files import read_json, write_json
from distil.publish import plan
from distil.serving.predictor import Predictor
from distil.tasks.tag_decoding import write_transitions
from distil.web import demo as demo_module
from distil.web import normalizer, runtime
from distil.web.demo import write_demo
from distil.web.folder import main as web
from distil.web.folder import write_web_folder
from distil.web.normalizer import read_spec
from tests.support import ROOT, toy
from tests.support.exported import MAX_LENGTH
from tests.web.texts import odd_texts


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A node_modules folder with the names and versions of the packages, and nothing in its files."""
    for package, version in runtime.versions().items():
        write_json(tmp_path / "modules" / package / "package.json", {"version": version})
    for file in runtime.FILES.values():
        (tmp_path / "modules" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "modules" / file).write_text("// nothing\n")
    return tmp_path / "modules"


def test_the_folder_for_transformers_js_is_a_transformers_checkpoint_that_can_be_published(exports, tmp_path) -> None:
    exported, out = exports / "models/onnx/words", tmp_path / "web/words"
    write_web_folder(exported, out)
    write_web_folder(exported, out)  # in place of the first
    assert AutoModelForSequenceClassification.from_pretrained(out).config.id2label[0] == "good"
    tokenizer, lines = AutoTokenizer.from_pretrained(out), toy.sentences(50, 3)
    rows = Predictor(exported / "int8", 1).encode(lines)
    assert tokenizer(lines, truncation=True)["input_ids"] == rows and tokenizer.model_max_length == MAX_LENGTH
    assert read_json(out / "special_tokens_map.json", "")["mask_token"] == "<mask>"
    assert Predictor(out, 1)(lines[:3]) == Predictor(exported / "fp32", 1)(lines[:3])  # through torch
    (tmp_path / "card.md").write_text("# Card\n\n## Use\n")
    names = {file.path for file in plan(out, tmp_path / "card.md")}
    assert {"onnx/model.onnx", "onnx/model_quantized.onnx", "model.safetensors", "tokenizer.json"} <= names


def test_the_models_are_no_second_copy_and_the_settings_are_their_own(exports, tmp_path) -> None:
    exported = Path(shutil.copytree(exports / "models/onnx/words", tmp_path / "words"))
    write_web_folder(exported, tmp_path / "web")
    for name, source in (("onnx/model.onnx", "fp32/model.onnx"), ("onnx/model_quantized.onnx", "int8/model.onnx")):
        assert (tmp_path / "web" / name).samefile(exported / source)
    assert not (tmp_path / "web/config.json").samefile(exported / "fp32/config.json")


def test_without_links_the_files_are_copied(exports, tmp_path, monkeypatch) -> None:
    def refused(*names: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    write_web_folder(exports / "models/onnx/words", tmp_path / "web")
    expected = (exports / "models/onnx/words/int8/model.onnx").read_bytes()
    assert (tmp_path / "web/onnx/model_quantized.onnx").read_bytes() == expected


def test_the_command_says_how_it_is_loaded_and_what_it_lacks(exports, modules, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    exported = Path(shutil.copytree(exports / "models/onnx/names", tmp_path / "names"))
    monkeypatch.setattr(sys, "argv", ["distil web", "--model", str(exported)])
    web()
    said = capsys.readouterr().err
    assert '`await pipeline("token-classification", "./web/names")`' in said and "companion" not in said
    (exported / "int8/linear.npz").write_bytes(b"")
    web()
    assert "without linear.npz, the linear companion that `distil predict` adds" in capsys.readouterr().err
    write_demo([exported / "int8"], tmp_path / "demo", modules)
    assert read_json(tmp_path / "demo/settings.json", "")["models"][0]["companion"]


def test_transitions_are_in_the_settings_of_the_page_and_the_folder_says_that_it_lacks_them(
    exports, modules, tmp_path, monkeypatch, capsys
) -> None:
    exported = Path(shutil.copytree(exports / "models/onnx/names", tmp_path / "names"))
    config, labels = read_json(exported / "int8/config.json", ""), ["O", "B-PER", "I-PER"]
    write_json(exported / "int8/config.json", config | {"transitions": "transitions.json"})
    write_transitions(exported / "int8", labels, np.arange(12.0).reshape(4, 3))
    write_demo([exported / "int8", exports / "models/onnx/words/int8"], tmp_path / "demo", modules)
    with_chain, without = read_json(tmp_path / "demo/settings.json", "")["models"]
    assert with_chain["transitions"] == np.arange(12.0).reshape(4, 3).tolist() and "transitions" not in without
    monkeypatch.setattr(sys, "argv", ["distil web", "--model", str(exported), "--out", str(tmp_path / "web")])
    web()
    assert "without transitions.json, with which `distil predict` decodes the tags" in capsys.readouterr().err


def test_the_rules_are_what_the_table_does_and_another_table_is_refused(tmp_path, monkeypatch) -> None:
    """The ids of odd texts in NFC stay the same; test_javascript.py compares JavaScript with the table itself."""
    whole = Tokenizer.from_file(str(ROOT / "distil/sample_teacher/tokenizer.json"))
    spec = read_spec(ROOT / "distil/sample_teacher")
    write_json(tmp_path / "tokenizer.json", spec)
    plain = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in odd_texts(10):
        text = normalizers.NFC().normalize_str(text)
        assert plain.encode(text).ids == whole.encode(text).ids, text
    assert (tmp_path / "tokenizer.json").stat().st_size < 200_000
    assert read_spec(tmp_path) == spec  # rules stay
    monkeypatch.setattr(normalizer, "MOST_OTHERS", 0)
    with pytest.raises(UserError, match=r"expected a table of characters that follows NFKC, .* for 2 characters; Java"):
        read_spec(ROOT / "distil/sample_teacher")


def test_what_is_no_exported_classifier_or_tagger_is_refused(exports, modules, tmp_path) -> None:
    onnx, out = exports / "models/onnx", tmp_path / "demo"
    for folder, said in (
        (onnx / "masked_lm/int8", r"masked_lm/int8: a masked language model has no task head; give a classifier or a"),
        (
            exports / "models/finetuned/student/words/seed-1",
            "not exported yet: expected model.onnx; run `dvc repro exp",
        ),
        (tmp_path / "nothing", "nothing: no such folder; give one with a model in it"),
        (onnx / "words", "words: expected config.json and model.onnx or model.safetensors, found fp32, int8"),
    ):
        with pytest.raises(UserError, match=said):
            write_demo([folder], out, modules)
    cut = Path(shutil.copytree(onnx / "words/int8", tmp_path / "cut"))
    (cut / "model.onnx").write_bytes(b"ONNX")
    with pytest.raises(UserError, match=r"cut/model\.onnx: damaged or of another model"):
        write_demo([cut], out, modules)
    for folder in (onnx / "words/int8", tmp_path / "nothing"):
        with pytest.raises(UserError, match="expected fp32/model.onnx and int8/model.onnx, found .*; give a folder"):
            write_web_folder(folder, out)
    assert not out.exists()


def test_a_folder_with_something_else_in_it_is_left_alone(exports, modules, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    for write in (lambda out: write_demo([exports / "models/onnx/words/int8"], out, modules),
                  lambda out: write_web_folder(exports / "models/onnx/words", out)):  # fmt: skip
        with pytest.raises(UserError, match="--out: .*mine: expected no folder, an empty one or an earlier result"):
            write(tmp_path / "mine")
        with pytest.raises(UserError, match=r"--out: expected the name of a folder, found the file .*thesis\.txt"):
            write(tmp_path / "mine/thesis.txt")
    assert (tmp_path / "mine/thesis.txt").read_text() == "mine"


def test_two_models_of_one_task_are_told_apart_and_a_new_demo_is_a_new_version(exports, modules, tmp_path) -> None:
    words, heads = exports / "models/onnx/words", []
    for models in ([words / "int8", words / "fp32"], [words / "int8"], [words / "int8"]):
        write_demo(models, tmp_path / "demo", modules)
        heads.append((tmp_path / "demo/service-worker.js").read_text().partition("\n")[0])
        names = [one["name"] for one in read_json(tmp_path / "demo/settings.json", "")["models"]]
        assert names == (["words/int8", "words/fp32"] if len(models) > 1 else ["words"])
    assert heads[0] != heads[1] == heads[2]
    listed = (tmp_path / "demo/service-worker.js").read_text()
    files = {
        path.relative_to(tmp_path / "demo").as_posix() for path in (tmp_path / "demo").rglob("*") if path.is_file()
    }
    assert all(f'"{file}"' in listed for file in files - {"service-worker.js"}) and "models/1/model.onnx" in files


def test_a_runtime_that_is_missing_or_of_another_version_is_named(exports, modules, tmp_path, monkeypatch) -> None:
    words, package = exports / "models/onnx/words/int8", "onnxruntime-web"
    version = runtime.versions()[package]
    (modules / runtime.FILES["ort.wasm"]).unlink()
    with pytest.raises(
        UserError, match=f"expected {package} {version}, found no {package}/dist/.*wasm; run `npm install"
    ):
        write_demo([words], tmp_path / "demo", modules)
    write_json(modules / package / "package.json", {"version": "1.0.0"})
    with pytest.raises(
        UserError, match=f"expected {package} {version}, found 1.0.0; run `npm install .* --runtime|node_mod"
    ):
        write_demo([words], tmp_path / "demo", modules)
    with pytest.raises(UserError, match="found no such package"):
        write_demo([words], tmp_path / "demo", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="npm is not installed here; install Node.js, or run `npm install .* --runtime"):
        write_demo([words], tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_npm_is_asked_once_for_the_locked_versions(exports, tmp_path, monkeypatch, fails) -> None:
    """A stand-in for npm: it writes the files, or an error, where npm would."""
    npm = tmp_path / "npm"
    files = " ".join(runtime.FILES.values())
    work = f'for f in {files}; do mkdir -p "node_modules/$(dirname $f)"; echo "// $f" > "node_modules/$f"; done'
    npm.write_text(
        f"#!/bin/sh\necho \"$@\" >> {tmp_path}/asked\n"
        + ("echo 'npm error network timeout' >&2; exit 1" if fails else f"test -f package-lock.json || exit 2\n{work}")
    )  # fmt: skip
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if fails:
        with pytest.raises(
            UserError, match=r"npm could not fetch .* \(npm error network timeout\); see to the network"
        ):
            write_demo([exports / "models/onnx/words/int8"], tmp_path / "demo")
        return
    for _ in range(2):
        write_demo([exports / "models/onnx/words/int8"], tmp_path / "demo")
    assert (tmp_path / "asked").read_text() == "ci --ignore-scripts --no-audit --no-fund\n"
    assert "onnxruntime-web" in (tmp_path / "demo/runtime/ort.js").read_text()


def test_text_without_languages_is_refused(exports, tmp_path, monkeypatch) -> None:
    line = ["distil demo", "--model", str(exports / "models/onnx/words/int8"), "--text", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(UserError, match=r"--text: .*: expected a folder with LANG\.txt of each language, found none"):
        demo_module.main()


def test_a_model_that_transliterates_is_refused_by_both_commands(exports, modules, tmp_path) -> None:
    exported = Path(shutil.copytree(exports / "models/onnx/words", tmp_path / "words"))
    for precision in ("fp32", "int8"):
        path = exported / precision / "manifest.json"
        write_json(path, {**read_json(path, ""), "script": "latin"})
    expected = "a model of texts in Latin letters .*, and a browser cannot transliterate others; give one whose task"
    with pytest.raises(UserError, match=expected):
        write_web_folder(exported, tmp_path / "web")
    with pytest.raises(UserError, match=expected):
        write_demo([exported / "int8"], tmp_path / "demo", modules)
    assert not (tmp_path / "web").exists() and not (tmp_path / "demo").exists()
