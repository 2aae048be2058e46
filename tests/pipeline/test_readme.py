"""README.md: the section "Quick start" runs as it is written, and the page stays short and complete."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distil.core.files import read_json, write_json
from tests.pipeline.test_dvc_yaml import ORDER
from tests.support import ROOT, toy
from tests.support.exported import LABELS

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## Quick start\n")[2].partition("\n## ")[0]


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


def test_the_prediction_of_the_quick_start_has_the_form_that_is_shown(checkout: Path) -> None:
    lines = re.search(r"```console\n(.*?)```", SECTION, re.DOTALL)[1].splitlines()
    (at,) = [place for place, line in enumerate(lines) if line.startswith("$ echo")]
    shown, found = json.loads(lines[at + 1]), json.loads(shell(lines[at].removeprefix("$ "), checkout))
    assert list(found) == list(shown) and found["line"] == shown["line"] == 1
    assert found["label"] in LABELS["text_classification"] and found["label"] in found["scores"]
    assert shown["label"] == max(shown["scores"], key=shown["scores"].get)


def test_the_filter_of_the_quick_start_answers_every_line(checkout: Path) -> None:
    options = re.search(r"`(--model \S+ --task .*?)`", SECTION)[1]
    assert shell(f"python -m distil.predict {options}", checkout) == ""
    lines = [json.loads(line) for line in (checkout / "labels.jsonl").read_text().splitlines()]
    assert [line["line"] for line in lines] == list(range(1, 31))


def test_the_python_of_the_quick_start_runs_as_written(checkout: Path) -> None:
    (checkout / "use.py").write_text(re.search(r"```python\n(.*?)```", SECTION, re.DOTALL)[1], encoding="utf-8")
    assert re.search(r"'label': '(.*?)'", shell("python use.py", checkout))[1] in LABELS["text_classification"]


def test_the_dry_run_of_the_quick_start_is_what_make_runs(checkout: Path) -> None:
    command = re.search(r"`make publish (.*?)`", SECTION)[1]
    shown = shell(f"make --dry-run --no-print-directory -o env -f {ROOT}/Makefile publish {command}", checkout)
    line = [line for line in shown.splitlines() if "distil.publish" in line][-1]
    (checkout / "metrics").mkdir()
    (checkout / "metrics/model_card.md").write_text("# Card\n\n## Use\n")
    assert re.search(r"(?m)^ +[\d,]+  [0-9a-f]{64}  model.onnx$", shell(line, checkout))


def test_the_tree_names_every_package_in_the_order_of_their_imports() -> None:
    tree = README.partition("## What is where\n")[2]
    assert tuple(re.findall(r"(?m)^  ([a-z]+)/ ", tree)) == ORDER


def test_the_readme_is_at_most_150_lines_and_its_links_exist() -> None:
    assert len(README.splitlines()) <= 150
    links = re.findall(r"\]\((?!https?:)([^)#]+)|(?:src|srcset)=\"([^\"]+)\"", README)
    assert links and all((ROOT / (link or image)).exists() for link, image in links)


def test_the_table_of_results_is_that_of_the_records() -> None:
    scores = json.loads((ROOT / "benchmarks/recorded/all-rows/scores.json").read_text(encoding="utf-8"))
    for page in (README, (ROOT / "docs/results/index.md").read_text(encoding="utf-8")):
        for task, name in (("sentiment", "AfriSenti, weighted F1"), ("entities", "MasakhaNER 1.0, entity F1")):
            (row,) = [line.replace("*", "") for line in page.splitlines() if line.startswith(f"| {name} |")]
            metric, models = scores[task]["compare"]["metric"], scores[task]["evaluate"]
            for model in ("student", "teacher", "tfidf"):
                mean = models[model]["mean"]
                low, high = (100 * end for end in mean["interval_95"])
                assert f" {100 * mean[metric]:.1f} [{low:.1f}, {high:.1f}] " in row, (name, model)
            share = scores[task]["compare"]["retention"]["student"]["mean"]
            low, high = (100 * end for end in share["interval_95"])
            assert f" {100 * share['ratio']:.1f} % [{low:.1f}, {high:.1f}] " in row
