"""Stage report: everything measured -> one page, the same as Markdown, the student's model card, and a headline."""

from pathlib import Path

from distil.files import write_json, write_text
from distil.model_card import CardConfig, render_card
from distil.params import load_params
from distil.report import gather
from distil.report_html import render_html
from distil.report_markdown import render_markdown
from distil.report_text import headline
from distil.runner import run


def main() -> None:
    """Write metrics/report.html, metrics/report.md, metrics/model_card.md and metrics/headline.json."""
    card, report = load_params("card", CardConfig), gather()
    write_text(Path("metrics/report.html"), render_html(report))
    write_text(Path("metrics/report.md"), render_markdown(report))
    write_text(Path("metrics/model_card.md"), render_card(report, card))
    write_json(Path("metrics/headline.json"), headline(report))


if __name__ == "__main__":
    run(main)
