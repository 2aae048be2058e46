"""The report as one HTML file that needs nothing else: no network, no script, no font, no picture beside it.

Whatever comes from data passes through html.escape. Every table scrolls inside its own box, which the keyboard can
reach; every chart has a name and a description.
"""

from html import escape
from itertools import groupby

from distil.charts import STYLES, DotRow, Series, dot_chart, line_chart, size_chart
from distil.report import Curve, Report, language_name
from distil.report_format import Cell, Section, Table, percent, points, short
from distil.report_style import CSS
from distil.report_tables import sections, versions_table
from distil.report_text import Finding, findings, lede, origin, title

_MARKS = {"synthetic": "Synthetic data.", "warning": "Warning.", "good": "", "note": "Note."}

_TERMS = {
    "logit_kd": ("Training loss: distributions (logit_kd)", "nats"),
    "attention": ("Training loss: attention", "mean squared error"),
    "masked_lm": ("Training loss: masked LM", "nats"),
}


def render_html(report: Report) -> str:
    """The whole page. The same report gives the same text."""
    parts = sections(report)
    versions = Section("versions", "Versions", "", [versions_table(report)])
    head = "".join(f"<p>{escape(line)}</p>" for line in lede(report))
    found = findings(report)
    urgent = _findings([finding for finding in found if finding.kind in ("synthetic", "warning")])
    others = _findings([finding for finding in found if finding.kind not in ("synthetic", "warning")])
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
<div class="lede">{head}</div>
{urgent}
</header>
<main id="main" tabindex="-1">
<div class="charts">{_size_figure(report)}{"".join(_retention_figure(report, task) for task in report.tasks)}</div>
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
        + _figures(part.name, report)
        + _tables(part)
        for part in group
    )
    return f'<section id="{name}" aria-labelledby="{name}-h">{inner}</section>\n'


def _tables(part: Section) -> str:
    tables = "".join(render_table(table) for table in part.tables)
    if part.name in ("parameters", "versions"):
        rows = sum(len(table.rows) for table in part.tables)
        return f"<details><summary>Show all {rows}</summary>{tables}</details>"
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
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{name}-c"><table>'
        f'<caption id="{name}-c">{escape(table.caption)}</caption><thead><tr>{heads}</tr></thead>'
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
        return f'<td class="left long"><bdi lang="{escape(cell.language)}">{escape(cell.text)}</bdi></td>'
    return f"<td{_css(at, left)}>{escape(cell.text)}{detail}</td>"


def _css(at: int, left: bool) -> str:
    """The class attribute of a cell in column `at`."""
    classes = " ".join(["first"] * (at == 0) + ["left"] * left)
    return f' class="{classes}"' if classes else ""


def _figure(caption: str, detail: str, chart: str) -> str:
    small = f"<small>{escape(detail)}</small>" if detail else ""
    return f"<figure><figcaption>{escape(caption)}{small}</figcaption>{chart}</figure>"


def _figures(name: str, report: Report) -> str:
    """The charts of a section."""
    if name.startswith("task-"):
        return _score_figure(report, name.removeprefix("task-"))
    figures = []
    if name == "training":
        for term, (caption, unit) in _TERMS.items():
            figures.append(_curve_figure(report, report.train, term, caption, unit))
    if name == "heldout":
        figures.append(_curve_figure(report, report.heldout, "kl", "Held-out KL to the teacher", "nats"))
        figures.append(_curve_figure(report, report.heldout, "accuracy", "Held-out masked accuracy", "%", 100))
    shown = "".join(figures)
    return f'<div class="charts">{shown}</div>' if shown else ""


def _curve_figure(report: Report, curve: Curve, term: str, caption: str, unit: str, scale: float = 1) -> str:
    """A curve for each language and, where there is one, for all together; nothing when the term was not measured."""
    columns = {"all": term} | {language_name(code): f"{code}.{term}" for code in report.languages}
    series: Series = {
        label: [
            (x, scale * y) for x, y in zip(curve["step"], curve[column], strict=True) if x is not None and y is not None
        ]
        for label, column in columns.items()
        if column in curve
    }
    series = {label: values for label, values in series.items() if values}
    if not series:
        return ""
    ends = ", ".join(f"{label} from {values[0][1]:.3g} to {values[-1][1]:.3g}" for label, values in series.items())
    chart = line_chart(f"curve-{term}", caption, f"By optimiser step: {ends}.", series, "optimiser step", unit)
    return _figure(caption, "", chart)


def _size_figure(report: Report) -> str:
    teacher, student = report.summary.teacher, report.summary.student
    sizes = [
        (name, model.embedding_parameters, model.body_parameters, f"{short(model.parameters)}{share}")
        for name, model, share in (
            ("Teacher", teacher, ""),
            ("Student", student, f"  ({percent(student.parameters / teacher.parameters)})"),
        )
    ]
    said = " ".join(
        f"{name}: {short(embedding)} in the embedding table, {short(body)} in the body."
        for name, embedding, body, _ in sizes
    )
    detail = f"{teacher.parameters / student.parameters:.1f} times smaller"
    return _figure("Parameters", detail, size_chart("sizes", "Parameters of teacher and student", said, sizes))


def _retention_figure(report: Report, task: str) -> str:
    rows, said = [], []
    teacher, tfidf = report.scores[task]["teacher"], report.scores[task]["tfidf"]
    for code in report.languages:
        ratio = report.retention[task][code]
        if ratio is None:
            continue
        values = {"student": 100 * ratio.value, "tfidf": 100 * tfidf.score(code) / teacher.score(code)}
        rows.append(DotRow(language_name(code), values, (100 * ratio.low, 100 * ratio.high), percent(ratio.value)))
        said.append(f"{language_name(code)} {percent(ratio.value)}, from {points(ratio.low)} to {points(ratio.high)}")
    if not rows:
        return ""
    name = f"Share of the teacher's score kept on {task}"
    chart = dot_chart(f"kept-{task}", name, "; ".join(said) + ".", rows, (100, "teacher"))
    return _figure(f"Retention on {task}", "weighted F1 as a share of the teacher's, %", chart)


def _score_figure(report: Report, task: str) -> str:
    scores = report.scores[task]
    rows, said = [], []
    for code in report.languages:
        values = {model: 100 * scores[model].score(code) for model in STYLES}
        low, high = scores["student"].languages[code].interval_95
        rows.append(DotRow(language_name(code), values, (100 * low, 100 * high), points(scores["student"].score(code))))
        each = ", ".join(f"{model} {value:.1f}" for model, value in values.items())
        said.append(f"{language_name(code)}: {each}")
    chart = dot_chart(f"dots-{task}", f"Scores on {task}", "; ".join(said) + ".", rows)
    return _figure("Weighted F1, points", "The number at the right is the student's.", chart)
