"""Real processes: a stage of its own, started as two."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from distil.core.errors import UserError
from distil.core.params import load_params
from distil.runtime.launch import LaunchConfig
from tests.support import ROOT

STAGE = r"""
import os, signal, sys, time
import torch
from distil.core.errors import UserError
from distil.runtime.launch import run_ranks
from distil.compute.distributed import init_distributed

def main(what):
    ranks = init_distributed()
    share, other = torch.full((2,), float(ranks.rank + 1)), torch.tensor(float(ranks.rank))
    ranks.all_reduce_([share, other])
    sys.stdout.write(f"sums {share.tolist()} {float(other)}\n")
    sys.stdout.flush()
    if what == "fault":
        raise UserError("toy: expected a, found b")
    if what == "kill" and ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if what in ("kill", "wait"):
        time.sleep(120)

if __name__ == "__main__":
    run_ranks(main, "stages.toy", "WHAT")
"""


@pytest.fixture
def start(tmp_path: Path):
    """Starts `python -m stages.toy WHAT` with a number of processes; what is left is killed."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "__init__.py").touch()
    (tmp_path / "stages" / "toy.py").write_text(STAGE)
    started = []

    def begin(what: str, processes: int = 2) -> subprocess.Popen:
        (tmp_path / "params.yaml").write_text(f"launch:\n  processes: {processes}\n")
        env = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([sys.executable, "-m", "stages.toy", what], cwd=tmp_path, env=env, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_sums_are_the_same_in_every_process(start) -> None:
    process = start("sum")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.count("sums [3.0, 3.0] 1.0") == 2


@pytest.mark.slow
def test_a_fault_of_all_processes_is_said_once(start) -> None:
    process = start("fault")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert [line for line in err.splitlines() if "expected a" in line] == ["error: toy: expected a, found b"]
    assert "Traceback" not in err


def test_a_killed_process_ends_the_others_and_is_named(start) -> None:
    process = start("kill")
    assert process.stdout is not None
    process.stdout.readline()
    began = time.monotonic()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and time.monotonic() - began < 30
    assert "stages.toy: process 1 " in err and "was killed by signal 9" in err


def test_what_listens_does_so_on_the_loopback_interface_alone(start) -> None:
    process = start("wait")
    assert process.stdout is not None
    process.stdout.readline()
    everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(everyone) >= 3
    found = {connection.laddr.ip for one in everyone for connection in one.net_connections("inet")}
    assert found and found <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}  # they do talk


def test_no_process_outlives_the_one_that_started_it(start) -> None:
    process = start("wait")
    assert process.stdout is not None
    process.stdout.readline()
    others = psutil.Process(process.pid).children(recursive=True)
    assert len(others) >= 2
    process.kill()
    _, alive = psutil.wait_procs(others, timeout=10)
    assert not alive


@pytest.mark.slow
def test_asked_to_end_it_ends_all_and_says_how_to_go_on(start) -> None:
    process = start("wait")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "continues from the last finished piece" in err


def test_one_process_is_no_launch_at_all(start) -> None:
    process = start("sum", processes=1)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out == "sums [1.0, 1.0] 0.0\n"


@pytest.mark.parametrize("processes", ["0", "257", "two", "true"])
def test_a_number_of_processes_that_is_none_is_refused(tmp_path: Path, processes: str) -> None:
    (tmp_path / "params.yaml").write_text(f"launch:\n  processes: {processes}\n")
    with pytest.raises(UserError, match=r"launch\.processes"):
        load_params("launch", LaunchConfig, tmp_path / "params.yaml")
