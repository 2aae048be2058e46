"""Training with a guard: without a bad step nothing changes, with one it recovers, and a kill changes nothing."""

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distil.compute.distributed import Processes, shut_down
from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.training.step import TrainingState
from tests.support import toy
from tests.training.test_trainer import TRAIN, distil, rows

STEPS = 8 * 12
# The same tiny training as in test_trainer.py, twelve steps an epoch.
GUARDED = TRAIN.model_copy(update={"guard": 6.0, "epochs": 8})
WRITTEN = ("student/model.safetensors", "metrics/train.csv", "metrics/heldout.csv", "metrics/events.csv")


def spoil(patch: pytest.MonkeyPatch, steps: Iterable[int], factor: float = 50.0) -> None:
    """Batches whose targets belong to other places and whose loss is too large, at some steps."""
    original, bad = TrainingState._terms, set(steps)

    def terms(self: TrainingState, batch: Any) -> Any:
        if self.counters["step"] + 1 not in bad:
            return original(self, batch)
        logits = batch.teacher_logits
        mixed = type(logits)(*(part.roll(1, 0) for part in logits))
        found = original(self, batch._replace(teacher_logits=mixed))
        return {name: term._replace(values=factor * term.values) for name, term in found.items()}

    patch.setattr(TrainingState, "_terms", terms)


def digests(out: Path) -> dict[str, str]:
    return {name: sha256_file(out / name) for name in WRITTEN}


def in_child(work: Callable[[], Any]) -> int:
    """Run in a process of its own; returns how it ended, as `os.waitpid` has it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


@pytest.fixture(scope="module")
def clean(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A guarded training without a bad batch."""
    out = tmp_path_factory.mktemp("clean")
    return out, distil(world, out, config=GUARDED)[0]


def test_a_guard_that_skips_nothing_changes_no_byte(world: Path, tmp_path: Path, clean: Any) -> None:
    distil(world, tmp_path, config=GUARDED.model_copy(update={"guard": 0.0}))
    assert digests(tmp_path) == digests(clean[0])
    assert (tmp_path / "metrics/events.csv").read_text(encoding="utf-8").count("\n") == 1
    train = rows(tmp_path / "metrics/train.csv")
    assert all(float(row["grad_norm"]) > 0 and row["skipped"] == "0" for row in train)


def test_one_bad_batch_is_skipped_and_the_student_ends_within_a_percent(
    world: Path, tmp_path: Path, clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, [75])
    summary, outcome = distil(world, tmp_path, config=GUARDED)
    assert outcome.steps == clean[1]["steps"] and outcome.cost["guard"]["skipped"] == 1
    (event,) = rows(tmp_path / "metrics/events.csv")
    assert (event["step"], event["action"]) == ("75", "skip") and float(event["loss"]) > float(event["loss_limit"])
    assert [row["skipped"] for row in rows(tmp_path / "metrics/train.csv")].count("1") == 1
    kl = [np.mean([found["heldout"][code]["kl"] for code in toy.LANGUAGES]) for found in (summary, clean[1])]
    assert kl[0] == pytest.approx(kl[1], rel=0.01)


def test_bad_batches_in_a_row_go_back_and_those_since_the_checkpoint_are_left_out(
    world: Path, tmp_path: Path, clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, range(76, 79))
    _, outcome = distil(world, tmp_path, config=GUARDED)
    assert outcome.cost["guard"] == {"deviations": 6.0, "skipped": 3, "rollbacks": 1}
    assert [event["action"] for event in rows(tmp_path / "metrics/events.csv")] == ["skip", "skip", "roll back"]
    same = rows(tmp_path / "metrics/train.csv")[:7]  # up to the checkpoint of step 70
    assert same == rows(clean[0] / "metrics/train.csv")[:7]
    assert digests(tmp_path)["student/model.safetensors"] != digests(clean[0])["student/model.safetensors"]


def test_a_training_killed_behind_bad_batches_goes_on_to_the_same_bytes(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, [73, 76, 77, 78])
    distil(world, tmp_path / "whole", config=GUARDED)

    def kill(step: int, figures: dict[str, float]) -> None:
        if step == 80:  # its row is written just before its checkpoint
            os.kill(os.getpid(), signal.SIGKILL)

    pid = in_child(lambda: distil(world, tmp_path / "killed", config=GUARDED, live=kill))
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    resumed: list[int] = []
    distil(world, tmp_path / "killed", config=GUARDED, live=lambda step, figures: resumed.append(step))
    assert min(resumed) == 80
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")


def test_numbers_that_stay_bad_end_the_training_with_the_file_of_events(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, range(70, STEPS), float("nan"))
    with pytest.raises(UserError, match=r"distil: step 78: .* 3rd time, the last with loss nan .*/events\.csv lists"):
        distil(world, tmp_path, config=GUARDED)
    assert len(rows(tmp_path / "metrics/events.csv")) == 9


@pytest.mark.slow
def test_two_processes_decide_as_one_does(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.student.distillation import DistillationConfig, distil_student
    from tests.training.test_trainer import LAST, LOSS, caches, paths_of

    spoil(monkeypatch, [70, 76, 77, 78])
    shape = toy.SHAPE.model_copy(update={"dropout": 0.0})
    config = GUARDED.model_copy(update={"learning_rate": 0.001})
    distil(world, tmp_path / "one", config=config, shape=shape)
    for name in ("student", "metrics", "scratch"):
        (tmp_path / "two" / name).mkdir(parents=True)

    def process(rank: int) -> None:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{tmp_path}/meeting", rank=rank, world_size=2
        )  # fmt: skip
        chosen = DistillationConfig(shape, LOSS, LAST, config)
        distil_student(caches(world), toy.LANGUAGES, chosen, paths_of(world, tmp_path / "two"),
                       processes=Processes(rank, 2))  # fmt: skip
        shut_down()

    children = [in_child(lambda rank=rank: process(rank)) for rank in range(2)]  # type: ignore[misc]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    one, two = (rows(tmp_path / name / "metrics/events.csv") for name in ("one", "two"))
    assert [(row["step"], row["action"]) for row in two] == [(row["step"], row["action"]) for row in one]
    assert len(one) == 4
    weights = [load_file(tmp_path / name / "student/model.safetensors") for name in ("one", "two")]
    for name, expected in weights[0].items():
        np.testing.assert_allclose(weights[1][name], expected, atol=1e-4, err_msg=name)
