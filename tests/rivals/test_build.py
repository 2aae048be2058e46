"""Rivals from end to end: predictions of every seed, a folder that predicts, figures; bad input in one sentence."""

import shutil
from pathlib import Path

import pytest
import yaml

import distil
from distil.core.errors import UserError
from distil.core.files import read_json
from distil.evaluation.predictions import read_predictions
from distil.evaluation.rivals import load_rivals
from distil.rivals.cutting import kept_pieces
from tests.rivals.conftest import CONFIG
from tests.rivals.support import ENCODER, TEACHER, make, opened
from tests.support import ROOT, lab, toy

BLOCKS = {
    "full": {},
    "kept": {"vocabulary": "kept"},
    "layers": {"base": "models/teacher", "layers": 1, "vocabulary": "kept", "form": "weights"},
    "static": {"base": "models/teacher", "form": "static", "vocabulary": "kept"},
}


@pytest.mark.slow  # 90 s: each rival is exported for both tasks, and measured in two processes
@pytest.mark.parametrize("name", BLOCKS)
def test_a_rival_predicts_every_row_and_its_folder_says_the_same(room: Path, tmp_path: Path, name: str) -> None:
    if not Path("models/finetuned/teacher/names").is_dir():
        lab.tuned("teacher", "names", config=CONFIG)
    figures = make(tmp_path, ("words", "names"), **BLOCKS[name])
    answers = read_predictions(tmp_path / "predictions/words.csv", "rival@r")
    assert {code: list(each) for code, each in answers.items()} == {
        code: [0 if name == "static" else 1] for code in toy.LANGUAGES
    }
    assert all(len(each.gold) == 30 for by_seed in answers.values() for each in by_seed.values())
    assert read_json(tmp_path / "models/names/manifest.json", "")["ngrams"] is (name != "static")
    tags = read_predictions(tmp_path / "predictions/names.csv", "rival@r")
    assert all(len(each.gold) == 30 for by_seed in tags.values() for each in by_seed.values())
    texts, (said,) = lab.task_of("words").texts("swa", "test"), answers["swa"].values()
    predicted = [row["label"] for row in distil.load(tmp_path / "models/words").predict(texts)]
    # Activations are scaled by batch, so two batchings may differ where scores are level.
    assert sum(one == other for one, other in zip(predicted, said.predicted, strict=True)) >= 28
    if name == "full":
        manifest = read_json(Path("models/finetuned/teacher/words/manifest.json"), "")
        assert {code: each["float32"] for code, each in figures["tasks"]["words"]["dev"].items()} == (
            manifest["dev"]["seed-1"]
        )
    assert 0 <= figures["tasks"]["words"]["dev"]["yor"]["rival"] <= 1
    timed = figures["footprint"]["models"]
    assert set(timed) == {"teacher", "r"} and timed["r"]["disk_bytes"] == figures["tasks"]["words"]["bytes"]
    assert timed["r"]["short"]["texts_per_second"] > 0 < timed["r"]["peak_memory_mib"]


def test_weights_that_are_not_those_of_the_fine_tuned_model_are_refused(room: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for name in ("data", "models"):
        shutil.copytree(name, tmp_path / "here" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "here")
        weights = Path("models/finetuned/teacher/words/seed-1/model.safetensors")
        damaged = bytearray(weights.read_bytes())
        damaged[-1] ^= 1
        weights.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"{weights}: sha256: .*`dvc repro --force finetune_teacher@words`"):
            make(tmp_path / "out")
    assert not (tmp_path / "out/models").exists() and not (tmp_path / "out/predictions").exists()


def test_a_vocabulary_that_cannot_be_cut_is_refused(room: Path, tmp_path: Path, world: Path, monkeypatch) -> None:
    monkeypatch.setattr("distil.rivals.build.TOKENIZER", world / "models/tokenizer")
    with pytest.raises(
        UserError, match=r"rivals\.r\.vocabulary: kept, but vocabulary\.keep is full and nothing is cut"
    ):
        make(tmp_path / "full", vocabulary="kept")
    monkeypatch.undo()
    monkeypatch.chdir(room)
    with pytest.raises(UserError, match=r"but piece \d+ of models/tokenizer is .*, not .*; set it to full"):
        kept_pieces(Path("models/tokenizer"), Path("models/tokenizer"), "params.yaml: rivals.r")  # cut already


def test_an_unknown_base_and_too_many_layers_are_refused(room: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params.yaml: rivals.r.base: models/teechr: no such folder; expected"):
        opened(base="models/teechr")
    with pytest.raises(UserError, match=r"rivals.r.layers: expected at most 3, the layers of models/teacher, found 4"):
        make(tmp_path / "out", **{**ENCODER, "layers": 4})


@pytest.mark.parametrize(
    ("name", "block", "expected"),
    [
        (
            "r",
            {"base": "models/finetuned/techer"},
            "rivals.r.base: expected one of teacher, student, .* found 'models/fin",
        ),
        ("teacher", {}, "rivals.teacher: teacher is the name of a model that is scored anyway; choose another"),
        ("a-b", {}, "rivals.a-b: expected a name of letters, digits and underscores"),
        ("r", {"form": "int8"}, "rivals.r.form: input should be 'dynamic', 'weights' or 'static', found 'int8'"),
        (
            "r",
            {"layers": 2},
            "rivals.r: layers 2 takes an encoder such as models/teacher as base, found models/finetuned",
        ),
        ("r", {"form": "static"}, "rivals.r: form static takes an encoder such as models/teacher as base"),
        ("r", {"base": "x", "form": "static", "layers": 1}, "form static has no layers: expected layers 0, found 1"),
        ("r", {"bits": 4}, "rivals.r.bits: unknown key"),
    ],
)
def test_a_block_that_makes_no_sense_is_one_sentence(tmp_path: Path, name: str, block: dict, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"rivals": {name: TEACHER | block}}), encoding="utf-8")
    with pytest.raises(UserError, match=expected) as raised:
        load_rivals(path)
    assert "\n" not in str(raised.value)


def test_no_rivals_is_the_default_and_a_list_is_refused(tmp_path: Path) -> None:
    assert load_rivals(ROOT / "params.yaml") == {}
    (tmp_path / "params.yaml").write_text("rivals: [a]\n")
    with pytest.raises(UserError, match=r"rivals: expected blocks by name, or \{\} for none, found \['a'\]"):
        load_rivals(tmp_path / "params.yaml")
