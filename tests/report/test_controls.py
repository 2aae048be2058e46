"""Controls of the distillation in report, card, headline and verdict: there where the run has them, and only there."""

import json
import re
from pathlib import Path

import pytest

from distil.core.files import write_json
from distil.evaluation.controls import is_left_over
from distil.report.controls import NOT_MEASURED, distillation_sentence
from distil.report.data import load_report
from distil.report.findings import notices
from distil.report.html import render_html
from distil.report.markdown import render_markdown
from distil.report.model_card import CardConfig, render_card
from distil.report.summary import headline
from tests.support.report_fixture import write_inputs

CARD = CardConfig(name="student", license="unknown")


@pytest.mark.parametrize(
    ("difference", "interval", "expected"),
    [
        (0.021, (0.012, 0.03), "gains 2.1 points over its own start without distillation [+1.2, +3.0]"),
        (-0.013, (-0.02, -0.004), "loses 1.3 points against its own start without distillation [−2.0, −0.4]"),
        (0.003, (-0.01, 0.02),
         "makes no difference from its own start without distillation that can be told [−1.0, +2.0]"),
    ],
)  # fmt: skip
def test_a_loss_is_said_as_plainly_as_a_gain(difference: float, interval: tuple[float, float], expected: str) -> None:
    found = distillation_sentence("tone", "student_start", difference, interval)
    assert found == f"On tone distilling over text {expected}."


def test_controls_are_rows_wherever_models_are(tmp_path: Path) -> None:
    write_inputs(tmp_path, controls=("start", "masked_lm"), rows=40)
    report = load_report(tmp_path)
    assert report.models[2:5] == ["no_teacher", "student_start", "student_masked_lm"]
    for text in (render_markdown(report), render_card(report, CARD), render_html(report)):
        plain = re.sub(r"<[^>]*>|\\", "", text).replace("&#39;", "'").replace("\u2011", "-")
        assert "Student's start, not distilled" in plain and "vs. its start" in plain
        assert "Accuracy of its start" in plain
        assert len(re.findall("On sentiment distilling over text ", plain)) == 2 and NOT_MEASURED not in plain
    assert "over its start" in render_html(report) and "finetune_control@start-sentiment" in report.costs


def test_the_headline_has_the_distance_to_the_start_with_its_interval_first(tmp_path: Path) -> None:
    write_inputs(tmp_path, controls=("start",), rows=40)
    report = load_report(tmp_path)
    found, pair = headline(report)["sentiment"], report.comparisons["sentiment"].over("student", "student_start")
    assert list(found)[:5] == ["student", "over_start", "over_start_low", "over_start_high", "over_no_teacher"]
    expected = [pair.mean.difference, *pair.mean.interval_95]
    assert [found[name] for name in list(found)[1:4]] == pytest.approx([100 * value for value in expected], abs=0.01)
    assert "over_masked_lm" not in found


def test_without_the_control_the_distance_to_no_teacher_is_put_right(tmp_path: Path) -> None:
    params = write_inputs(tmp_path, rows=40)
    assert params["student"]["init"] == "teacher"
    report = load_report(tmp_path)
    assert NOT_MEASURED in [notice.text for notice in notices(report)] and "evaluate.controls" in NOT_MEASURED
    for text in (render_html(report), render_markdown(report), render_card(report, CARD)):
        assert "beyond that start was not measured: set evaluate.controls to" in text


def test_a_student_of_a_random_start_has_no_such_caveat(tmp_path: Path) -> None:
    write_inputs(tmp_path, rows=40)
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text().replace("init: teacher", "init: random"))
    assert NOT_MEASURED not in [notice.text for notice in notices(load_report(tmp_path))]


def test_what_a_control_left_that_is_off_again_is_not_read(tmp_path: Path) -> None:
    write_inputs(tmp_path / "never", rows=40)
    write_inputs(tmp_path / "off", rows=40)
    for name in ("control-start", "finetune_control-start-sentiment"):
        write_json(tmp_path / f"off/metrics/cost/{name}.json", {"seconds": 9e6, "peak_memory_mib": 1, "machine": ""})
    write_json(tmp_path / "off/metrics/evaluate/student_start/sentiment.json", {"no": "scores"})
    write_json(tmp_path / "off/metrics/distil/controls/start/summary.json", {"no": "summary"})
    never, off = (render_markdown(load_report(tmp_path / name)) for name in ("never", "off"))
    assert never == off and "start, not distilled" not in off
    assert json.dumps(headline(load_report(tmp_path / "off"))) == json.dumps(headline(load_report(tmp_path / "never")))


@pytest.mark.parametrize(
    ("cost", "controls", "left"),
    [
        ("control-start", [], True),
        ("control-start", ["start"], False),
        ("finetune_control-masked_lm-my-task", ["start"], True),
        ("finetune_control-masked_lm-my-task", ["masked_lm"], False),
        ("finetune_student-start", [], False),
        ("merge_student-my-task", [], True),
        ("merge_student-words", [], False),
    ],
)
def test_costs_of_controls_and_merges_that_are_off_are_left_over(cost: str, controls: list[str], left: bool) -> None:
    assert is_left_over(cost, controls, {"merge_student": ["words"]}) is left
