"""A stage killed at any moment ends as if it had not been; one told to end does so soon and says how to go on.

Real processes, forked from one that has imported everything, and real signals.
"""

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.faults.pipeline import (
    BY_NAME,
    LAST,
    ROOT,
    STEPS,
    Zygote,
    contents,
    copy_of,
    log_of,
    make_repository,
    make_root,
    said_in,
)

# Every kind of stage, more often where more is at stake.
KILLED = [
    *["cache_teacher"] * 4, *["distil"] * 4, *["finetune_student@sentiment"] * 2, "tasks@sentiment", "corpus",
    "teacher", "vocabulary", "tokenize", "no_teacher", "finetune_teacher@sentiment", "mix_teachers@sentiment",
    "baselines@sentiment", "evaluate", "footprint", "export", "report",
]  # fmt: skip
COMPUTES = [
    step.name for step in [*STEPS, *LAST] if not step.name.startswith("finetune_")
] + ["finetune_student@sentiment"]  # fmt: skip
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


def struck(
    pipeline: Path, zygote: Zygote, tmp_path: Path, name: str, seconds: float, number: signal.Signals
) -> tuple[Path, int, float]:
    """A stage that gets a signal after so many seconds, earlier where it had ended by then.

    Returns the folder that it ran in, its exit status, and the seconds that it took to end.
    """
    for attempt in range(6):
        root = before(pipeline, tmp_path / f"{attempt}" / "repository", name)
        pid = zygote.start(root, BY_NAME[name])
        time.sleep(seconds * 0.7**attempt)
        began = time.monotonic()
        os.kill(pid, number)
        status = zygote.wait(pid)
        if status != 0:
            return root, status, time.monotonic() - began
    raise AssertionError(f"{name} ends too soon to be struck")


def survivors(root: Path) -> list[str]:
    """Processes that work in a folder or were told of it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if process.joinpath("cwd").resolve(strict=True).is_relative_to(root) or str(root) in command:
                found.append(f"{process.name} {command}")
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.faults
@pytest.mark.parametrize(("number", "name"), enumerate(KILLED), ids=[f"{n}-{name}" for n, name in enumerate(KILLED)])
def test_a_stage_killed_at_a_random_moment_goes_on_and_ends_with_the_same_bytes(
    pipeline: Path, zygote: Zygote, tmp_path: Path, counts: Counter[str], seconds: Callable[[str], float],
    number: int, name: str,
) -> None:  # fmt: skip
    step, share = BY_NAME[name], random.Random(f"killed {number}").uniform(0.02, 0.98)
    root, status, _ = struck(pipeline, zygote, tmp_path, name, share * seconds(name), signal.SIGKILL)
    assert status == -signal.SIGKILL, said_in(root)
    counts["killed"] += 1
    kept = shards_of(root)
    for out in step.outs[:1]:  # an out is there whole or not at all
        assert not (root / out).exists() or same(root, pipeline, [out])
    said = zygote.run(root, name)
    assert same(root, pipeline, step.outs)
    assert leftovers(root, name) == []
    for path, written in kept.items():  # a finished shard is not computed again
        assert not path.exists() or path.stat().st_mtime_ns == written
    if found := re.search(r"distil: continuing after step (\d+)", said):
        assert int(found.group(1)) % 10 == 0  # train.checkpoint_every
    wait_until_nobody_works_in(root)  # processes of the killed one
    counts["recovered"] += 1


def same(root: Path, pipeline: Path, outs: list[str]) -> bool:
    """Whether some outs have the same bytes in two places; of one that holds measurements, whether it is whole JSON."""
    if outs == BY_NAME["footprint"].outs:
        return bool(json.loads((root / outs[0]).read_text(encoding="utf-8"))["models"])
    return contents(root, outs) == contents(pipeline, outs)


def shards_of(root: Path) -> dict[Path, int]:
    """Finished shards of the teacher's cache in scratch, and when each was written."""
    return {path.with_suffix(".safetensors"): path.with_suffix(".safetensors").stat().st_mtime_ns
            for path in root.glob(".scratch/cache_teacher/*.json")}  # fmt: skip


def wait_until(true: Callable[[], bool], seconds: float = 120, found: Callable[[], object] = lambda: None) -> None:
    """For a bounded time; `found` tells what was there instead."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, ("it did not come", found())
        time.sleep(0.02)


def wait_until_nobody_works_in(root: Path, seconds: float = 120) -> None:
    """For a bounded time; names those that still do."""
    wait_until(lambda: survivors(root) == [], seconds, lambda: (survivors(root), said_in(root)[-2000:]))


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
    root, status, took = struck(pipeline, zygote, tmp_path, name, 0.3 * seconds(name), number)
    assert status == 130 and took < SOON, said_in(root)
    said = said_in(root)
    assert said.splitlines()[-1] == f"interrupted; `dvc repro {name}` continues from the last finished piece"
    assert "Traceback" not in said and leftovers(root, name) == []
    wait_until_nobody_works_in(root, SOON)


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


@pytest.mark.faults
def test_processes_that_clean_text_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import time\nfrom distil.corpus.workers import cleaned\n"
        "class Slow:\n    def clean(self, block):\n        time.sleep(0.05)\n        return block\n"
        "if __name__ == '__main__':\n    for _ in cleaned(iter(lambda: b'x', b''), Slow(), 2):\n"
        "        print(flush=True)\n",
        encoding="utf-8",
    )
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen([sys.executable, program], cwd=tmp_path, stdout=said, stderr=said,
                                   env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
        wait_until(lambda: (tmp_path / "said").stat().st_size > 12)  # past those that the first process cleans
        assert len(survivors(tmp_path)) >= 3
        process.kill()
        process.wait()
    wait_until(lambda: survivors(tmp_path) == [], SOON)


# ---- DVC above it


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A repository for DVC in which nothing has run, and the environment for its commands."""
    root = make_repository(tmp_path / "repository")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    env |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
            "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}  # fmt: skip
    return root, env


def repro(root: Path, env: dict[str, str]) -> subprocess.Popen:
    """`dvc repro`, the first of a group of processes; what it says goes to the log of `root`."""
    # A shell's background job was told to ignore SIGINT, and what it starts would too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with log_of(root).open("wb") as said:
            return subprocess.Popen([sys.executable, "-m", "dvc", "repro"], cwd=root, env=env, stdout=said, stderr=said,
                                    stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


def stages_of(group: int) -> list[int]:
    """The processes of a group that run a stage."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            pid = int(process.name)
            if os.getpgid(pid) == group and b"\0stages." in process.joinpath("cmdline").read_bytes():
                found.append(pid)
        except OSError:  # it has ended
            continue
    return found


def at_work(root: Path) -> str | None:
    """The stage that runs, once it has said something."""
    stage, _, said = said_in(root).rpartition("Running stage '")[2].partition("':")
    return stage if re.search(r"^\d\d:\d\d:\d\d ", said, re.MULTILINE) else None


def told_to_end(process: subprocess.Popen, root: Path, number: signal.Signals) -> float:
    """Seconds until DVC and its stage have ended that were told to while the stage was at work.

    DVC leaves SIGINT to the stage. One that was ending anyway ends well, and DVC goes on to the next: told again, as a
    person would.
    """
    for _ in range(3):
        wait_until(lambda: at_work(root) is not None or process.poll() is not None)
        assert process.poll() is None, said_in(root)
        began = time.monotonic()
        os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SOON)
            break
    return time.monotonic() - began


@pytest.mark.faults
def test_dvc_repro_goes_on_after_every_kind_of_end_and_the_results_are_the_same_bytes(
    pipeline: Path, repository: tuple[Path, dict[str, str]], counts: Counter[str]
) -> None:
    (root, env), rng, killed = repository, random.Random("dvc repro"), 0
    for how in ("all", "stage", "SIGINT", "all", "SIGTERM", "all", "SIGINT", "stage", "all"):
        process = repro(root, env)
        try:
            if how.startswith("SIG"):
                took = told_to_end(process, root, getattr(signal, how))
                wait_until_nobody_works_in(root, SOON)
                stage, _, said = said_in(root).rpartition("Running stage '")[2].partition("':")
                assert took < SOON and process.returncode != 0, said
                assert f"interrupted; `dvc repro {stage}` continues from the last" in said and "Traceback" not in said
            elif how == "all":
                time.sleep(rng.uniform(3, 16))
                assert process.poll() is None, said_in(root)
                os.killpg(process.pid, signal.SIGKILL)
                killed += process.wait(60) == -signal.SIGKILL
            else:  # as where memory is short: DVC lives on and tells of it
                wait_until(lambda: stages_of(process.pid) != [])  # noqa: B023
                time.sleep(rng.uniform(0, 4))
                wait_until(lambda: stages_of(process.pid) != [])  # noqa: B023
                for pid in stages_of(process.pid):
                    os.kill(pid, signal.SIGKILL)
                process.wait(60)
                killed += process.returncode not in (0, -signal.SIGKILL)
                assert "failed to reproduce" in said_in(root) and "Traceback" not in said_in(root)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(60)
        wait_until_nobody_works_in(root)
    counts["killed"] += killed
    process = repro(root, env)
    assert process.wait(600) == 0, said_in(root)
    outs = [out for step in STEPS for out in step.outs]
    one, other = contents(pipeline, outs), contents(root, outs)
    assert [name for name in one if one[name] != other.get(name)] == []
    assert [str(path) for path in root.rglob("*.tmp") if ".dvc" not in path.parts] == []
    with closing(sqlite3.connect(root / "mlflow.db")) as store:  # one student, one run, however often it was begun
        assert store.execute("select status from runs").fetchall() == [("FINISHED",)]
        assert store.execute("select value from tags where key = 'distil.complete'").fetchall() == [("true",)]
    counts["recovered"] += killed
    assert killed == 6
