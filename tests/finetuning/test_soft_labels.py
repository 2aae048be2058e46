"""Soft labels on disk: what is read is what was written, and nothing else is taken for it."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from distil.core.errors import UserError
from distil.core.files import read_json
from distil.evaluation.config import TaskTeachersConfig
from distil.finetuning.soft_labels import (
    SOFT_LABEL_SPLITS,
    SoftLabels,
    open_soft_labels,
    units,
    write_soft_labels,
)
from distil.tasks.data import Task
from tests.evaluation.test_baselines import make_task

MADE_BY = "mix_teachers@toy"


@pytest.fixture
def task(tmp_path: Path) -> Task:
    rows = [{"tokens": ["Ana", "sings"], "tags": ["B-PER", "O"]}, {"tokens": ["no"], "tags": ["O"]}]
    splits = {"train": rows, "dev": rows[:1], "test": rows[1:], "unlabelled": [{"tokens": ["a", "b", "c", "d"]}]}
    return make_task(tmp_path / "toy", "token_classification", ["O", "B-PER"], splits)


@pytest.fixture
def written(task: Task, tmp_path: Path) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {split: rng.random((units(task, "kin", split), 2), np.float32) for split in SOFT_LABEL_SPLITS}
    write_soft_labels(tmp_path / "labels/toy", task, {"kin": found}, {"seeds": [1]})
    return found


def test_units_are_words_of_sentences_and_what_is_written_is_read(task, written, tmp_path) -> None:
    assert {split: len(each) for split, each in written.items()} == {"train": 3, "unlabelled": 4, "dev": 2, "test": 1}
    read = SoftLabels(tmp_path / "labels/toy", task, MADE_BY).read("kin")
    for split in SOFT_LABEL_SPLITS:
        np.testing.assert_array_equal(read[split], written[split])


def test_a_folder_of_ones_own_is_a_teacher_and_a_missing_one_is_named(task, written, tmp_path) -> None:
    assert open_soft_labels("folder", str(tmp_path / "labels"), task).read("kin")["train"].shape == (3, 2)
    with pytest.raises(UserError, match=r"finetune.task_teachers.path: expected soft labels of toy in .*nowhere/toy"):
        open_soft_labels("folder", str(tmp_path / "nowhere"), task)


def test_other_labels_languages_rows_shapes_and_bytes_are_refused(task, written, tmp_path) -> None:
    folder = tmp_path / "labels/toy"
    with pytest.raises(UserError, match=r"labels: expected O, B-LOC, found O, B-PER; run `dvc repro --force mix_teach"):
        SoftLabels(folder, task._replace(labels=["O", "B-LOC"]), MADE_BY)
    with pytest.raises(UserError, match="expected hau among its languages"):
        SoftLabels(folder, task, MADE_BY).read("hau")
    train = task.folder / "kin/train.jsonl"
    before = train.read_text()
    train.write_text(before.replace("sings", "signs"))
    with pytest.raises(UserError, match="made for other rows"):
        SoftLabels(folder, task, MADE_BY).read("kin")
    train.write_text(before)
    (folder / "checksums.json").unlink()  # as in a folder that no stage wrote
    manifest = read_json(folder / "manifest.json", MADE_BY)
    data = (folder / "kin.safetensors").read_bytes()
    (folder / "kin.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match="it is damaged"):
        SoftLabels(folder, task, MADE_BY).read("kin")
    write_soft_labels(folder, task, {"kin": {**written, "dev": written["dev"][:1]}}, {})
    with pytest.raises(UserError, match=r"dev: expected an array of shape \(2, 2\), found \(1, 2\)"):
        SoftLabels(folder, task, MADE_BY).read("kin")
    assert manifest["seeds"] == [1]


@pytest.mark.parametrize("use", [[], ["linear", "linear"], ["tfidf"], "linear"])
def test_teachers_that_are_none_or_named_twice_are_refused(use) -> None:
    with pytest.raises(ValidationError):
        TaskTeachersConfig.model_validate({"path": "distil/lexicons", "use": use, "tags": "words", "sequences": 5})
