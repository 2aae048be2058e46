"""The merged student in tables and notices: there where the run has one, and only there."""

from pathlib import Path

import pytest

from distil.core.errors import UserError
from distil.report.data import load_report
from distil.report.findings import notices
from distil.report.html import render_html
from distil.report.markdown import render_markdown
from distil.report.summary import headline
from tests.support.report_fixture import write_inputs


def test_the_row_and_the_sentence_say_how_many_seeds_and_how_much_over_their_mean(tmp_path: Path) -> None:
    write_inputs(tmp_path, merged=("sentiment",), rows=40)
    report = load_report(tmp_path)
    pair = report.comparisons["sentiment"].over("student", "student_merged")
    said = [notice.text for notice in notices(report) if "merged student" in notice.text]
    gain = f"{-100 * pair.mean.difference:+.1f}".replace("-", "−")
    assert len(said) == 1 and "(linear, 2 of 3 seeds)" in said[0] and f"scores {gain} points" in said[0]
    assert "Student, merged" in render_markdown(report) and "Student, merged" in render_html(report)
    assert "merge_student@sentiment" in report.costs


def test_what_a_merge_left_that_is_off_again_is_not_read(tmp_path: Path) -> None:
    write_inputs(tmp_path / "never", rows=40)
    write_inputs(tmp_path / "off", rows=40)
    for name in ("metrics/predictions/student_merged/sentiment.json", "metrics/cost/merge_student-sentiment.json"):
        (tmp_path / "off" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "off" / name).write_text("left over")
    never, off = (load_report(tmp_path / name) for name in ("never", "off"))
    assert render_markdown(never) == render_markdown(off) and headline(never) == headline(off)


def test_a_merge_without_its_file_is_refused_by_name(tmp_path: Path) -> None:
    write_inputs(tmp_path, merged=("sentiment",), rows=40)
    (tmp_path / "metrics/predictions/student_merged/sentiment.json").unlink()
    with pytest.raises(UserError, match=r"student_merged/sentiment.json: no such file; run `dvc repro merge_student@s"):
        load_report(tmp_path)
