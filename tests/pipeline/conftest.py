"""A repository with the toy world, and a stage that must fail in it."""

import importlib
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distil.runtime.process import run_command
from distil.tracking import student_run
from tests.support import ROOT
from tests.support.bad_input import (
    ARGUMENTS,
    OUTS,
    TOY,
    change,
    files,
    no_mlflow,
)


@pytest.fixture
def root(own_world: Path) -> Path:
    """The toy world as a repository: params.yaml, the code, a teacher that a folder was given for."""
    shutil.copy(ROOT / "params.yaml", own_world)
    change(own_world / "params.yaml", TOY)
    for name in ("distil", "stages", "dvc.yaml"):
        (own_world / name).symlink_to(ROOT / name)
    shutil.copytree(own_world / "models/teacher", own_world / "given")
    return own_world


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Runs a stage that must fail, in this process, and gives the sentence that it ended with."""
    for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(student_run, "_import_client", no_mlflow)
    handler = signal.getsignal(signal.SIGTERM)

    def fails(root: Path, stage: str, *arguments: str) -> str:
        out = root / OUTS[stage]
        if out.is_dir():
            shutil.rmtree(out)
        before = files(root)
        monkeypatch.chdir(root)
        main, given = importlib.import_module(f"stages.{stage}").main, arguments or ARGUMENTS.get(stage, [])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run_command(lambda: main(*given))
        lines = capsys.readouterr().err.splitlines()
        assert end.value.code == 1
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
        assert not any("Traceback" in line for line in lines)
        assert not out.exists()
        assert files(root) == before  # nothing half-written, no *.tmp
        return lines[-1]

    yield fails
    signal.signal(signal.SIGTERM, handler)
