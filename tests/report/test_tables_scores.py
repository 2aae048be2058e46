"""Tables of scores: rows in the order of params.yaml, tags beside their tokens."""

from pathlib import Path

import pytest

from distil.report.data import load_report
from distil.report.findings import notices
from distil.report.tables.scores import _marked, label_table
from tests.support.report_fixture import LABELS, write_inputs


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    write_inputs(root, languages=["kin"], tasks=["sentiment", "names"], tagged=("names",), rows=60, seeds=(1,))
    return root


def test_labels_are_in_the_order_of_params_yaml(root: Path) -> None:
    report = load_report(root)
    assert (
        [row[1].text for row in label_table(report, "sentiment").rows] == LABELS == ["positive", "neutral", "negative"]
    )
    assert [row[1].text for row in label_table(report, "names").rows] == ["PER", "LOC"]


def test_what_is_odd_in_the_data_is_among_the_findings(root: Path) -> None:
    path = root / "data/tasks/sentiment/manifest.json"
    text = path.read_text()
    path.write_text(text.replace('"same_rows": []', '"same_rows": [["kin/dev", "kin/test"]]'))
    said = [finding.text for finding in notices(load_report(root)) if finding.kind == "warning"]
    path.write_text(text)
    assert "On sentiment the same rows are in kin/dev and kin/test: is a file there twice?" in said


def test_tags_stand_beside_their_own_tokens_also_where_either_has_a_space() -> None:
    assert _marked("New\u00a0York ni heza", "proper%20noun O B-PER") == "New\u00a0York/proper noun heza/B-PER"
    assert _marked("ni heza", "O O") == "–"
