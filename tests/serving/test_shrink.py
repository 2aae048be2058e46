"""`distil shrink`: the same answers from fewer pieces and from the format for phones, or one sentence."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distil.core.errors import UserError
from distil.core.files import read_json, write_json
from distil.serving.model_info import open_tokenizer, read_card
from distil.serving.predictor import Predictor
from distil.serving.shrink import main
from distil.text.views import TextView
from tests.support import ROOT, toy

TEXTS = toy.sentences(60, 0)  # the tokenizer's own text


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """swa.txt with half of the words, yor.txt with all."""
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "swa.txt").write_text("\n".join(TEXTS[:3]) + "\n", encoding="utf-8")
    (folder / "yor.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return folder


def scores(folder: Path, texts: list[str]) -> list:
    return [[*found["scores"].values()] if "label" in found else found["scores"]
            for found in Predictor(folder, 1).predict(texts)]  # fmt: skip


@pytest.mark.parametrize("name", ["words", "names"])
def test_texts_of_the_kept_language_get_the_same_scores_from_fewer_pieces(exports, text, tmp_path, name) -> None:
    whole, out = exports / "models/onnx" / name / "int8", tmp_path / "out"
    main([str(whole), "--out", str(out), "--languages", "swa", "--text", str(text)])
    for one, other in zip(scores(whole, TEXTS[:3]), scores(out, TEXTS[:3]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    card = read_card(out)
    assert card.languages == ["swa"] and card.pieces < read_card(whole).pieces
    tokenizer = open_tokenizer(out, card)
    assert not [text for text in toy.sentences(50, 8) if 3 in tokenizer.encode(text).ids]  # all letters are kept
    sizes = [(folder / file).stat().st_size for file in ("model.onnx", "tokenizer.json") for folder in (out, whole)]
    assert sizes[0] < sizes[1] and sizes[2] < sizes[3]
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole.iterdir())


def test_the_format_for_phones_gives_the_same_answers_and_names_its_operators(exports, text, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO, "distil")
    for name in ("words", "names"):
        whole, out = exports / "models/onnx" / name / "int8", tmp_path / name
        main([str(whole), "--out", str(out), "--ort", "--text", str(text)])
        for one, other in zip(scores(whole, TEXTS), scores(out, TEXTS), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
        assert sorted({path.name for path in out.iterdir()} ^ {path.name for path in whole.iterdir()}) == [
            "model.onnx", "model.ort", "required_operators.config",
        ]  # fmt: skip
        operators = (out / "required_operators.config").read_text(encoding="utf-8")
        assert "Gelu" in operators and "BitShift" in operators and str(tmp_path) not in operators
        assert read_json(out / "manifest.json", "export")["languages"] == toy.LANGUAGES
    assert f"shrink: yor: the same answer as before on 100.0 % of {text}/yor.txt" in caplog.messages
    with (tmp_path / "words/model.ort").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(UserError, match=r"model\.ort: damaged or of another model"):
        Predictor(tmp_path / "words", 1)


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        ({"marks": "drop"}, lambda line: line.replace("a", "á").replace("e", "ẹ̀")),
        ({"normalised": True}, lambda line: line.upper()),
    ],
)
def test_the_pieces_are_those_of_the_text_as_the_model_reads_it(exports, text, tmp_path, view, shown) -> None:
    whole = Path(shutil.copytree(exports / "models/onnx/words/int8", tmp_path / "words"))
    write_json(whole / "manifest.json", {**read_json(whole / "manifest.json", ""), **view})
    read = [TextView(**view)(line) for line in TEXTS[:3]]
    written = [shown(line) for line in read]
    assert written != read == [TextView(**view)(line) for line in written]
    found = {}
    for name, lines in (("read", read), ("written", written)):
        (text / "swa.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        main([str(whole), "--out", str(tmp_path / name), "--languages", "swa", "--text", str(text)])
        found[name] = (tmp_path / name / "tokenizer.json").read_bytes()
    assert found["read"] == found["written"]


def refusal(*arguments: object) -> str:
    with pytest.raises(UserError) as found:
        main([str(argument) for argument in arguments])
    assert "\n" not in str(found.value)
    return str(found.value)


def test_what_cannot_be_shrunk_is_refused_in_one_sentence_and_nothing_is_written(exports, text, tmp_path) -> None:
    onnx, out = exports / "models/onnx", tmp_path / "out"
    rest = ("--out", out, "--languages", "swa", "--text", text)
    assert "a masked LM, which has no task head; run `dvc repro export`" in refusal(onnx / "masked_lm/int8", *rest)
    assert "found a model not exported yet; run `dvc repro export`" in refusal(
        exports / "models/finetuned/student/words/seed-1", *rest
    )
    assert "models/onnx/none: no such folder" in refusal(onnx / "none", *rest)
    assert "expected a model in 8 bits, found fp32" in refusal(onnx / "words/fp32", *rest)
    assert "expected some of swa, yor, which this model has, found hau" in refusal(
        onnx / "words/int8", "--out", out, "--languages", "swa,hau", "--text", text
    )
    assert "text/swa.txt: no such file; run `dvc repro corpus`" in refusal(
        onnx / "words/int8", *rest[:-1], out / "text"
    )
    assert "with the model in it; give another name" in refusal(
        onnx / "words/int8", "--out", onnx / "words", "--languages", "swa", "--text", text
    )
    assert not out.exists()


def test_a_language_that_was_trimmed_away_and_a_text_of_100_000_characters_are_told(exports, text, tmp_path) -> None:
    out = tmp_path / "swa"
    main([str(exports / "models/onnx/words/int8"), "--out", str(out), "--languages", "swa", "--text", str(text)])
    assert "expected some of swa, which this model has, found yor" in refusal(
        out, "--out", tmp_path / "yor", "--languages", "yor", "--text", text
    )
    command = [sys.executable, "-m", "distil", "predict", "--model", str(out), "--language"]
    for language, status in (("yor", 1), ("swa", 0)):
        done = subprocess.run([*command, language], input=b"o" * 100_000, cwd=ROOT, capture_output=True,
                              env={**os.environ})  # fmt: skip
        assert done.returncode == status
        if status:
            assert b"--language: expected swa, found yor; give a model that has it" in done.stderr
        else:
            assert "65,536" in json.loads(done.stdout)["error"]
