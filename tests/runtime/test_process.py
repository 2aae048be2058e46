"""The command line of every stage: help runs nothing, and what a stage does not know is refused."""

import logging
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distil.runtime.process import log_stage_end
from distil.runtime.stage_number import StageNumber, stage_number
from tests.support import ROOT

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem not in ("__init__", "preset"))
# The arguments of a stage, from the call in its last lines.
NAMES = {
    stage: names for stage in STAGES
    if (names := re.findall(r'"([A-Z]+)"', (ROOT / f"stages/{stage}.py").read_text(encoding="utf-8").splitlines()[-1]))
}  # fmt: skip


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Runs `python -m stages.NAME WORDS` in this process and gives its exit status; the folder must stay as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(name: str, *words: str) -> int:
        (tmp_path / "params.yaml").write_text("seed: 1\n")
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        monkeypatch.delitem(sys.modules, f"stages.{name}", raising=False)
        with pytest.raises(SystemExit) as end:
            runpy.run_module(f"stages.{name}", run_name="__main__", alter_sys=True)
        assert [path.name for path in tmp_path.rglob("*")] == ["params.yaml"]
        return int(end.value.code or 0)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", STAGES)
def test_help_says_what_a_stage_does_and_runs_nothing(
    start: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert start(name, "--help") == 0
    out = capsys.readouterr().out
    arguments = " ".join(["[-h]", *NAMES.get(name, [])])
    assert out.startswith(f"usage: python -m stages.{name} {arguments}\n\nStage")
    assert "params.yaml" in out


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("extra", ["--nope", "surplus"])
def test_what_a_stage_does_not_know_is_refused_in_one_sentence(
    start: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str, extra: str
) -> None:
    given = [word.lower() for word in NAMES.get(name, [])]
    assert start(name, *given, extra) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith(f"error: stages.{name}: unrecognized arguments: {extra}; expected `")


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_that_is_missing_is_named(
    start: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert start(name) == 1
    wanted = ", ".join(NAMES[name])
    assert f"error: stages.{name}: the following arguments are required: {wanted}; " in capsys.readouterr().err


def test_the_module_that_python_runs_behaves_alike() -> None:
    line = [sys.executable, "-m", "stages.report", "--help"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python -m stages.report [-h]\n\nStage report: ")


def test_stages_are_numbered_in_the_order_of_dvc_yaml() -> None:
    line = [sys.executable, "-m", "dvc", "stage", "list", "--name-only"]
    listed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    names = listed.stdout.split()
    assert len(names) > 15
    for at, name in enumerate(names, 1):
        assert stage_number(name, ROOT / "dvc.yaml", ROOT / "params.yaml") == StageNumber(at, of=len(names))


def test_a_stage_that_dvc_started_ends_with_its_number_and_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DVC_STAGE", "corpus")
    with caplog.at_level(logging.INFO, "distil"):
        log_stage_end()
    assert re.fullmatch(r"\d+/\d+ corpus \d+ s", caplog.messages[-1])
    monkeypatch.chdir(tmp_path)  # no dvc.yaml: the line says less, and nothing fails
    with caplog.at_level(logging.INFO, "distil"):
        log_stage_end()
    assert re.fullmatch(r"corpus \d+ s", caplog.messages[-1])
    monkeypatch.delenv("DVC_STAGE")
    caplog.clear()
    log_stage_end()
    assert not caplog.messages
