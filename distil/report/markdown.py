"""The report as Markdown, for a terminal and for git: the same tables as the page."""

from distil.report.data import Report
from distil.report.findings import notices, verdict
from distil.report.format import Cell, Table
from distil.report.sections import sections
from distil.report.summary import provenance, summary_lines, title


def render_markdown(report: Report) -> str:
    """The whole report as Markdown."""
    lines = [f"# {escape(title(report))}", "", escape(provenance(report)), "", f"**{escape(verdict(report))}**", ""]
    for notice in notices(report):
        mark = {"synthetic": "Synthetic data. ", "warning": "Warning. "}.get(notice.kind, "")
        lines += [f"> {f'**{mark.strip()}** ' if mark else ''}{escape(notice.text)}", ""]
    lines += [f"- {escape(line)}" for line in summary_lines(report)]
    lines.append("")
    for section in sections(report):
        lines += ["#" * section.level + " " + escape(section.title), ""]
        lines += [escape(section.text), ""] if section.text else []
        for table in section.tables:
            lines += [*markdown_table(table), ""]
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(table: Table) -> list[str]:
    """Caption and rows, padded so that columns line up in a terminal."""
    grid = [[escape(column) for column in table.columns]]
    grid += [[_cell(cell) for cell in row] for row in table.rows]
    widths = [max(3, *(len(row[at]) for row in grid)) for at in range(len(table.columns))]
    left = [at < table.headers or at in table.texts for at in range(len(widths))]
    rule = [("-" * width if left[at] else "-" * (width - 1) + ":") for at, width in enumerate(widths)]
    padded = [
        [text.ljust(widths[at]) if left[at] else text.rjust(widths[at]) for at, text in enumerate(row)] for row in grid
    ]
    body = ["| " + " | ".join(row) + " |" for row in (padded[0], rule, *padded[1:])]
    note = ["", escape(table.note)] if table.note else []
    return [f"{escape(table.caption)}:", "", *body, *note]


def _cell(cell: Cell) -> str:
    if not cell.detail:
        return escape(cell.text)
    detail = cell.detail if cell.detail.startswith("[") else f"({cell.detail})"
    return f"{escape(cell.text)} {escape(detail)}"


def escape(text: str) -> str:
    """Text that Markdown shows as it is: no table, tag, link, code or emphasis begins in it."""
    entities = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + character if character in "\\|*`" else character for character in entities)
