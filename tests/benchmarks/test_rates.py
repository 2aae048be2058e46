"""The sweep of widths and rates: runs once, continues, and says what a small student's rate costs a large one."""

import json
from pathlib import Path

import pytest

from benchmarks import rates, shared_runs
from distil.core.errors import UserError

PARAMS = """\
teacher:
  path: models/large
student:
  hidden_size: 256
  num_hidden_layers: 6
  num_attention_heads: 8
  intermediate_size: 1024
  init: teacher
train:
  learning_rate: 0.001
"""
# KL by width and rate: the best rate is 0.002, 0.002 and 0.001.
KL = {64: {0.001: 0.9, 0.002: 0.8, 0.004: 0.9}, 128: {0.001: 0.6, 0.002: 0.5, 0.004: 0.7},
      256: {0.001: 0.3, 0.002: 0.35, 0.004: 0.9}}  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """A checkout in which the stage distil writes the KL of the table above; returns the pairs that it ran for."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    ran = []

    class Done:
        returncode = 0

    def stage(command: list[str], cwd: Path, env: dict[str, str], check: bool) -> Done:
        assert command[1:] == ["-m", "stages.distil"] and env["DVC_ROOT"] == str(tmp_path)
        values = shared_runs.read_params(cwd / "params.yaml")
        width, rate = values["student"]["hidden_size"], values["train"]["learning_rate"]
        assert values["student"]["num_attention_heads"] == width // 32
        assert values["student"]["intermediate_size"] == 4 * width
        ran.append((width, rate))
        heldout = {"kin": {"kl": KL[width][rate] - 0.1}, "yor": {"kl": KL[width][rate] + 0.1}}
        (cwd / "metrics/distil").mkdir(parents=True, exist_ok=True)
        (cwd / "metrics/distil/summary.json").write_text(json.dumps({"heldout": heldout}))
        return Done()

    monkeypatch.setattr(shared_runs.subprocess, "run", stage)
    monkeypatch.setattr(rates, "RECORD", tmp_path / "rates.json")
    return ran


def test_each_pair_runs_once_and_the_record_says_what_a_small_width_costs(checkout: list[tuple[int, float]]) -> None:
    rates.run([64, 128, 256], [0.001, 0.002, 0.004])
    assert checkout == [(width, rate) for width in KL for rate in (0.001, 0.002, 0.004)]
    record = json.loads(rates.RECORD.read_text())
    assert record["best_rate"] == {"64": 0.002, "128": 0.002, "256": 0.001}
    assert record["lost"] == {"64": 0.05, "128": 0.05, "256": 0.0}  # 0.35 - 0.30
    # 0.002 * 128 / 256 = 0.001; 0.002 * 64 / 256 was not tried.
    assert record["lost_scaled"] == {"64": None, "128": 0.0, "256": 0.0}
    assert record["at_the_end"] == [256]
    rates.run([64, 128, 256], [0.001, 0.002, 0.004])
    assert len(checkout) == 9
    assert rates.table(record).splitlines()[-1] == "| 256 | **0.300** | 0.350 | 0.900 | 0.000 | 0.000 |"


def test_a_change_of_other_settings_runs_a_pair_again(checkout: list[tuple[int, float]]) -> None:
    rates.run([64], [0.001])
    Path("params.yaml").write_text(PARAMS.replace("num_hidden_layers: 6", "num_hidden_layers: 2"))
    rates.run([64], [0.001])
    assert checkout == [(64, 0.001)] * 2


@pytest.mark.parametrize(
    ("widths", "values", "message"),
    [([48], [0.001], "--widths: expected multiples of 32, found 48"), ([64], [1.0], "--rates: expected .* found 1")],
)
def test_a_width_or_rate_that_cannot_be_is_refused(
    checkout: list[tuple[int, float]], widths: list[int], values: list[float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        rates.run(widths, values)
    assert checkout == []


def test_a_stage_that_fails_is_named(checkout: list[tuple[int, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_runs.subprocess, "run", lambda *_, **__: type("Done", (), {"returncode": 1}))
    with pytest.raises(UserError, match=r"stages.distil in .scratch/rates/64-0.001 failed; mend what it says"):
        rates.run([64], [0.001])
