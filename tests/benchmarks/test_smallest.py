"""Every benchmark runs at its smallest size after a run of the pipeline, so that none is left behind by a change.

What it measures is no matter here: only that it ends well and prints the figures that benchmarks/README.md names.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support import ROOT
from tests.support.browser import needs_browser
from tests.support.repository import Repository

pytestmark = pytest.mark.slow

SECONDS = 900
# A benchmark and the options that it needs beside --smallest.
MEASURING = {
    "adapt": [], "cache_speed": [], "cleaning": ["--workers", "1"], "demo": [], "export_forms": [], "fidelity": [],
    "finetune": [], "first_run": [], "gpu": [], "marks": [], "memory": [], "new_language": [], "new_pieces": [],
    "ngrams": [], "precision": [], "rehearsal": [], "scale_sim": [], "scaling": [],
    "serving": ["--text", "data/raw/swa.txt"], "startup": [], "step": [], "sweep": [],
}  # fmt: skip
# Fill a page or draw a figure from what is recorded.
TABLES = {"ablations": ["table"], "all_rows": ["table"], "diagrams": [], "few_labels": ["picture"], "figure": [],
          "rates": ["table"], "sizes": ["figure"]}  # fmt: skip
# Takes pictures of the results of a run.
PICTURES = {"pictures"}
# A stage with other settings, which `rates` runs.
OF_ANOTHER = {"mup"}


def keys_to_look_at() -> dict[str, list[str]]:
    """Benchmark -> the keys of its JSON in the last column of the table in benchmarks/README.md."""
    text = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `python -m benchmarks\.(\w+)[^|]*\|[^|]*\|([^|]*)\|", text, re.MULTILINE)
    return {name: re.findall(r"`(\w+)`", cell) for name, cell in rows}


def run(made: Repository, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=made.root, env=made.env, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", MEASURING)
def test_a_benchmark_runs_at_its_smallest_size_and_prints_its_figures(made: Repository, name: str) -> None:
    text = run(made, f"benchmarks.{name}", "--smallest", *MEASURING[name]).splitlines()[-1]
    assert isinstance(json.loads(text), dict)
    assert [key for key in keys_to_look_at()[name] if f'"{key}":' not in text] == []
    assert made.run("git", "status", "--short") == ""


@pytest.mark.parametrize("name", TABLES)
def test_a_recorded_table_is_the_one_in_the_docs(made: Repository, name: str) -> None:
    run(made, f"benchmarks.{name}", *TABLES[name])
    assert made.run("git", "status", "--short") == ""


@needs_browser
def test_the_pictures_of_a_run_are_small_and_not_empty(made: Repository, tmp_path: Path) -> None:
    run(made, "benchmarks.pictures", "--out", str(tmp_path))
    for name in ("report.png", "mlflow-runs.png"):
        picture = Image.open(tmp_path / name)
        assert picture.width >= 1280 and picture.height >= 200
        assert len(picture.getcolors() or []) > 20
        assert (tmp_path / name).stat().st_size < 150_000
    assert made.run("git", "status", "--short") == ""
