"""A stage that is told to end while Python still imports."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distil.runtime import signals as interrupt
from stages import distil as a_stage
from tests.support import ROOT

SLOW = "import sys, time\nsys.stdout.write('importing\\n')\nsys.stdout.flush()\ntime.sleep(60)\n"


@pytest.fixture
def heeded():
    """SIGINT is not ignored, as it is in a shell's background jobs and what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "torch.py").write_text(SLOW)
    env = os.environ | {"PYTHONPATH": str(tmp_path), "DVC_STAGE": "distil"}
    with subprocess.Popen([sys.executable, "-m", "stages.distil"], cwd=ROOT, env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "importing\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "interrupted; `dvc repro distil` continues from the last finished piece\n"


def test_importing_a_stage_leaves_the_signals_alone() -> None:
    assert a_stage.__name__ == "stages.distil"
    assert all(signal.getsignal(number) is not interrupt._end for number in (signal.SIGINT, signal.SIGTERM))
