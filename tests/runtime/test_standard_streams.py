"""A closed, full or wrong standard input or output ends a command with one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def shell(line: str, **more: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable}
    return subprocess.run(line, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, **more)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("> /dev/full", "error: standard output: No space left on device; free space there or write elsewhere\n"),
        (">&-", "error: standard output: found it closed; give a file or a pipe (`> FILE`)\n"),
    ],
)
def test_a_command_that_cannot_write_says_so(output: str, message: str) -> None:
    done = shell(f"exec $PYTHON -m stages.preset --list {output}")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)


def test_a_reader_that_goes_away_and_a_closed_standard_error_are_no_faults() -> None:
    done = shell("$PYTHON -m stages.preset --list | head -n 1")
    assert done.stdout.startswith("sample ") and done.stderr == ""
    done = shell("exec $PYTHON -m stages.preset nothing 2>&-")
    assert (done.returncode, done.stdout) == (1, "")
