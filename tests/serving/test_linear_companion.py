"""A linear model beside an exported classifier: its features, its fit, what it says, and what it refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import distil
from distil.core.errors import UserError
from distil.core.files import read_json, write_json
from distil.evaluation.config import CompanionConfig
from distil.serving.companion_fit import Fitted, fit_companion, write_companion
from distil.serving.hashed_ngrams import hashed_ngrams
from distil.serving.linear_companion import COMPANION_FILE
from distil.serving.predictor import Predictor
from distil.serving.shrink import main as shrink
from distil.tasks.data import Task, read_task
from tests.support import ROOT
from tests.support.companion import without_share
from tests.support.exported import LABELS

BITS = 10
WORDS = {"kin": {"good": "amahoro", "fair": "bisanzwe", "bad": "ububabare"},
         "swa": {"good": "nzuri", "fair": "kawaida", "bad": "mbaya"}}  # fmt: skip


def write_task(folder: Path, only: str | None = None) -> Task:
    """A word says the label; words around it the language."""
    rng, languages = np.random.default_rng(0), {}
    for code, words in WORDS.items():
        (folder / code).mkdir(parents=True)
        languages[code] = {}
        for split, count in (("train", 60), ("dev", 30), ("test", 30)):
            rows = []
            for _ in range(count):
                label = only or str(rng.choice(list(words)))
                rows.append({"text": f"{code}{rng.integers(9)} {words[label]} {code}{rng.integers(9)}", "label": label})
            (folder / code / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            languages[code][split] = {"rows": count}
    labels = LABELS["text_classification"]
    write_json(
        folder / "manifest.json",
        {"task": "words", "kind": "text_classification", "labels": labels, "languages": languages},
    )
    return read_task(folder)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return write_task(tmp_path_factory.mktemp("task") / "words")


@pytest.fixture(scope="module")
def exported(exports: Path) -> Path:
    return exports / "models/onnx/words/int8"


@pytest.fixture(scope="module")
def fitted(task: Task, exported: Path) -> Fitted:
    return fit_companion(task, Predictor(exported), list(WORDS), CompanionConfig(tasks=("words",), bits=BITS))


@pytest.fixture
def folder(fitted: Fitted, exported: Path, tmp_path: Path) -> Path:
    write_companion(fitted, exported, tmp_path / "words/int8")
    return tmp_path / "words/int8"


def test_a_text_has_the_rows_of_its_words_pairs_and_characters() -> None:
    rows, values = hashed_ngrams("Aka AKA b", 8)
    half = rows < 256
    # Two times `aka`, `b`, `aka aka`, `aka b`; CRC-32 of `aka` ends with 0xa7.
    assert len(rows[half]) == 4 and 0xA7 in rows
    assert values[rows == 0xA7] == pytest.approx((1 + np.log(2)) / np.sqrt((1 + np.log(2)) ** 2 + 3))
    # Of ` aka `: 4 pairs, 3 triples, 2 of four, itself; of ` b `: 2 pairs and itself.
    assert (~half).sum() == 13 and (np.diff(rows) > 0).all()
    assert np.square(values[half]).sum() == pytest.approx(1) and np.square(values[~half]).sum() == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "  ", "\ud83d", "ẹ̀kọ́ 😀"])
def test_any_text_has_features_or_none(text: str) -> None:
    rows, values = hashed_ngrams(text, BITS)
    assert len(rows) == len(values) and np.isfinite(values).all() and (len(rows) > 0) == bool(text.strip())


def test_the_mixture_knows_what_the_random_classifier_does_not(fitted: Fitted) -> None:
    for code, found in fitted.predictions.items():
        assert np.mean(found.gold == found.predicted[0]) > 0.9
        assert fitted.figures[code]["share"] > 0.8 and fitted.figures[code]["language_guessed"] > 0.9


def test_the_served_folder_says_what_was_scored(fitted: Fitted, folder: Path, task: Task) -> None:
    predictor = Predictor(folder)
    for code, found in fitted.predictions.items():
        answers = predictor.predict(task.texts(code, "test"))
        assert [LABELS["text_classification"].index(each["label"]) for each in answers] == found.predicted[0].tolist()
        assert {each["language"] for each in answers} == {code}
        assert all(abs(sum(each["scores"].values()) - 1) < 1e-5 for each in answers)
    given = distil.load(folder, language="kin").predict(task.texts("swa", "test"))
    assert {each["language"] for each in given} == {"kin"}


def test_a_model_shrunk_to_one_language_has_its_linear_model_only(folder: Path, task: Task, tmp_path: Path) -> None:
    texts = task.texts("swa", "test")
    (tmp_path / "swa.txt").write_text("\n".join(texts), encoding="utf-8")
    shrink([str(folder), "--out", str(tmp_path / "swa"), "--languages", "swa", "--text", str(tmp_path)])
    whole, small = Predictor(folder, 1, "swa"), Predictor(tmp_path / "swa", 1)
    assert list(small.companion.languages) == ["swa"] and small.companion.guesser is None
    scores = [[list(each["scores"].values()) for each in one.predict(texts)] for one in (whole, small)]
    np.testing.assert_allclose(*scores, atol=2e-6)
    both = whole.companion.keep(["swa", "kin"])
    assert [both.guess(*hashed_ngrams(text, BITS)) for text in texts] == ["swa"] * len(texts)
    with pytest.raises(UserError, match="--language: expected swa, found kin"):
        Predictor(tmp_path / "swa", 1, "kin")


def test_without_a_share_the_classifier_is_left_as_it_is(
    fitted: Fitted, exported: Path, tmp_path: Path, task: Task
) -> None:
    write_companion(without_share(fitted), exported, tmp_path / "int8")
    texts = task.texts("kin", "test")
    before, after = Predictor(exported).predict(texts), Predictor(tmp_path / "int8").predict(texts)
    assert [each["scores"] for each in after] == [each["scores"] for each in before]


def test_the_same_rows_give_the_same_bytes(
    fitted: Fitted, exported: Path, folder: Path, task: Task, tmp_path: Path
) -> None:
    config = CompanionConfig(tasks=("words",), bits=BITS)
    write_companion(fit_companion(task, Predictor(exported), list(WORDS), config), exported, tmp_path / "again")
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    assert all((folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_the_prediction_command_needs_neither_torch_nor_scikit_learn(folder: Path) -> None:
    code = (
        "import sys, distil; print(distil.load(sys.argv[1]).predict(['kin1 amahoro'])[0]['label'], "
        "sorted({'torch', 'sklearn', 'scipy', 'transformers'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "good []\n"


def _cut(folder: Path) -> None:
    path = folder / COMPANION_FILE
    path.write_bytes(path.read_bytes()[:-100])


def _unlisted(folder: Path) -> None:
    manifest = read_json(folder / "manifest.json", "")
    del manifest["sha256"][COMPANION_FILE]
    write_json(folder / "manifest.json", manifest)
    _cut(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / COMPANION_FILE).unlink(), "linear.npz: no such file"),
        (_cut, "linear.npz: damaged or of another model"),
        (_unlisted, "linear.npz: damaged"),
    ],
)
def test_a_lost_or_damaged_companion_is_refused(folder: Path, damage, said: str) -> None:
    damage(folder)
    with pytest.raises(UserError, match=said):
        Predictor(folder)


def test_a_companion_of_other_labels_is_refused(folder: Path, exports: Path, tmp_path: Path) -> None:
    other = shutil.copytree(exports / "models/onnx/names/int8", tmp_path / "names")
    shutil.copy(folder / COMPANION_FILE, other)
    config = read_json(other / "config.json", "")
    config["id2label"] = {"0": "O", "1": "B-PER"}
    write_json(other / "config.json", config)
    write_json(other / "manifest.json", {})
    with pytest.raises(UserError, match="expected 2 labels as config.json has, found \\[3\\]"):
        Predictor(other)


def test_a_language_that_it_does_not_have_is_refused(folder: Path, exported: Path) -> None:
    with pytest.raises(UserError, match="--language: expected kin, swa, found yor"):
        Predictor(folder, language="yor")
    with pytest.raises(UserError, match="--language: expected swa, yor, found kin; give a model that has it"):
        Predictor(exported, language="kin")


def test_rows_of_one_label_are_refused(tmp_path: Path, exported: Path) -> None:
    one = write_task(tmp_path / "one", only="good")
    with pytest.raises(UserError, match=r"kin/train.jsonl: expected enough rows of two labels .* found \[60, 0, 0\]"):
        fit_companion(one, Predictor(exported), list(WORDS), CompanionConfig(tasks=("words",), bits=BITS))
