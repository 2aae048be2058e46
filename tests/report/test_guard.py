"""What guards left out of training is in the report: a notice and a table, and neither without a guard."""

from pathlib import Path

from distil.core.files import read_json, write_json
from distil.report.data import load_report
from distil.report.findings import notices
from distil.report.html import render_html
from distil.report.inputs.manifests import StageCost
from distil.report.markdown import render_markdown
from distil.report.notices.guard import guard_notices, guard_tables
from tests.support.report_fixture import write_inputs


def cost(guard: dict[str, float] | None = None) -> StageCost:
    return StageCost.model_validate({"seconds": 1.0, "peak_memory_mib": 300, "guard": guard})


def test_without_a_guard_nothing_is_said() -> None:
    assert guard_notices({"distil": cost()}) == [] and guard_tables({"distil": cost()}) == []


def test_a_guard_that_left_nothing_out_is_a_note_and_one_that_did_a_warning() -> None:
    quiet, busy = {"deviations": 6.0, "skipped": 0, "rollbacks": 0}, {"deviations": 6.0, "skipped": 4, "rollbacks": 1}
    (note,) = guard_notices({"distil": cost(quiet), "teacher": cost()})
    assert (note.kind, note.text) == ("note", "The guards of distil left out no step.")
    (warning,) = guard_notices({"distil": cost(busy), "no_teacher": cost(quiet)})
    assert warning.kind == "warning" and "distil 4, with 1 returns to a checkpoint. Look" in warning.text
    (table,) = guard_tables({"distil": cost(busy), "no_teacher": cost(quiet)})
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["distil", "6", "4", "1"],
        ["no_teacher", "6", "0", "0"],
    ]


def test_the_report_shows_steps_left_out_and_the_norm_of_the_gradient(tmp_path: Path) -> None:
    write_inputs(tmp_path, rows=40)
    path = tmp_path / "metrics/cost/distil.json"
    write_json(path, read_json(path, "distil") | {"guard": {"deviations": 6.0, "skipped": 4, "rollbacks": 1}})
    report = load_report(tmp_path)
    assert [notice for notice in notices(report) if "guard left out" in notice.text]
    assert "What the guards left out" in render_markdown(report)
    assert "Norm of the gradient, before clipping" in render_html(report)
