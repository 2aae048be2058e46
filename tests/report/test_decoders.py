"""Decoders have a table of their own in the report, and none without them."""

from pathlib import Path

import yaml

from distil.core.files import write_json, write_text
from distil.core.params import load_languages
from distil.evaluation.config import load_evaluate
from distil.evaluation.optional_models import optional_models
from distil.evaluation.predictions import predictions_file
from distil.evaluation.run import evaluate
from distil.report.data import load_report
from distil.report.markdown import render_markdown
from distil.report.tables.decoders import decoder_tables
from tests.support.decoders import BLOCK, PROMPT
from tests.support.report_fixture import write_inputs


def test_a_decoder_is_scored_on_the_tasks_of_its_prompts_and_has_its_own_table(tmp_path: Path) -> None:
    params = write_inputs(tmp_path, tasks=["tone", "tags"], tagged=("tags",), rows=40)
    assert not any(decoder_tables(load_report(tmp_path), task) for task in ("tone", "tags"))
    params["decoders"] = {"tiny": BLOCK | {"prompts": {"tone": PROMPT}}}
    write_text(tmp_path / "params.yaml", yaml.safe_dump(params, sort_keys=False))
    said = predictions_file(tmp_path, "tfidf", "tone").read_text(encoding="utf-8")
    write_text(predictions_file(tmp_path, "tiny", "tone"), said)
    write_json(tmp_path / "metrics/cost/decoder-tiny.json", {"seconds": 3, "peak_memory_mib": 300})
    scoring, optional = (
        load_evaluate(tmp_path / "params.yaml"),
        optional_models(["tone", "tags"], tmp_path / "params.yaml"),
    )
    assert optional == {"tone": {"tiny": "decoder@tiny"}, "tags": {}}
    for code in params["languages"]:
        for task in ("tone", "tags"):
            rows = (tmp_path / f"data/tasks/{task}/{code}/test.jsonl").read_bytes()
            (tmp_path / f"data/tasks/{task}/{code}/train.jsonl").write_bytes(rows)
    evaluate(tmp_path, scoring, load_languages(tmp_path / "params.yaml"), optional)
    report = load_report(tmp_path)
    assert list(report.scores["tone"]) == list(report.scores["tags"])  # the tables of every run are as they were
    (table,) = decoder_tables(report, "tone")
    assert table.columns == ["Language", "tiny", "Student vs. tiny"]
    tfidf = report.scores["tone"]["tfidf"]
    expected = [f"{100 * tfidf.score(code):.1f}" for code in report.languages]
    assert [row[1].text for row in table.rows[:-1]] == expected
    assert "Student vs. tiny" in render_markdown(report) and "decoder@tiny" in report.costs
    assert ",tiny," not in (tmp_path / "metrics/scores.csv").read_text(encoding="utf-8")
