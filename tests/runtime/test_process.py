"""What a stage cost is written beside its results."""

import subprocess
import sys
from pathlib import Path

import pytest

from distil.core.files import read_json
from distil.runtime.process import Cost, peak_mib


def test_a_count_gets_its_rate_beside_it(tmp_path: Path) -> None:
    cost = Cost()
    cost._start -= 2.0
    cost.write(tmp_path / "cost.json", rows=1000, bytes=7)
    found = read_json(tmp_path / "cost.json", "")
    assert found["rows"] == 1000 and 450 <= found["rows_per_second"] <= 500 and "bytes_per_second" not in found
    assert found["peak_memory_mib"] >= 1 and found["seconds"] >= 2.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_peak_is_of_this_process_and_not_of_the_one_that_started_it() -> None:

    ballast = bytearray(200 * 2**20)
    ballast[:: 2**12] = b"x" * (len(ballast) // 2**12)
    code = "from distil.runtime.process import peak_mib; print(peak_mib())"
    root = Path(__file__).parents[2]
    child = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert 5 < float(child.stdout) < 150 < peak_mib()
