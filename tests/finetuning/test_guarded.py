"""Fine-tuning with a guard: a bad batch is left out, repeated ones go back, and a kill changes nothing."""

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from distil.core.files import read_json, sha256_file
from distil.finetuning import trainer as module
from distil.finetuning.ngrams import NgramsConfig
from tests.support import lab

GUARDED = lab.CONFIG.model_copy(update={"guard": 8.0})
MODEL = "student_plain/words/seed-1/model.safetensors"


@pytest.fixture
def here(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lab.make_lab(tmp_path, world))
    monkeypatch.setattr(module, "GUARDED_STEPS", 10)
    return tmp_path


def spoil(patch: pytest.MonkeyPatch, bad: set[int]) -> None:
    """Losses far too large at some steps."""
    original = module.FineTuningRun._losses

    def losses(self: Any, batch: Any) -> Any:
        return original(self, batch) * (1e4 if self.state["step"] + 1 in bad else 1)

    patch.setattr(module.FineTuningRun, "_losses", losses)


def events(out: str) -> list[tuple[str, str]]:
    with Path(out, MODEL).with_name("events.csv").open(encoding="utf-8") as stream:
        return [(row["step"], row["action"]) for row in csv.DictReader(stream)]


def test_a_guard_that_skips_nothing_changes_no_weight_and_norms_are_logged_either_way(here: Path) -> None:
    off, on = (
        lab.tuned("student_plain", "words", out="off"),
        lab.tuned("student_plain", "words", out="on", config=lab.CONFIG.model_copy(update={"guard": 1000.0})),
    )
    assert sha256_file(Path("off") / MODEL) == sha256_file(Path("on") / MODEL)
    assert off.manifest["history"] == on.manifest["history"]
    assert all(epoch["grad_norm"] > 0 for epoch in off.manifest["history"]["seed-1"])
    assert "guard" not in off.manifest and events("on") == []
    assert on.manifest["guard"]["seed-1"] == {"deviations": 1000.0, "skipped": 0, "rollbacks": 0}
    assert not Path("off", MODEL).with_name("events.csv").exists()


def test_bad_batches_are_left_out_and_a_kill_behind_them_changes_no_byte(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = NgramsConfig(max_n=2, tag_window=0, bits=10, learning_rate=0.2, alone_weight=0.3)
    config = GUARDED.model_copy(update={"ngrams": table})
    spoil(monkeypatch, {70, 84, 85, 86})
    whole = lab.tuned("student_plain", "words", out="whole", config=config)
    assert events("whole") == [("70", "skip"), ("84", "skip"), ("85", "skip"), ("86", "roll back")]
    assert whole.manifest["guard"]["seed-1"] == {"deviations": 8.0, "skipped": 4, "rollbacks": 1}
    original = module.FineTuningRun.step

    def step(self: Any, batch: Any) -> float:
        if self.state["step"] == 88:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, batch)

    pid = os.fork()
    if pid == 0:
        module.FineTuningRun.step = step  # type: ignore[method-assign]
        lab.tuned("student_plain", "words", out="killed", config=config)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    lab.tuned("student_plain", "words", out="killed", config=config)
    assert events("killed") == events("whole")
    for name in ("seed-1/model.safetensors", "manifest.json"):
        pair = [sha256_file(Path(out, "student_plain/words", name)) for out in ("whole", "killed")]
        assert pair[0] == pair[1], name
    history = read_json(Path("killed/student_plain/words/manifest.json"), "")["history"]["seed-1"]
    assert max(epoch["loss"] for epoch in history) < 100  # of the steps that were taken
