"""The figure of README.md shows what is recorded."""

import json
from pathlib import Path

import pytest

from benchmarks import figure
from benchmarks.pages import RECORDED
from benchmarks.svg import COLOURS

ROOT = Path(__file__).parents[2]


def test_the_figure_shows_the_recorded_shares_of_the_teacher() -> None:
    scores = json.loads((ROOT / RECORDED / "all-rows/scores.json").read_text(encoding="utf-8"))
    sentiment = figure.shares(scores, "sentiment", "student")
    assert list(sentiment) == ["Hausa", "Igbo", "Kinyarwanda", "Swahili", "Yoruba", "Mean of 5"]
    # 0.682847 / 0.689524, the means of metrics/evaluate.
    assert sentiment["Mean of 5"] == pytest.approx((99.03, 98.1, 100.0), abs=0.05)
    assert figure.shares(scores, "entities", "tfidf")["Mean of 5"][0] == pytest.approx(88.65, abs=0.01)


def test_the_committed_figures_are_those_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(figure, "IMAGES", tmp_path)
    figure.main()
    for name in COLOURS:
        committed = (ROOT / f"docs/images/overview-{name}.svg").read_bytes()
        assert (tmp_path / f"overview-{name}.svg").read_bytes() == committed, "python -m benchmarks.figure"
