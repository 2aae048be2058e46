"""What a stage cost is written beside its results."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from distil.core.files import read_json
from distil.runtime.cost import StageCost


def test_a_count_gets_its_rate_beside_it(tmp_path: Path) -> None:
    cost = StageCost()
    cost._start -= 2.0
    cost.write(tmp_path / "cost.json", rows=1000, bytes=7)
    found = read_json(tmp_path / "cost.json", "")
    assert found["rows"] == 1000 and 450 <= found["rows_per_second"] <= 500 and "bytes_per_second" not in found
    assert found["peak_memory_mib"] >= 1 and found["seconds"] >= 2.0


@pytest.mark.parametrize("used", [True, False])
def test_the_peak_of_a_gpu_is_written_where_one_was_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: bool
) -> None:
    cuda = SimpleNamespace(is_initialized=lambda: used, max_memory_reserved=lambda: 7 * 2**20)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    StageCost().write(tmp_path / "cost.json")
    assert read_json(tmp_path / "cost.json", "").get("peak_gpu_memory_mib") == (7 if used else None)
