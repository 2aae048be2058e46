"""The section "Use the student" of README.md, run as it is written."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distil.core.files import read_json, write_json
from tests.support import ROOT, toy
from tests.support.exported import LABELS

SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Use the student\n")[2].partition("\n## ")[0]


@pytest.fixture
def checkout(exports: Path, tmp_path: Path) -> Path:
    """Where a pipeline has run: models/onnx/sentiment, and texts."""
    shutil.copytree(exports / "models/onnx/words", tmp_path / "models/onnx/sentiment")
    for path in tmp_path.glob("models/onnx/sentiment/*/manifest.json"):
        write_json(path, {**read_json(path, "export"), "task": "sentiment"})
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in toy.sentences(30, 8)), encoding="utf-8")
    return tmp_path


def shell(command: str, checkout: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    done = subprocess.run(command, shell=True, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_use_the_student_run_as_written(checkout: Path) -> None:
    commands = re.search(r"```console\n(.*?)```", SECTION, re.DOTALL)[1].splitlines()
    assert len(commands) == 2
    one, nothing = (shell(command, checkout) for command in commands)
    assert json.loads(one)["label"] in LABELS["text_classification"] and nothing == ""
    lines = [json.loads(line) for line in (checkout / "labels.jsonl").read_text().splitlines()]
    assert [line["line"] for line in lines] == list(range(1, 31))


def test_the_python_of_use_the_student_runs_as_written(checkout: Path) -> None:
    (checkout / "use.py").write_text(re.search(r"```python\n(.*?)```", SECTION, re.DOTALL)[1], encoding="utf-8")
    assert shell("python use.py", checkout).strip() in LABELS["text_classification"]


def test_the_dry_run_of_use_the_student_is_what_make_runs(checkout: Path) -> None:
    command = re.search(r"`make publish (.*?)`", SECTION)[1]
    shown = shell(f"make --dry-run --no-print-directory -o env -f {ROOT}/Makefile publish {command}", checkout)
    line = [line for line in shown.splitlines() if "distil.publish" in line][-1]
    (checkout / "metrics").mkdir()
    (checkout / "metrics/model_card.md").write_text("# Card\n\n## Use\n")
    assert re.search(r"(?m)^ +[\d,]+  [0-9a-f]{64}  model.onnx$", shell(line, checkout))
