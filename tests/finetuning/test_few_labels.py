"""Hidden labels reach nothing: no weight, no prediction, no soft label; and what a student learns in their place."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from distil.core.files import read_json, write_checksums
from distil.evaluation.config import FewLabelsConfig
from distil.evaluation.few_labels import known_rows
from distil.finetuning.encoding import Encoder
from distil.finetuning.word_masks import WordMasks
from distil.modeling.tokenizer import load_tokenizer, special_ids
from stages import baselines, finetune, mix_teachers
from tests.support import ROOT, lab, toy

FEW = FewLabelsConfig(languages=("yor",), rows=5)


def write_params(root: Path) -> None:
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["languages"] = toy.LANGUAGES
    tree["evaluate"] |= {"tasks": ["words", "names"], "seeds": [1], "few_labels": FEW.model_dump(mode="json")}
    pace = {"epochs": 2, "min_steps": 0, "learning_rate": 0.002, "tagger_learning_rate": 0.002}
    tree["finetune"] |= {
        "teacher": pace, "student": pace | {"shared_head": False}, "batch_size": 16, "max_length": 40,
        "unlabelled": {"weight": "entropy", "mask_words": 0.2},
        "task_teachers": {"use": ["transformer", "linear"], "path": "distil/lexicons", "tags": "words", "sequences": 5},
    }  # fmt: skip
    (root / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


def relabel(name: str, which: str) -> int:
    """Give the rows of yor that are hidden (or known) another row's label; returns how many labels changed."""
    task, changed = lab.task_of(name), 0
    known = {"train": known_rows(task, "yor", FEW), "dev": np.zeros(len(task.rows("yor", "dev")), np.bool_)}
    for split, kept in known.items():
        path = task.folder / "yor" / f"{split}.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row, keeps in zip(rows, kept, strict=True):
            if keeps == (which == "known"):
                before = json.dumps(row)
                if "label" in row:
                    row["label"] = lab.LABELS[name][1 - lab.LABELS[name].index(row["label"])]
                else:
                    row["tags"] = ["B-PER" if tag == "O" else "O" for tag in row["tags"]]
                changed += json.dumps(row) != before
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    write_checksums(task.folder)
    return changed


def learned(name: str, *models: str) -> dict[str, bytes]:
    """Run the stages of a task; every weight, soft label and prediction by path."""
    baselines.main(name)
    for model in ("teacher", *models):
        if model == "student":
            mix_teachers.main(name)
        finetune.main(model, name)
    files = [*Path("models/finetuned").rglob("*.safetensors"), *Path("data").glob("*_targets/**/*.safetensors"),
             *Path("metrics/predictions").rglob("*.csv")]  # fmt: skip
    return {path.as_posix(): path.read_bytes() for path in sorted(files)}


@pytest.fixture
def room(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = lab.make_lab(tmp_path, world)
    monkeypatch.chdir(root)
    write_params(root)
    return root


@pytest.mark.parametrize("name", ["words", "names"])
def test_other_hidden_labels_leave_every_weight_and_prediction_as_it_is(room: Path, name: str) -> None:
    before = learned(name, "student", "student_plain")
    assert {path.split("/")[2] for path in before if path.startswith("models")} == {
        "teacher", "student", "student_plain"}  # fmt: skip
    assert sum("_targets" in path for path in before) == 4
    manifest = read_json(Path(f"models/finetuned/student/{name}/manifest.json"), "")
    assert manifest["rows"]["yor"] == {"labelled": 5, "unlabelled": 91 + 20, "units_cut_off": 0}
    assert list(manifest["dev"]["seed-1"]) == ["swa"] and manifest["few_labels"]["rows"] == 5
    assert manifest["recipe"]["unlabelled"] == {"weight": "entropy", "mask_words": 0.2}
    plain = read_json(Path(f"models/finetuned/student_plain/{name}/manifest.json"), "")
    assert plain["rows"]["yor"] == {"labelled": 5, "unlabelled": 0, "units_cut_off": 0}
    assert "unlabelled" not in plain["recipe"]
    assert relabel(name, "hidden") == 91 + 20
    for folder in ("models/finetuned", "data/task_targets", "data/mixed_targets", "metrics"):
        shutil.rmtree(folder)
    assert learned(name, "student", "student_plain") == before
    # and a label that is not hidden does reach them, or this test could not fail
    assert relabel(name, "known") == 5
    after = learned(name)
    assert [path for path in after if "finetuned/teacher" in path and after[path] != before[path]]


def test_without_a_language_that_may_choose_the_last_epoch_is_kept(room: Path) -> None:
    few = FewLabelsConfig(languages=tuple(toy.LANGUAGES), rows=16)
    models = lab.tuned("student_plain", "words", few=few)
    assert models.manifest["best_epoch"] == {"seed-1": 4} and models.manifest["dev"] == {"seed-1": {}}
    assert [set(epoch) for epoch in models.manifest["history"]["seed-1"]] == [{"epoch", "loss", "grad_norm"}] * 4


def test_where_it_is_off_a_manifest_says_nothing_of_it(room: Path) -> None:
    config = lab.CONFIG.model_copy(update={"student": lab.CONFIG.student.model_copy(update={"epochs": 1})})
    manifest = lab.tuned("student_plain", "words", config=config).manifest
    assert "few_labels" not in manifest and "unlabelled" not in manifest["recipe"]


def test_masks_hide_whole_words_of_rows_without_a_label_only(room: Path) -> None:
    task, tokenizer = lab.task_of("names"), load_tokenizer(Path("models/teacher"), "teacher")
    rows = Encoder(Path("models/teacher"), 40, "teacher").split(task, "swa", 0, "train")
    hidden = np.arange(len(rows.ids)) % 2 == 0
    rows = rows.hide_labels(hidden)
    special = special_ids(tokenizer)
    batch = np.arange(60)
    masked = WordMasks(tokenizer, rows, 0.3).apply(batch, np.random.default_rng(0))
    shares = []
    for row in batch:
        old, new = rows.ids[row], masked.ids[row]
        changed = [at for at in range(len(old)) if old[at] != new[at]]
        assert {new[at] for at in changed} <= {special.mask} and len(old) == len(new)
        assert new[0] == special.bos and new[-1] == special.eos
        if not hidden[row]:
            assert not changed
        starts = [at for at in range(1, len(old) - 1) if tokenizer.id_to_token(old[at]).startswith("▁")]
        words = [range(start, end) for start, end in zip(starts, [*starts[1:], len(old) - 1], strict=True)]
        gone = [word for word in words if new[word[0]] == special.mask]
        assert sorted(at for word in gone for at in word) == changed
        shares += [len(gone) / len(words)] if hidden[row] else []
    assert 0.2 < np.mean(shares) < 0.4
    assert (
        masked.ids[60:] == rows.ids[60:]
        and WordMasks(tokenizer, rows, 0.0).apply(batch, np.random.default_rng(0)).ids == rows.ids
    )
    again = WordMasks(tokenizer, rows, 0.3).apply(batch, np.random.default_rng(0))
    assert again.ids == masked.ids


def test_rows_that_are_taken_are_those_rows(room: Path) -> None:
    rows = Encoder(Path("models/teacher"), 40, "teacher").split(lab.task_of("names"), "swa", 0, "train")
    some = rows.take(np.array([7, 2]))
    assert some.ids == [rows.ids[7], rows.ids[2]] and some.starts[0] == 0
    for at, row in enumerate((7, 2)):
        own, other = (slice(each.starts[number], each.starts[number + 1]) for each, number in ((some, at), (rows, row)))
        np.testing.assert_array_equal(some.gold[own], rows.gold[other])
        np.testing.assert_array_equal(some.places[own], rows.places[other])
    none = rows.take(np.array([], np.int64))
    assert none.ids == [] and none.starts.tolist() == [0] and len(none.gold) == 0
