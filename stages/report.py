"""Stage report: everything measured -> one page, the same as Markdown, the student's model card, and a headline."""

from pathlib import Path

from distil.core.files import write_json, write_text
from distil.core.params import load_params
from distil.report.data import load_report
from distil.report.html import render_html
from distil.report.markdown import render_markdown
from distil.report.model_card import CardConfig, render_card
from distil.report.summary import headline
from distil.runtime.process import run_stage


def main() -> None:
    """Write metrics/report.html, metrics/report.md, metrics/model_card.md and metrics/headline.json."""
    card, report = load_params("card", CardConfig), load_report()
    write_text(Path("metrics/report.html"), render_html(report))
    write_text(Path("metrics/report.md"), render_markdown(report))
    write_text(Path("metrics/model_card.md"), render_card(report, card))
    write_json(Path("metrics/headline.json"), headline(report))


if __name__ == "__main__":
    run_stage(main)
