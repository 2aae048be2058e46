"""The controls: the very start of the student, and masked-LM training from it, without the teacher's outputs."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distil.core.errors import UserError
from distil.core.files import read_json
from distil.student import distillation
from distil.student.controls import make_control
from distil.student.no_teacher import open_texts
from distil.training.config import TrainConfig
from tests.support import toy
from tests.training.test_trainer import TRAIN, distil, paths_of, rows

STUDENT = toy.SHAPE.model_copy(update={"init": "teacher", "init_layers": (1,)})
SHORT = TRAIN.model_copy(update={"epochs": 1})


def control(name: str, world: Path, out: Path, config: TrainConfig = SHORT, student: Any = STUDENT) -> dict[str, Any]:
    for folder in ("student", "metrics", "scratch"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    texts = open_texts(toy.LANGUAGES, world / "data/prepared", world / "models/tokenizer")
    return make_control(name, texts, toy.LANGUAGES, student, config, paths_of(world, out))[0]


def test_the_start_is_that_of_the_student_bit_for_bit(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = []

    class Watched(distillation.Trainer):
        def __init__(self, student: Any, *others: Any) -> None:
            starts.append({name: weight.clone() for name, weight in student.state_dict().items()})
            super().__init__(student, *others)

    monkeypatch.setattr(distillation, "Trainer", Watched)
    distil(world, tmp_path / "taught", config=SHORT, shape=STUDENT)
    control("start", world, tmp_path / "start")
    (expected,) = starts
    found, trained = (load_file(tmp_path / name / "student/model.safetensors") for name in ("start", "taught"))
    assert found.keys() <= expected.keys()
    assert all(torch.equal(weight, expected[name]) for name, weight in found.items())
    assert not all(torch.equal(weight, trained[name]) for name, weight in found.items())


def test_the_start_is_measured_on_held_out_text_and_not_trained(world: Path, tmp_path: Path) -> None:
    summary = control("start", world, tmp_path)
    assert (summary["steps"], summary["tokens"]) == (0, 0)
    assert summary["heldout"].keys() == set(toy.LANGUAGES)
    assert all(figures["student_nll"] > 0 and "kl" not in figures for figures in summary["heldout"].values())
    assert not list((tmp_path / "metrics").iterdir())


def test_masked_lm_goes_on_from_the_start_for_the_students_steps(world: Path, tmp_path: Path) -> None:
    taught = distil(world, tmp_path / "taught", config=SHORT, shape=STUDENT)[0]
    start = control("start", world, tmp_path / "start")
    impatient = SHORT.model_copy(update={"patience": 1})
    alone = control("masked_lm", world, tmp_path / "alone", impatient)
    assert (alone["steps"], alone["tokens"], alone["student"]) == (taught["steps"], taught["tokens"], taught["student"])
    assert alone["heldout"]["swa"]["student_nll"] < start["heldout"]["swa"]["student_nll"]
    last = rows(tmp_path / "alone/metrics/train.csv")[-1]
    assert "masked_lm" in last and "logit_kd" not in last


@pytest.mark.parametrize("name", ["start", "masked_lm"])
def test_a_control_needs_nothing_that_the_teacher_said(own_world: Path, tmp_path: Path, name: str) -> None:
    shutil.rmtree(own_world / "data/teacher")
    control(name, own_world, tmp_path / name)
    assert read_json(tmp_path / name / "student/config.json", "control")["hidden_size"] == STUDENT.hidden_size


@pytest.mark.parametrize("name", ["start", "masked_lm"])
def test_a_random_start_is_refused_as_it_is_no_teacher(world: Path, tmp_path: Path, name: str) -> None:
    random = STUDENT.model_copy(update={"init": "random", "init_layers": ()})
    with pytest.raises(UserError, match=rf"evaluate.controls: {name} starts .* student.init is random.*`no_teacher`"):
        control(name, world, tmp_path, student=random)


def test_a_control_of_a_student_with_experts_is_refused(world: Path, tmp_path: Path) -> None:
    student = STUDENT.model_copy(update={"experts": 4})
    with pytest.raises(UserError, match=r"evaluate\.controls: start is not made of a student with language experts"):
        control("start", world, tmp_path, student=student)
