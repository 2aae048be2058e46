"""A stage's process ends early, and still does all that others want done at its end."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tests.support import ROOT

CODE = """
from distil.runtime.lean_process import start_lean
start_lean()
import atexit, gc, threading, time
from distil.core.errors import UserError
from distil.runtime.process import run_command
assert not gc.isenabled()
atexit.register(lambda: print("at exit"))
class Last:
    def __del__(self): print("taken apart")
last = Last()
def main():
    assert gc.isenabled() and gc.get_freeze_count() > 1000
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("work")
    {end}
run_command(main)
"""


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        ("", 0, ""),
        ("raise UserError('a fault')", 1, "error: a fault"),
        ("raise KeyboardInterrupt", 130, "interrupted; `dvc repro` continues from the last finished piece"),
    ],
    ids=["done", "fault", "interrupt"],
)
def test_an_expected_end_waits_for_threads_and_exit_functions_and_flushes(end: str, status: int, error: str) -> None:
    done = ended_by(end)
    assert done.returncode == status
    assert done.stdout.split("\n") == ["work", "thread", "at exit", ""]  # not taken apart
    assert done.stderr.strip() == error


def test_our_own_mistake_ends_with_its_traceback_as_ever() -> None:
    done = ended_by("1 / 0")
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
    assert done.stdout.split() == ["work", "thread", "at", "exit", "taken", "apart"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_cannot_be_written_is_no_success() -> None:
    with open("/dev/full", "w") as full:
        done = ended_by("", stdout=full)
    assert done.returncode != 0 and "No space left on device" in done.stderr


def ended_by(end: str, stdout: IO[str] | int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # output waits for a flush
    command = [sys.executable, "-c", CODE.replace("{end}", end)]
    return subprocess.run(command, cwd=ROOT, env=env, stdout=stdout, stderr=subprocess.PIPE, text=True)
