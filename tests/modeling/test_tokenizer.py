"""model_max_length is what the model beside the tokenizer can read, wherever a tokenizer is written beside a model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from distil.core.errors import UserError
from distil.modeling.tokenizer import copy_tokenizer, limit_length, max_tokens
from distil.modeling.xlm_roberta import load_masked_lm
from distil.serving.onnx_export import export
from distil.student.model import save_student
from tests.support import lab
from tests.support.exported import CONFIG, make_model, source

WRONG: list[Any] = [..., 512.0, 10**30, 514, None]  # ... is: not there


def set_length(folder: Path, value: Any) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config = {name: each for name, each in {**config, "model_max_length": value}.items() if each is not ...}
    path.write_text(json.dumps(config), encoding="utf-8")


def length_of(folder: Path) -> int:
    written = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["model_max_length"]
    assert AutoTokenizer.from_pretrained(folder).model_max_length == written
    return int(written)


@pytest.mark.parametrize(("config", "tokens"), [
    ({"max_position_embeddings": 514, "pad_token_id": 1}, 512), ({"max_position_embeddings": 514}, 512),
    ({"max_position_embeddings": 66, "pad_token_id": 0}, 65),
])  # fmt: skip
def test_positions_are_counted_from_behind_padding(config: dict[str, int], tokens: int) -> None:
    assert max_tokens(config) == tokens


@pytest.mark.parametrize("value", WRONG)
def test_a_length_that_is_missing_or_wrong_is_set(world: Path, tmp_path: Path, value: Any) -> None:
    folder = Path(shutil.copytree(world / "models/teacher", tmp_path / "model"))
    before = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    set_length(folder, value)
    limit_length(folder)
    assert length_of(folder) == 64
    after = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert after == {**before, "model_max_length": 64}


def test_a_length_that_is_right_leaves_every_byte(world: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(world / "models/teacher", tmp_path / "model"))
    (folder / "tokenizer_config.json").write_text('{"model_max_length":64,  "x": "é"}', encoding="utf-8")
    limit_length(folder)
    assert (folder / "tokenizer_config.json").read_text(encoding="utf-8") == '{"model_max_length":64,  "x": "é"}'


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_damaged_tokenizer_config_is_named(world: Path, tmp_path: Path, content: str) -> None:
    folder = Path(shutil.copytree(world / "models/teacher", tmp_path / "model"))
    (folder / "tokenizer_config.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer_config\.json: damaged \(.*\); copy or download the folder again"):
        limit_length(folder)


@pytest.mark.parametrize("value", WRONG)
def test_students_and_classifiers_are_saved_with_the_length_that_they_read(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    tokenizer = Path(shutil.copytree(world / "models/tokenizer", tmp_path / "tokenizer"))
    set_length(tokenizer, value)
    save_student(load_masked_lm(world / "models/teacher", "teacher"), tokenizer, tmp_path)
    assert length_of(tmp_path) == 64
    (tmp_path / "other").mkdir()
    shutil.copyfile(world / "models/teacher/config.json", tmp_path / "other/config.json")
    copy_tokenizer(tokenizer, tmp_path / "other")
    assert length_of(tmp_path / "other") == 64


def test_a_fine_tuned_classifier_has_the_length_of_its_start(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.make_lab(tmp_path, world))
    set_length(Path("models/teacher"), 512)
    lab.tuned("teacher", "words")
    assert length_of(Path("models/finetuned/teacher/words/seed-1")) == 64


def test_an_exported_model_has_the_length_that_it_reads_in_both_precisions(tmp_path: Path) -> None:
    made = source(tmp_path, "masked_lm")
    make_model(made.folder, "masked_lm")
    set_length(made.folder, 10**30)
    export(made, CONFIG, tmp_path / "models/onnx/masked_lm")
    for precision in ("fp32", "int8"):
        assert length_of(tmp_path / "models/onnx/masked_lm" / precision) == 512
