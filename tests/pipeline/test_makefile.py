"""The Makefile in a folder whose path has a space, with programs that only write down how they are called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# `uv venv` makes the environment's programs; python3 is asked for the interpreter behind it.
PROGRAM = """#!/bin/sh
{ printf '%s' "${0##*/}"; printf ' [%s]' "$@"; echo; } >> "$CALLS"
case "$*" in
  *_base_executable*) echo "$0" ;;
  *venv*)
    mkdir -p .venv/bin .venv/lib/python3.11/site-packages
    for name in python dvc mlflow ruff mypy; do cp "$0" ".venv/bin/$name"; done ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my own work"
    (folder / "bin").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    for name in ("python3", "uv"):
        (folder / "bin" / name).write_text(PROGRAM)
        (folder / "bin" / name).chmod(0o755)
    return folder


def make(folder: Path, *words: str) -> list[str]:
    """The calls of the programs, one a line, arguments in brackets."""
    calls = folder / "calls"
    calls.write_text("")
    environment = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.defpath}", "CALLS": str(calls)}
    done = subprocess.run(["make", *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line for line in calls.read_text().splitlines() if "_base_executable" not in line]


def test_every_target_works_in_a_path_with_a_space(folder: Path) -> None:
    python, venv = folder / "bin/python3", "[.venv/bin/python]"
    calls = make(folder, "run")
    compiled = calls.pop(2)
    assert compiled.startswith("python [-m] [compileall] [-qq] [-j] [0] [-x] [/tests/|") and "[torch]" in compiled
    assert calls == [
        f"uv [venv] [--quiet] [--clear] [--python] [{python}] [--no-python-downloads] [.venv]",
        f"uv [pip] [sync] [--quiet] [--python] {venv} [--require-hashes] [requirements.lock]",
        "dvc [repro]",
        "python [-m] [distil] [report]",
    ]
    address, call = make(folder, "mlflow")
    assert address.startswith("python [-c]") and "find_view_address" in address
    assert call.startswith("mlflow [server]") and call.endswith(
        f"[--backend-store-uri] [sqlite:///{folder}/mlflow.db] [--artifacts-destination] [{folder}/mlartifacts]"
    )
    call = make(folder, "publish", "HUB_ID=me/model", "MODEL=models/my student", "ARGS=--dry-run --public")
    assert call == ["python [-m] [distil.publish] [me/model] [--model] [models/my student] [--dry-run] [--public]"]
    for target in ("test", "lint", "types", "format", "lock", "audit", "clean-scratch", "help"):
        assert all("[own]" not in call for call in make(folder, target)), target


def test_uv_is_installed_where_it_is_missing(folder: Path) -> None:
    (folder / "bin/uv").unlink()
    calls = folder / "calls"
    environment = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.defpath}", "CALLS": str(calls)}
    if shutil.which("uv", path=environment["PATH"]):
        pytest.skip("the system has uv itself")
    subprocess.run(["make", "env"], cwd=folder, env=environment, capture_output=True)
    called = [line for line in calls.read_text().splitlines() if "_base_executable" not in line]
    assert called == ["python3 [-m] [pip] [install] [--quiet] [--disable-pip-version-check] [--target] [.tools] [uv]"]
