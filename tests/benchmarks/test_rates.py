"""The sweep of widths and rates: runs once, continues, and says what a small student's rate costs a large one."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import rates, shared_runs
from benchmarks.mup import mup_adamw
from distil.core.errors import UserError

PARAMS = """\
tokenize:
  max_tokens: 60000
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
MUP = {128: {0.001: 0.7, 0.002: 0.5, 0.004: 0.6}, 256: {0.001: 0.5, 0.002: 0.29, 0.004: 0.4}}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, float]]:
    """A checkout in which the stage distil writes the KL of the tables above; returns what it ran for."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    ran = []

    class Done:
        returncode = 0

    def stage(command: list[str], cwd: Path, env: dict[str, str], check: bool) -> Done:
        assert command[1] == "-m" and env["DVC_ROOT"] == str(tmp_path)
        module, found = command[2], {"stages.distil": KL, "benchmarks.mup": MUP}[command[2]]
        values = shared_runs.read_params(cwd / "params.yaml")
        width, rate = values["student"]["hidden_size"], values["train"]["learning_rate"]
        assert values["student"]["num_attention_heads"] == width // 32
        assert values["student"]["intermediate_size"] == 4 * width
        ran.append((module, width, rate))
        heldout = {"kin": {"kl": found[width][rate] - 0.1}, "yor": {"kl": found[width][rate] + 0.1}}
        (cwd / "metrics/distil").mkdir(parents=True, exist_ok=True)
        (cwd / "metrics/distil/summary.json").write_text(json.dumps({"heldout": heldout}))
        return Done()

    monkeypatch.setattr(shared_runs.subprocess, "run", stage)
    monkeypatch.setattr(rates, "RECORD", tmp_path / "rates.json")
    return ran


def test_each_student_runs_once_and_the_record_says_what_a_small_width_costs(
    checkout: list[tuple[str, int, float]],
) -> None:
    rates.run([64, 128, 256], [0.001, 0.002, 0.004], ["one", "mup"])
    one = [("stages.distil", width, rate) for width in KL for rate in (0.001, 0.002, 0.004)]
    # At the width from which muP counts the rules are the same, so nothing is trained again.
    assert checkout == one + [("benchmarks.mup", width, rate) for width in MUP for rate in (0.001, 0.002, 0.004)]
    record = json.loads(rates.RECORD.read_text())
    found = record["rules"]["one"]
    assert found["best_rate"] == {"64": 0.002, "128": 0.002, "256": 0.001}
    assert found["lost"] == {"64": 0.05, "128": 0.05, "256": 0.0}  # 0.35 - 0.30
    # 0.002 * 128 / 256 = 0.001; 0.002 * 64 / 256 was not tried.
    assert found["lost_scaled"] == {"64": None, "128": 0.0, "256": 0.0}
    assert found["at_the_end"] == [256]
    assert record["rules"]["mup"]["heldout_kl"]["64"] == found["heldout_kl"]["64"]
    assert record["rules"]["mup"]["lost"] == {"64": 0.0, "128": 0.0, "256": 0.0}
    rates.run([64, 128, 256], [0.001, 0.002, 0.004], ["one", "mup"])
    assert len(checkout) == 15
    lines = rates.table(record).splitlines()
    assert lines[4] == "| one | 256 | **0.300** | 0.350 | 0.900 | 0.000 | 0.000 |"
    assert lines[7] == "| mup | 256 | 0.500 | **0.290** | 0.400 | 0.000 |  |"


def test_a_change_of_other_settings_runs_a_student_again(checkout: list[tuple[str, int, float]]) -> None:
    rates.run([64], [0.001], ["one"])
    Path("params.yaml").write_text(PARAMS.replace("num_hidden_layers: 6", "num_hidden_layers: 2"))
    rates.run([64], [0.001], ["one"])
    assert checkout == [("stages.distil", 64, 0.001)] * 2


def test_mup_divides_the_rate_of_the_matrices_between_widths_alone() -> None:
    shapes = {"roberta.embeddings.word_embeddings.weight": (3, 2), "lm_head.dense.weight": (2, 2),
              "roberta.encoder.layer.0.output.dense.weight": (2, 4), "roberta.encoder.layer.0.output.dense.bias": (2,),
              "heads": (2, 2)}  # fmt: skip
    named = {name: nn.Parameter(torch.ones(shape)) for name, shape in shapes.items()}
    optimizer = mup_adamw(named.items(), 0.5, 0.2, 256)
    for step in range(2):
        for group in optimizer.param_groups:  # as the training does before each step
            group["lr"] = 0.1
        for parameter in named.values():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        # A first Adam step is as long as its rate; decay takes rate * 0.2 of a matrix, whatever its own rate.
        if step == 0:
            moved = {name: round(float(1 - parameter.detach().flatten()[0]), 4) for name, parameter in named.items()}
            assert moved == {"roberta.embeddings.word_embeddings.weight": 0.12, "lm_head.dense.weight": 0.045,
                             "roberta.encoder.layer.0.output.dense.weight": 0.045,
                             "roberta.encoder.layer.0.output.dense.bias": 0.1, "heads": 0.1}  # fmt: skip
    assert float(1 - named["lm_head.dense.weight"].detach()[0, 0]) == pytest.approx(0.0891, abs=1e-4)


@pytest.mark.parametrize(
    ("widths", "values", "message"),
    [([48], [0.001], "--widths: expected multiples of 32, found 48"), ([64], [1.0], "--rates: expected .* found 1")],
)
def test_a_width_or_rate_that_cannot_be_is_refused(
    checkout: list[tuple[str, int, float]], widths: list[int], values: list[float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        rates.run(widths, values, ["one"])
    assert checkout == []


def test_a_stage_that_fails_is_named(checkout: list[tuple[str, int, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_runs.subprocess, "run", lambda *_, **__: type("Done", (), {"returncode": 1}))
    with pytest.raises(UserError, match=r"stages.distil in .scratch/rates/one-64-0.001 failed; mend what it says"):
        rates.run([64], [0.001], ["one"])
