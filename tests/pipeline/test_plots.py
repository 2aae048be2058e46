"""`dvc plots show` draws the scores by language, in a browser that has no network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from distil.evaluation.model_names import MODEL_TITLES
from tests.support import ROOT
from tests.support.browser import chromium, needs_browser

TASKS = {"sentiment": 0, "names": 1}
TITLES = {model: title for model, title in MODEL_TITLES.items() if model != "majority"}
SCORES = {model: 30 + 4 * at for at, model in enumerate(TITLES)}
LANGUAGES = ("kin", "swa", "mean")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """What DVC makes of the plots of dvc.yaml, its settings and its templates, where scores and curves are known."""
    shutil.copytree(ROOT / ".dvc/plots", tmp_path / ".dvc/plots")
    config = (ROOT / ".dvc/config").read_text(encoding="utf-8")
    (tmp_path / ".dvc/config").write_text(config.replace("[core]", "[core]\n    no_scm = true"), encoding="utf-8")
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": plots}), encoding="utf-8")
    rows = [
        f"{task},{language},{model},{score + more},{score + more - 2},{score + more + 2}"
        for task, more in TASKS.items() for model, score in SCORES.items() for language in LANGUAGES
    ]  # fmt: skip
    curve = ["step,loss", "1,3.0", "2,2.0"]
    for file, lines in {
        "scores.csv": ["task,language,model,score,low,high", *rows],
        "distil/train.csv": curve,
        "distil/heldout.csv": curve,
    }.items():
        (tmp_path / "metrics" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "metrics" / file).write_text("\n".join([*lines, ""]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "plots", "show"], cwd=tmp_path, env=os.environ | {"DVC_NO_ANALYTICS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "failed" not in done.stderr, done.stderr
    return tmp_path / "dvc_plots/index.html"


def test_the_legend_has_the_title_of_every_model() -> None:
    template = json.loads((ROOT / ".dvc/plots/score_by_language.json").read_text(encoding="utf-8"))
    colour = template["spec"]["layer"][0]["encoding"]["color"]
    said = colour["legend"]["labelExpr"].removesuffix("[datum.label] || datum.label")
    assert json.loads(said) == TITLES, "labelExpr of .dvc/plots/score_by_language.json: expected MODEL_TITLES"
    assert len(set(colour["scale"]["range"])) >= len(TITLES)


def test_the_page_names_no_address_of_a_script(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<script src" not in text and "cdn." not in text
    assert "{plot_divs}" not in text and text.count("vegaEmbed(") == 3


@needs_browser
def test_every_score_is_a_bar_as_long_as_its_value_and_nothing_is_fetched(page: Path) -> None:
    with chromium() as browser:
        opened, complaints, requests = browser.new_context(offline=True).new_page(), [], []
        opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("request", lambda request: requests.append(request.url))
        opened.goto(page.as_uri())
        opened.wait_for_selector("svg .mark-rect path[aria-label]")
        bars = opened.evaluate(
            """[...document.querySelectorAll('svg .mark-rect path[aria-label]')].map(
                bar => [bar.getAttribute('aria-label'), bar.getBoundingClientRect().width])"""
        )
        texts = opened.locator("svg.marks text").all_text_contents()
        curves = opened.locator("canvas").count()
    assert complaints == [] and requests == [page.as_uri()]
    assert len(bars) == len(TASKS) * len(SCORES) * len(LANGUAGES)
    values = [
        float(label.split("score, points; the line is the 95 % interval: ")[1].split(";")[0]) for label, _ in bars
    ]
    assert sorted(values) == sorted(len(LANGUAGES) * [score + more for score in SCORES.values() for more in (0, 1)])
    points = [width / value for (_, width), value in zip(bars, values, strict=True)]
    assert max(points) == pytest.approx(min(points), rel=0.01)
    assert {"Score by language, points", *TASKS, *LANGUAGES, *TITLES.values()} <= set(texts)
    assert curves == 2
