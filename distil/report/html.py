"""The report as one HTML file that needs nothing else: no network, no script, no font, no image file.

The markup is in templates/, rendered with autoescape, so text from data stays text. Every table scrolls in a box that
the keyboard can reach; every chart has a name and a description.
"""

from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from distil.core.languages import language_tag
from distil.report.charts.figures import first_charts, section_charts
from distil.report.data import Report
from distil.report.findings import notices, verdict
from distil.report.format import Cell, Section, Table
from distil.report.sections import sections
from distil.report.summary import KeyFigure, cost_key_figures, provenance, task_key_figures, task_line, title
from distil.report.tables.training import versions_table

TEMPLATES = Path(__file__).parent / "templates"
_MARKS = {"synthetic": "Synthetic data.", "warning": "Warning.", "good": "", "note": "Note."}


class TaskSummary(NamedTuple):
    """The key figures of a task and the line above them."""

    line: str
    figures: list[KeyFigure]


def render_html(report: Report) -> str:
    """The whole page. The same report gives the same text."""
    versions = Section("versions", "Versions", "", [versions_table(report)], folded=True)
    parts = [*sections(report), versions]
    found = notices(report)
    summaries = {task: TaskSummary(task_line(report, task), task_key_figures(report, task)) for task in report.tasks}
    return _environment().get_template("page.html.j2").render(
        title=title(report),
        provenance=provenance(report),
        verdict=verdict(report),
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8").rstrip()),  # noqa: S704 (a file of our own)
        marks=_MARKS,
        synthetic=[notice for notice in found if notice.kind == "synthetic"],
        warnings=[notice for notice in found if notice.kind == "warning"],
        remarks=[notice for notice in found if notice.kind in ("good", "note")],
        cost_figures=cost_key_figures(report),
        first_task=summaries[report.tasks[0]],
        later_tasks={f"task-{task}": summaries[task] for task in report.tasks[1:]},
        first_charts=first_charts(report),
        section_charts={part.name: section_charts(part.name, report) for part in parts},
        groups=_nested(parts),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "language_tag": language_tag, "row_groups": _row_groups, "sum_rows": _sum_rows, "unbroken": _unbroken,
    }  # fmt: skip
    return environment


def _nested(parts: list[Section]) -> list[list[Section]]:
    """Each section with those below it."""
    groups: list[list[Section]] = []
    for part in parts:
        if part.level == 2:
            groups.append([])
        groups[-1].append(part)
    return groups


def _row_groups(table: Table) -> list[list[list[Cell]]]:
    """The rows in runs with the same first cell, or all together."""
    if not table.grouped:
        return [table.rows]
    return [list(rows) for _, rows in groupby(table.rows, key=lambda row: row[0])]


def _sum_rows(tables: list[Table]) -> int:
    return sum(len(table.rows) for table in tables)


def _unbroken(text: str) -> str:
    """Column heads do not break after a hyphen."""
    return text.replace("-", "\u2011")
