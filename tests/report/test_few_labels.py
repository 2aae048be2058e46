"""Languages with few labels in report, card and headline: how many labels, and that dev rows were not looked at."""

import json
import re
from pathlib import Path

import pytest

from distil.report.data import load_report
from distil.report.html import render_html
from distil.report.markdown import render_markdown
from distil.report.model_card import CardConfig, render_card
from distil.report.summary import headline
from tests.support.bad_input import change
from tests.support.report_fixture import write_inputs


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    write_inputs(root, rows=40)
    return root


def test_labels_that_were_hidden_are_said_wherever_scores_are(root: Path) -> None:
    texts = render_markdown(report := load_report(root)), render_card(report, CardConfig(name="s", license="unknown"))
    assert not [text for text in texts if "labels were hidden" in text]
    assert not {"few", "few_over_plain"} & set(headline(report)["sentiment"])
    change(root / "params.yaml", {"evaluate.few_labels": {"languages": ["yor"], "rows": 30}})
    for path in (root / "metrics/evaluate").glob("*/sentiment.json"):
        scores = json.loads(path.read_text())
        scores["languages"]["yor"] |= {"n_train": 30, "n_train_hidden": 1970}
        path.write_text(json.dumps(scores))
    report = load_report(root)
    for text in (
        render_markdown(report),
        render_card(report, CardConfig(name="s", license="unknown")),
        render_html(report),
    ):
        plain = re.sub(r"<[^>]*>|\\", "", text).replace("\u2011", "-")
        assert "Kept: Yoruba 30 of 2,000. Dev rows of Yoruba were not looked at" in plain
        assert "over direct transfer" in plain and "30 of 2,000" in plain
        assert len(re.findall(r"yor, 30 labels", plain)) >= 2 and "hau, " not in plain
    found, pair = headline(report)["sentiment"], report.comparisons["sentiment"].over("student", "student_plain")
    assert found["few"] == pytest.approx(100 * report.scores["sentiment"]["student"].score("yor"), abs=0.01)
    assert found["few_over_plain"] == pytest.approx(100 * pair.languages["yor"].difference, abs=0.01)
