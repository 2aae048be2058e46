"""The verdict and the notices: wins and losses are said alike."""

import json

import pytest

from distil.report.data import load_report
from distil.report.findings import notices, verdict
from distil.report.html import render_html
from distil.report.summary import headline
from distil.report.tables.models import export_tables
from distil.report.tables.scores import mean_score
from tests.support.report_fixture import LANGUAGES, write_export, write_inputs


def everywhere(share: float) -> dict:
    return dict.fromkeys(LANGUAGES, share)


def edit(path, change) -> None:
    """Change a JSON file."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def set_pair(root, baseline: str, difference: float, interval: list[float]) -> None:
    """The mean difference of the student to a model on the sentiment task."""

    def change(compared):
        for pair in compared["differences"]:
            if (pair["model"], pair["baseline"]) == ("student", baseline):
                pair["mean"] = {"difference": difference, "interval_95": interval, "p": 0.002}

    edit(root / "metrics/compare/sentiment.json", change)


def test_what_a_linear_model_gives_beside_the_student(tmp_path):
    write_inputs(tmp_path, rows=60, linear=True)
    report = load_report(tmp_path)
    (said,) = [notice.text for notice in notices(report) if "linear model together" in notice.text]
    scores = {model: 100 * mean_score(report, "sentiment", model) for model in ("student", "student_linear", "tfidf")}
    both = scores["student_linear"]
    assert f"together score {both:.1f}: +{both - scores['student']:.1f} points over the student" in said
    assert f"+{both - scores['tfidf']:.1f} over TF-IDF" in said


def test_teachers_together_are_the_ceiling_of_the_student(tmp_path):
    write_inputs(tmp_path, rows=60, teachers=True)
    report = load_report(tmp_path)
    (said,) = [notice.text for notice in notices(report) if "teachers together" in notice.text]
    scores = {model: 100 * mean_score(report, "sentiment", model) for model in ("student", "teacher", "teachers")}
    assert f"score {scores['teachers']:.1f}, +{scores['teachers'] - scores['teacher']:.1f} points over" in said
    assert f"keeps {100 * scores['student'] / scores['teachers']:.1f}\N{NO-BREAK SPACE}% of its score" in said
    assert headline(report)["sentiment"]["of_teachers"] == pytest.approx(
        100 * scores["student"] / scores["teachers"], abs=0.01
    )
    write_inputs(tmp_path / "one", rows=60)
    one = load_report(tmp_path / "one")
    assert not [notice for notice in notices(one) if "teachers together" in notice.text]
    assert "of_teachers" not in headline(one)["sentiment"]


@pytest.fixture
def root(tmp_path):
    write_inputs(tmp_path, rows=30, skill={"teacher": everywhere(0.9), "tfidf": everywhere(0.2)})
    set_pair(tmp_path, "no_teacher", 0.11, [0.08, 0.14])
    set_pair(tmp_path, "tfidf", -0.088, [-0.12, -0.05])
    set_pair(tmp_path, "student_plain", 0.004, [-0.01, 0.02])

    def share(compared):
        compared["retention"]["student"]["mean"] = {"ratio": 0.957, "interval_95": [0.93, 1.01]}

    edit(tmp_path / "metrics/compare/sentiment.json", share)
    return tmp_path


def test_the_verdict_names_size_speed_share_wins_draws_and_losses(root):
    assert verdict(load_report(root)) == (
        "The student (14.1\u00a0MB in 8 bits, 43 times as fast as its teacher) keeps 95.7\u00a0% of its teacher's "
        "score on sentiment, beats the same student without a teacher by 11.0 points and cannot be told apart from "
        "plain fine-tuning, but is 8.8 points below TF-IDF."
    )


def test_the_verdict_is_the_first_sentence_of_the_page(root):
    report = load_report(root)
    page = render_html(report)
    said = page.index('<p class="verdict">The student (14.1')
    assert page.index("</h1>") < said < page.index('class="keyhead"')


def test_a_student_above_its_teacher_is_not_said_to_keep_more_than_all(root):
    def share(compared):
        compared["retention"]["student"]["mean"] = {"ratio": 1.014, "interval_95": [0.99, 1.04]}

    edit(root / "metrics/compare/sentiment.json", share)
    assert "scores as high as its teacher on sentiment (101.4\u00a0% of its score)" in verdict(load_report(root))


def test_a_loss_against_plain_fine_tuning_is_a_warning_and_a_gain_is_not(root):
    set_pair(root, "student_plain", -0.035, [-0.059, -0.013])
    report = load_report(root)
    assert "3.5 points below plain fine-tuning" in verdict(report)
    (found,) = [notice for notice in notices(report) if "distillation during fine-tuning" in notice.text]
    assert found.kind == "warning" and "costs 3.5 points on average ([−5.9, −1.3], p = 0.002)" in found.text
    set_pair(root, "student_plain", 0.035, [0.013, 0.059])
    (found,) = [notice for notice in notices(load_report(root)) if "distillation during fine-tuning" in notice.text]
    assert found.kind == "good" and "gives 3.5 points" in found.text


def test_held_out_accuracy_below_no_teacher_is_a_warning(root):
    def better(summary):
        summary["heldout"]["hau"]["student_accuracy"] = 0.5

    assert not any("masked tokens" in notice.text for notice in notices(load_report(root)))
    edit(root / "metrics/no_teacher/summary.json", better)
    (found,) = [notice for notice in notices(load_report(root)) if "masked tokens" in notice.text]
    assert found.kind == "warning" and found.text.endswith("in Hausa (37.2\u00a0% against 50.0\u00a0%).")


def test_speed_on_more_threads_is_doubted_where_a_model_was_slower_on_them(root):
    def speed(report):
        table = export_tables(report.export, report.languages)[0]
        return next(row[1].text for row in table.rows if row[0].text == "Speed on all threads")

    assert speed(load_report(root)) == "39.4 times"
    rates = {"1": {"teacher_fp32": 28_284.0, "student_int8": 9e4}, "2": {"teacher_fp32": 3_755.0, "student_int8": 1e5}}
    write_export(root, LANGUAGES, ["sentiment"], rates)
    report = load_report(root)
    assert speed(report) == "39.4 times (doubtful: teacher fp32 slower on all threads than on one)"
    assert any("teacher fp32 ran slower (3,755 against 28,284 tokens/s)" in notice.text for notice in notices(report))


def test_no_change_in_8_bits_has_no_sign(root):
    def unchanged(export):
        export["weighted_f1_drop_int8"] = dict.fromkeys(LANGUAGES, 0.0)

    edit(root / "metrics/export.json", unchanged)
    report = load_report(root)
    assert {row[1].text for row in export_tables(report.export, report.languages)[1].rows} == {"0.0"}
