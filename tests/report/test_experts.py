"""What a new language cost the others is in the report of a student with a trunk, and in no other."""

from pathlib import Path

from distil.core.files import read_json, write_json
from distil.report.data import load_report
from distil.report.html import render_html
from distil.report.markdown import render_markdown
from distil.report.tables.experts import experts_tables
from tests.support.report_fixture import write_inputs

CAPTION = "What a new language cost the others"


def test_the_table_shows_each_language_before_and_after(tmp_path: Path) -> None:
    write_inputs(tmp_path, rows=40)
    assert CAPTION not in render_markdown(load_report(tmp_path))
    path = tmp_path / "metrics/distil/summary.json"
    summary = read_json(path, "distil")
    *old, new = load_report(tmp_path).languages
    figures = {"new": False, "kl_before": 0.5, "kl_after": 0.5, "nll_before": 3.0, "nll_after": 3.0}
    summary["forgetting"] = {code: figures for code in old} | {new: figures | {"new": True, "kl_after": 0.375}}
    summary["experts"] = {"width": 32, "languages": [new], "parameters": 131_279,
                          "recognised": dict.fromkeys([*old, new], 0.983)}  # fmt: skip
    write_json(path, summary)
    report = load_report(tmp_path)
    (table,) = experts_tables(report.summary, report.languages)
    shown = [[cell.text for cell in row[1:]] for row in table.rows]
    assert shown[0] == ["frozen", "0.500", "0.500", "0.000", "3.000", "3.000", "98.3\xa0%"]
    assert shown[-1][:4] == ["new expert", "0.500", "0.375", "-0.125"]
    assert f"Experts for {new}, 32 wide: 131,279 parameters, 1.0\xa0% of the student." in table.note
    assert CAPTION in render_markdown(report) and CAPTION in render_html(report)
