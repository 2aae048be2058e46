"""What the benchmarks compare runs, trains, and says what it ran on; their figures are no matter of tests."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import step, steps
from benchmarks.cache_speed import LOSS
from benchmarks.machine import clock, finish, machine, plain_parser
from benchmarks.memory import repeated
from distil.objective import Objective
from distil.student import StudentConfig, build_student
from distil.vocabulary import SpecialIds
from tests import toy

PIECES = 200


def model(layers: int = 2):
    torch.manual_seed(0)
    shape = StudentConfig.model_validate(toy.SHAPE.model_dump() | {"num_hidden_layers": layers, "dropout": 0.0})
    return build_student(shape, SpecialIds(bos=0, pad=1, eos=2, unk=3, mask=4), PIECES, 140)


@pytest.mark.parametrize("kind", ["from_cache", "plain_masked_lm", "lean_online", "online"])
def test_every_kind_of_step_trains_the_student(kind: str) -> None:
    student = model()
    batch = step.random_batch(PIECES, 2)
    work = {
        "from_cache": lambda: steps.from_cache(student, Objective(student, step.bare_cache(PIECES), LOSS, step.LAYERS)),
        "plain_masked_lm": lambda: steps.plain_masked_lm(student),
        "lean_online": lambda: steps.lean_online(student, model(3), None),
        "online": lambda: steps.online(student, model(3), torch.arange(PIECES)),
    }[kind]()
    watched = student.roberta.embeddings.word_embeddings, student.roberta.encoder.layer[0].output.dense
    before = [module.weight.detach().clone() for module in watched]
    work(batch)
    assert all(not torch.equal(module.weight, old) for module, old in zip(watched, before, strict=True))
    assert all(torch.isfinite(value).all() for value in student.parameters())


def test_repeated_text_has_no_line_twice(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("moja mbili\ntatu nne\n", encoding="utf-8")
    size = repeated(tmp_path / "a.txt", tmp_path / "b/a.txt", 3000)
    lines = (tmp_path / "b/a.txt").read_text(encoding="utf-8").splitlines()
    assert 3000 <= size == (tmp_path / "b/a.txt").stat().st_size < 3100
    assert len(set(lines)) == len(lines) and not any(char.isdigit() for line in lines for char in line)


def test_the_last_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    finish({"figure": 1.5, "machine": machine(2)})
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["machine"]["threads"] == 2 and len(found["machine"]["load"]) == 3


def test_cpu_seconds_leave_waiting_out() -> None:
    options = plain_parser("x").parse_args(["--cpu-seconds"])
    assert clock(options).__name__ == "process_time"
