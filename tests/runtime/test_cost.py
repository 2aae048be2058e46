"""What a stage cost is written beside its results."""

from pathlib import Path

from distil.core.files import read_json
from distil.runtime.cost import StageCost


def test_a_count_gets_its_rate_beside_it(tmp_path: Path) -> None:
    cost = StageCost()
    cost._start -= 2.0
    cost.write(tmp_path / "cost.json", rows=1000, bytes=7)
    found = read_json(tmp_path / "cost.json", "")
    assert found["rows"] == 1000 and 450 <= found["rows_per_second"] <= 500 and "bytes_per_second" not in found
    assert found["peak_memory_mib"] >= 1 and found["seconds"] >= 2.0
