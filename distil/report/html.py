"""The report as one HTML file that needs nothing else: no network, no script, no font, no picture beside it.

Whatever comes from data passes through html.escape. Every table scrolls inside its own box, which the keyboard can
reach; every chart has a name and a description.
"""

from html import escape
from itertools import groupby

from distil.core.languages import language_tag
from distil.report.data import Report
from distil.report.figures import first_figures, section_figures
from distil.report.findings import Figure, Finding, cost_figures, findings, origin, task_figures, task_line, title
from distil.report.format import Cell, Section, Table
from distil.report.sections import sections
from distil.report.style import CSS
from distil.report.tables_training import versions_table

_MARKS = {"synthetic": "Synthetic data.", "warning": "Warning.", "good": "", "note": "Note."}


def render_html(report: Report) -> str:
    """The whole page. The same report gives the same text."""
    parts = sections(report)
    versions = Section("versions", "Versions", "", [versions_table(report)], folded=True)
    found = findings(report)
    urgent = _findings([finding for finding in found if finding.kind == "synthetic"])
    others = _findings([finding for finding in found if finding.kind != "synthetic"])
    body = "".join(_section(part, report) for part in _nested([*parts, versions]))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title(report))}</title>
<style>{CSS}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the report</a>
<div class="page">
<header>
<h1>{escape(title(report))}</h1>
<p class="origin">{escape(origin(report))}</p>
{urgent}
{_first_key_figures(report)}
</header>
<main id="main" tabindex="-1">
{first_figures(report)}
{others}
{_contents([*parts, versions])}
{body}
</main>
<footer>Intervals are 95 % and cover the choice of test rows only. Scores in points are shares times 100. This page
was made by <code>dvc repro report</code>; the same tables are in report.md.</footer>
</div>
</body>
</html>
"""


def _first_key_figures(report: Report) -> str:
    """The numbers to begin with: size, speed and the distances on the first task; the others' are in their parts."""
    task = report.tasks[0]
    first = _key_figures("Against the teacher", cost_figures(report))
    return f'<div class="keys">{first}{_key_figures(task_line(report, task), task_figures(report, task))}</div>'


def _key_figures(label: str, figures: list[Figure]) -> str:
    items = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)} <small>{escape(detail)}</small></dd></div>"
        for label, value, detail in figures
    )
    return f'<div><p class="keyhead">{escape(label)}</p><dl class="key">{items}</dl></div>' if items else ""


def _findings(found: list[Finding]) -> str:
    items = []
    for finding in found:
        mark = f"<b>{_MARKS[finding.kind]}</b> " if _MARKS[finding.kind] else ""
        items.append(f'<li class="{finding.kind}">{mark}{escape(finding.text)}</li>')
    return f'<ul class="findings">{"".join(items)}</ul>' if items else ""


def _contents(parts: list[Section]) -> str:
    links = "".join(
        f'<li><a href="#{escape(part.name)}">{escape(part.title)}</a></li>' for part in parts if part.level == 2
    )
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _nested(parts: list[Section]) -> list[list[Section]]:
    """Each section with those below it."""
    groups: list[list[Section]] = []
    for part in parts:
        if part.level == 2:
            groups.append([])
        groups[-1].append(part)
    return groups


def _section(group: list[Section], report: Report) -> str:
    name = escape(group[0].name)
    inner = "".join(
        f'<h{part.level} id="{escape(part.name)}-h">{escape(part.title)}</h{part.level}>'
        + (f'<p class="text">{escape(part.text)}</p>' if part.text else "")
        + _own_key_figures(part.name, report)
        + section_figures(part.name, report)
        + _tables(part)
        for part in group
    )
    return f'<section id="{name}" aria-labelledby="{name}-h">{inner}</section>\n'


def _own_key_figures(name: str, report: Report) -> str:
    """The distances at the head of each task but the first, whose stand at the head of the page."""
    task = name.removeprefix("task-")
    later = name.startswith("task-") and task in report.tasks[1:]
    return _key_figures(task_line(report, task), task_figures(report, task)) if later else ""


def _tables(part: Section) -> str:
    tables = "".join(render_table(table) for table in part.tables)
    if part.folded:
        rows = sum(len(table.rows) for table in part.tables)
        return f"<details><summary>Show {rows} rows</summary>{tables}</details>"
    return f'<div class="small">{tables}</div>' if part.small else tables


def render_table(table: Table) -> str:
    """A table in a box that scrolls and that the keyboard can reach."""
    left = [at < table.headers or at in table.texts for at in range(len(table.columns))]
    heads = "".join(
        f'<th scope="col"{_css(at, left[at])}>{escape(column).replace("-", "&#8209;")}</th>'
        if column
        else '<td class="first"></td>'
        for at, column in enumerate(table.columns)
    )
    bodies = "".join(_body(group, table, left) for group in _groups(table))
    name = escape(table.name)
    note = f'<p class="foot">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll" role="group" tabindex="0" aria-labelledby="{name}-c"><table>'
        f'<caption id="{name}-c"><span>{escape(table.caption)}</span></caption><thead><tr>{heads}</tr></thead>'
        f"{bodies}</table></div>{note}"
    )


def _groups(table: Table) -> list[list[list[Cell]]]:
    """The rows in runs with the same first cell, or all together."""
    if not table.grouped:
        return [table.rows]
    return [list(rows) for _, rows in groupby(table.rows, key=lambda row: row[0])]


def _body(rows: list[list[Cell]], table: Table, left: list[bool]) -> str:
    """One <tbody>; the shared first cell of a group stands once, over all its rows."""
    lines = []
    for at, row in enumerate(rows):
        shared = table.grouped and at > 0
        cells = "".join(
            _cell(cell, place, table, left[place], len(rows)) for place, cell in enumerate(row) if place or not shared
        )
        last = ' class="average"' if table.average and row is table.rows[-1] else ""
        lines.append(f"<tr{last}>{cells}</tr>")
    return f"<tbody>{''.join(lines)}</tbody>"


def _cell(cell: Cell, at: int, table: Table, left: bool, rows: int) -> str:
    detail = f' <span class="detail">{escape(cell.detail)}</span>' if cell.detail else ""
    if at < table.headers:
        scope = f'scope="rowgroup" rowspan="{rows}"' if table.grouped and at == 0 else 'scope="row"'
        return f"<th {scope}{_css(at, True)}>{escape(cell.text)}{detail}</th>"
    if cell.share is not None:
        return f'<td class="shade" style="--share:{cell.share:.3f}">{escape(cell.text)}{detail}</td>'
    if cell.language:
        return f'<td class="left long"><bdi lang="{escape(language_tag(cell.language))}">{escape(cell.text)}</bdi></td>'
    return f"<td{_css(at, left)}>{escape(cell.text)}{detail}</td>"


def _css(at: int, left: bool) -> str:
    """The class attribute of a cell in column `at`."""
    classes = " ".join(["first"] * (at == 0) + ["left"] * left)
    return f' class="{classes}"' if classes else ""
