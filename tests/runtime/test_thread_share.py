"""Stages that run at once share the cores; one alone has all, and what the user sets stands."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distil.runtime.thread_share import BETWEEN_STAGES
from tests.support import ROOT

CODE = """
import os, sys
from pathlib import Path
from distil.runtime.thread_share import share_cores
os.sched_getaffinity = lambda pid: set(range(8))
share_cores(Path(sys.argv[1]))
print(os.environ.get("OMP_NUM_THREADS", "all"), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "stages"


@contextmanager
def stage(folder: Path, workspace: Path, **more: str) -> Iterator[str]:
    """A stage at work in a directory; what it says of its threads."""
    workspace.mkdir(exist_ok=True)
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CODE, str(folder)]
    process = subprocess.Popen(
        command, cwd=workspace, env=env | more, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    yield process.stdout.readline().strip()
    process.communicate("\n")


def test_one_alone_has_all_cores_also_in_its_next_stage(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        with stage(folder, tmp_path / "a") as threads:
            assert threads == "all"


def test_several_divide_the_cores(folder: Path, tmp_path: Path) -> None:
    with stage(folder, tmp_path / "a") as first, stage(folder, tmp_path / "b") as second:
        assert (first, second) == ("all", "4")
        with stage(folder, tmp_path / "c") as third:
            assert third == "2"  # a third of eight
    with stage(folder, tmp_path / "a") as again:
        assert again == "2"  # b and c are between two stages


def test_what_ended_long_ago_and_what_was_killed_do_not_count(folder: Path, tmp_path: Path) -> None:
    with stage(folder, tmp_path / "a"):
        pass
    (old,) = folder.iterdir()
    os.utime(old, (time.time() - 2 * BETWEEN_STAGES,) * 2)
    with stage(folder, tmp_path / "b") as threads:
        assert threads == "all"
    os.utime(old, (time.time() - 1000 * BETWEEN_STAGES,) * 2)
    with stage(folder, tmp_path / "b"):
        assert not old.exists()


def test_what_the_user_sets_stands_and_several_processes_of_one_directory_are_one(folder: Path, tmp_path: Path) -> None:
    with stage(folder, tmp_path / "a"), stage(folder, tmp_path / "a") as same:
        assert same == "all"
        with stage(folder, tmp_path / "b", OMP_NUM_THREADS="7") as threads:
            assert threads == "7"


def test_a_folder_that_cannot_be_used_leaves_the_threads_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "stages").write_text("a file")
    with stage(tmp_path / "stages", tmp_path / "a") as threads:
        assert threads == "all"
