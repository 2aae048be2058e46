"""Memory of this process and what it runs on."""

import mmap
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from distil.runtime.machine import current_memory, machine, peak_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_peak_is_of_this_process_and_not_of_the_one_that_started_it() -> None:
    ballast = bytearray(200 * 2**20)
    ballast[:: 2**12] = b"x" * (len(ballast) // 2**12)
    code = "from distil.runtime.machine import peak_memory; print(peak_memory())"
    root = Path(__file__).parents[2]
    child = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert 5 < int(child.stdout) / 2**20 < 150 < peak_memory() / 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_peak_stays_when_memory_is_freed() -> None:
    before = current_memory()
    ballast = mmap.mmap(-1, 64 * 2**20)  # an own mapping: an allocator may keep what is freed
    ballast[:: 2**12] = b"x" * (len(ballast) // 2**12)
    held = current_memory()
    assert held - before >= 60 * 2**20
    ballast.close()
    assert current_memory() <= held - 60 * 2**20 and peak_memory() >= held


def test_the_machine_names_cores_python_and_the_packages_asked_for() -> None:
    rest = f"{os.cpu_count()} CPU cores, Python {platform.python_version()}"
    assert machine().endswith(rest) and len(machine()) > len(rest) + 2
    assert machine("numpy").endswith(f"{rest}, numpy {version('numpy')}")
