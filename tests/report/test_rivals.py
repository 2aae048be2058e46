"""Rivals in the report: their table, the picture, and a sentence where one of them wins."""

import json
from pathlib import Path

import pytest

from distil.core.errors import UserError
from distil.report.charts.figures import first_charts
from distil.report.data import load_report
from distil.report.findings import verdict
from distil.report.html import render_html
from distil.report.markdown import render_markdown
from distil.report.result import result_lines
from distil.report.rivals import Deployed, rival_sentences
from distil.report.summary import headline
from distil.report.tables.rivals import rivals_table
from tests.support.report_fixture import write_inputs

TEACHER, STUDENT = "models/finetuned/teacher", "models/finetuned/student"
RIVALS = {
    "small": {"base": STUDENT, "skill": 0.6, "bytes": 10_000_000, "speed": 8.0},
    "better": {"base": TEACHER, "skill": 0.99, "bytes": 40_000_000, "speed": 2.0, "lost": 0.03},
    "worse": {"base": "models/teacher", "skill": 0.1, "bytes": 1_000_000, "speed": 400.0},
}


def test_the_table_has_every_rival_with_its_cost_beside_student_teacher_and_tfidf(tmp_path: Path) -> None:
    write_inputs(tmp_path, rows=60, rivals=RIVALS)
    report = load_report(tmp_path)
    table = rivals_table(report, "sentiment")
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert list(rows) == ["Student", "small", "better", "worse", "Teacher", "TF-IDF"]
    assert table.columns[3] == "small less it"
    # models follow each other in metrics/compare, so the teacher's pair with a rival is the other way round
    pair = report.comparisons["sentiment"].over("teacher", "small")
    assert rows["Teacher"][2] == f"{-100 * pair.mean.difference:+.1f}".replace("-", "−")
    assert rows["better"][3:7] == ["40.0\u00a0MB", "2.0×", "30.00 ms", "2,400"]
    assert rows["TF-IDF"][3:7] == ["–"] * 4
    assert (
        "better: models/finetuned/teacher, full vocabulary, dynamic, −3.0 points by 8 bits on dev rows (more than"
        in (table.note)
    )
    assert "small: models/finetuned/student, full vocabulary, dynamic, −0.2 points by 8 bits on dev rows;" in table.note


def test_rivals_are_in_no_other_table_and_in_the_picture(tmp_path: Path) -> None:
    write_inputs(tmp_path, rows=60, rivals=RIVALS)
    report = load_report(tmp_path)
    assert not set(RIVALS) & {*report.models, *report.scores["sentiment"]} and "rival@small" in report.costs
    (pareto,) = [chart for chart in first_charts(report) if chart.caption.startswith("Score against size")]
    assert "rival better " in pareto.svg and " at 40.0 MB" in pareto.svg and ">better<" in pareto.svg
    assert "Rivals on sentiment" in render_markdown(report) and "Rivals on sentiment" in render_html(report)


def test_the_verdict_and_the_terminal_name_a_rival_that_wins(tmp_path: Path) -> None:
    write_inputs(tmp_path, rows=60, rivals=RIVALS)
    report = load_report(tmp_path)
    (tmp_path / "metrics/headline.json").write_text(json.dumps(headline(report)))
    for text in (verdict(report), "\n".join(result_lines(tmp_path))):
        assert "On sentiment the rival better scores above the student by " in text
        assert " at 4 times its bytes and 0.25 times its speed." in text and "worse" not in text


@pytest.mark.parametrize(
    ("gap", "interval", "size", "expected"),
    [
        (-0.02, (-0.03, -0.01), 5, "beats the student by 2.0 points [+1.0, +3.0] at 0.5 times its bytes"),
        (-0.02, (-0.03, -0.01), 50, "scores above the student by 2.0 points [+1.0, +3.0] at 5 times its bytes"),
        (0.005, (-0.01, 0.02), 20, "is level with the student (−0.5 points [−2.0, +1.0]) at 2 times its bytes"),
        (0.005, (-0.01, 0.02), 21, ""),  # level, but larger than twice
        (0.011, (-0.01, 0.03), 5, ""),  # more than a point below
    ],
)
def test_a_rival_wins_by_score_or_by_size(gap, interval, size, expected) -> None:
    compared = {"differences": [{"model": "student", "baseline": "r",
                                 "mean": {"difference": gap, "interval_95": interval}}]}  # fmt: skip
    models = {"teacher": {"short": {"texts_per_second": 10}}, "r": {"short": {"texts_per_second": 50}}}
    rival = {"base": TEACHER, "tasks": {"tone": {"bytes": size}}, "footprint": {"models": models}}
    found = rival_sentences("tone", compared, {"r": rival}, Deployed(10, 20.0))
    assert found == ([f"On tone the rival r {expected} and 0.25 times its speed."] if expected else [])


def test_without_rivals_the_report_is_as_before(tmp_path: Path) -> None:
    write_inputs(tmp_path, rows=40)
    report = load_report(tmp_path)
    assert "rival" not in render_markdown(report).replace("| rivals ", "").lower()


def test_a_rival_without_figures_is_named_with_its_stage(tmp_path: Path) -> None:
    write_inputs(tmp_path, rows=40, rivals={"small": RIVALS["small"]})
    (tmp_path / "metrics/distil/rivals/small.json").unlink()
    with pytest.raises(UserError, match=r"rivals/small.json: no such file; run `dvc repro rival@small`"):
        load_report(tmp_path)
