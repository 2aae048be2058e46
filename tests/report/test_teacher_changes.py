"""A teacher that is not the published model any more: said in the report, in its tables and on the card."""

from pathlib import Path
from typing import Any

import pytest

from distil.core.files import read_json, write_json
from distil.report.data import Report, load_report
from distil.report.findings import notices
from distil.report.markdown import render_markdown
from distil.report.model_card import CardConfig, render_card
from distil.report.tables.training import vocabulary_table
from tests.support.report_fixture import LANGUAGES, write_inputs

CARD = CardConfig(name="tiny-student", license="mit")
NEW = {
    code: {"pieces": 1000, "pieces_per_word_before": 2.0, "pieces_per_word_after": 1.9 - 0.1 * number}
    for number, code in enumerate(LANGUAGES)
}


def with_teacher(root: Path, **more: Any) -> Report:
    write_inputs(root, rows=40)
    path = root / "models/teacher/manifest.json"
    write_json(path, read_json(path, "teacher") | more)
    return load_report(root)


def said(report: Report) -> list[str]:
    return [notice.text for notice in notices(report) if "teacher" in notice.text and notice.kind == "note"]


def test_new_pieces_are_told_in_a_notice_in_the_table_and_on_the_card(tmp_path: Path) -> None:
    report = with_teacher(tmp_path, adapted={"steps": 10, "tokens": 1, "languages": {}, "new_pieces": NEW})
    text = next(text for text in said(report) if "extended by 5,000 pieces" in text)
    assert "it is not that of Davlan/afro-xlmr-large" in text and "5\u00a0% to 25\u00a0% fewer tokens" in text
    table = vocabulary_table(report)
    assert table.columns[5:] == ["New pieces", "Tokens per word, held out, before them", "with them"]
    assert [cell.text for cell in table.rows[0]][5:] == ["1,000", "2.00", "1.90"]
    card = " ".join(render_card(report, CARD).split())
    assert "250,002, 5,000 of which were added to its tokenizer here." in card and "extended by 5,000 pieces" in card


@pytest.mark.parametrize("adapted", [None, {"steps": 10, "tokens": 1, "languages": {}}])
def test_without_new_pieces_nothing_is_said(tmp_path: Path, adapted: Any) -> None:
    report = with_teacher(tmp_path, adapted=adapted)
    assert len(vocabulary_table(report).columns) == 5
    assert "extended" not in render_markdown(report) and "added to its tokenizer" not in render_card(report, CARD)


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        (["a", "b"], "a and b were merged by ties; what was merged predicts"),
        (["b"], "a and b were merged by ties; b alone predicts"),
        ([], "a and b were merged by ties; the teacher as it came predicts"),
    ],
)
def test_a_merged_teacher_is_told_with_what_was_kept(tmp_path: Path, kept: list[str], text: str) -> None:
    losses = {code: 2.0 for code in LANGUAGES}
    merged = {"method": "ties", "density": 0.5, "kept": kept,
              "masked_lm": {"base": losses, "models": {"a": losses, "b": losses}, "merged": losses}}  # fmt: skip
    assert [found for found in said(with_teacher(tmp_path, merged=merged)) if found.startswith(text)]


def test_teachers_that_taught_together_are_told_with_shares_and_losses(tmp_path: Path) -> None:
    assert not any("mixture" in text for text in said(with_teacher(tmp_path)))
    path = tmp_path / "metrics/cost/cache_teacher.json"
    shares = {"weights": {"teacher": 0.75, "tweets": 0.25},
              "heldout_loss": {"teacher": 2.5, "tweets": 2.75, "together": 2.25}}  # fmt: skip
    write_json(path, read_json(path, "cache_teacher") | {"mixture": dict.fromkeys(LANGUAGES, shares)})
    text = next(text for text in said(load_report(tmp_path)) if "mixture of 2 models" in text)
    assert "teacher 75\u00a0% (2.500 nats) and tweets 25\u00a0% (2.750 nats); together 2.250 nats" in text
