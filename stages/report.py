"""Stage report: everything measured -> one page, the same as Markdown, and the student's model card."""

from pathlib import Path

from distil.files import write_text
from distil.model_card import render_card
from distil.report import gather
from distil.report_html import render_html
from distil.report_text import render_markdown
from distil.runner import run


def main() -> None:
    """Write metrics/report.html, metrics/report.md and metrics/model_card.md."""
    report = gather()
    write_text(Path("metrics/report.html"), render_html(report))
    write_text(Path("metrics/report.md"), render_markdown(report))
    write_text(Path("metrics/model_card.md"), render_card(report))


if __name__ == "__main__":
    run(main)
