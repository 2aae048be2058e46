"""A stage killed at any moment ends as if it had not been; one told to end does so soon and says how to go on.

Real processes, forked from one that has imported everything, and real signals.
"""

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.pipeline import BY_NAME, STEPS, Zygote, contents, copy_of, make_root, said_in

# Twenty moments, more where more is at stake.
KILLED = [
    *["cache_teacher"] * 5, *["distil"] * 5, *["finetune_student@sentiment"] * 2, "tasks@sentiment", "corpus",
    "teacher", "vocabulary", "tokenize", "no_teacher", "task_targets@sentiment", "export",
]  # fmt: skip
COMPUTES = [step.name for step in STEPS if not step.name.startswith(("evaluate@", "finetune_"))] + [
    "finetune_student@sentiment", "evaluate@student-sentiment",
]  # fmt: skip
SOON = 5.0  # seconds until a stage has ended that was told to


def before(root: Path, to: Path, name: str) -> Path:
    """A copy of the pipeline as it was before a stage."""
    return copy_of(root, to, tuple(BY_NAME[name].outs))


def leftovers(root: Path, name: str) -> list[str]:
    """Half-written files that stand where a stage's outs are looked for."""
    return [str(path) for out in BY_NAME[name].outs for path in (root / out).rglob("*.tmp")]


@pytest.fixture(scope="session")
def seconds(pipeline: Path, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], float]:
    """How long a stage takes here; measured once each, so that a moment can be drawn from all of it."""
    measured: dict[str, float] = {}

    def took(name: str) -> float:
        if name not in measured:
            root = before(pipeline, tmp_path_factory.mktemp("timed") / "repository", name)
            began = time.monotonic()
            zygote.run(root, name)
            measured[name] = time.monotonic() - began
        return measured[name]

    return took


@pytest.mark.faults
@pytest.mark.parametrize(("number", "name"), enumerate(KILLED), ids=[f"{n}-{name}" for n, name in enumerate(KILLED)])
def test_a_stage_killed_at_a_random_moment_goes_on_and_ends_with_the_same_bytes(
    pipeline: Path, zygote: Zygote, tmp_path: Path, counts: Counter[str], seconds: Callable[[str], float],
    number: int, name: str,
) -> None:  # fmt: skip
    step, root = BY_NAME[name], before(pipeline, tmp_path / "repository", name)
    share = random.Random(f"killed {number}").uniform(0.02, 0.98)
    pid = zygote.start(root, step)
    time.sleep(share * seconds(name))
    os.kill(pid, signal.SIGKILL)
    status = zygote.wait(pid)
    counts["killed"] += status == -signal.SIGKILL
    kept = shards_of(root)
    for out in step.outs[:1]:  # an out is there whole or not at all
        assert not (root / out).exists() or contents(root, [out]) == contents(pipeline, [out])
    said = zygote.run(root, name)
    assert contents(root, step.outs) == contents(pipeline, step.outs)
    assert leftovers(root, name) == []
    for path, written in kept.items():  # a finished shard is not computed again
        assert not path.exists() or path.stat().st_mtime_ns == written
    if found := re.search(r"distil: continuing after step (\d+)", said):
        assert int(found.group(1)) % 10 == 0  # train.checkpoint_every
    counts["recovered"] += status == -signal.SIGKILL


def shards_of(root: Path) -> dict[Path, int]:
    """Finished shards of the teacher's cache in scratch, and when each was written."""
    return {path.with_suffix(".safetensors"): path.with_suffix(".safetensors").stat().st_mtime_ns
            for path in root.glob(".scratch/cache_teacher/*.json")}  # fmt: skip


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    """For a bounded time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


@pytest.mark.faults
def test_at_most_the_shard_at_work_is_lost(
    pipeline: Path, zygote: Zygote, tmp_path: Path, counts: Counter[str]
) -> None:
    root = before(pipeline, tmp_path / "repository", "cache_teacher")
    pid = zygote.start(root, BY_NAME["cache_teacher"])
    wait_until(lambda: len(shards_of(root)) >= 2)
    os.kill(pid, signal.SIGKILL)
    counts["killed"] += zygote.wait(pid) == -signal.SIGKILL
    kept = shards_of(root)
    zygote.run(root, "cache_teacher")
    every = shards_of(root)
    assert len(kept) >= 2 and {path: every[path] for path in kept} == kept
    assert contents(root, ["data/teacher"]) == contents(pipeline, ["data/teacher"])
    counts["recovered"] += 1


@pytest.mark.faults
def test_at_most_the_steps_since_the_last_checkpoint_are_lost(
    pipeline: Path, zygote: Zygote, tmp_path: Path, counts: Counter[str]
) -> None:
    root = before(pipeline, tmp_path / "repository", "distil")
    pid = zygote.start(root, BY_NAME["distil"])
    wait_until(lambda: bool(list(root.glob(".scratch/distil/*/checkpoint.safetensors"))))
    os.kill(pid, signal.SIGKILL)
    counts["killed"] += zygote.wait(pid) == -signal.SIGKILL
    said = zygote.run(root, "distil")
    (step,) = re.findall(r"distil: continuing after step (\d+)", said)
    assert int(step) >= 10 and int(step) % 10 == 0
    assert contents(root, BY_NAME["distil"].outs) == contents(pipeline, BY_NAME["distil"].outs)
    counts["recovered"] += 1


@pytest.mark.faults
@pytest.mark.parametrize("name", COMPUTES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stage_told_to_end_does_so_soon_and_says_how_to_go_on(
    pipeline: Path, zygote: Zygote, tmp_path: Path, seconds: Callable[[str], float], number: signal.Signals, name: str
) -> None:
    step, root = BY_NAME[name], before(pipeline, tmp_path / "repository", name)
    pid = zygote.start(root, step)
    time.sleep(0.3 * seconds(name))
    began = time.monotonic()
    os.kill(pid, number)
    status = zygote.wait(pid)
    if status == 0:
        pytest.skip("it had ended before the signal came")
    assert status == 130 and time.monotonic() - began < SOON, said_in(root)
    said = said_in(root)
    assert said.splitlines()[-1] == f"interrupted; `dvc repro {name}` continues from the last finished piece"
    assert "Traceback" not in said and leftovers(root, name) == []


def test_a_task_killed_and_told_to_end_leaves_nothing_behind(tmp_path: Path, zygote: Zygote) -> None:
    root, step = make_root(tmp_path / "repository"), BY_NAME["tasks@sentiment"]
    for number, expected in ((signal.SIGTERM, 130), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        pid = zygote.start(root, step)
        wait_until(lambda: any((root / "data/tasks").glob(".*.tmp")) or (root / step.outs[0]).exists())
        os.kill(pid, number)
        assert zygote.wait(pid) in (expected, 0), said_in(root)
    zygote.run(root, step.name)
    assert list(root.rglob("*.tmp")) == []  # what the killed one left is gone too
    once = contents(root, step.outs)
    zygote.run(root, step.name)
    assert contents(root, step.outs) == once
