"""The lines with which a run ends, from files as the stages write them."""

from pathlib import Path
from typing import Any

import pytest

from distil.core.errors import UserError
from distil.core.files import write_json
from distil.report.controls import NOT_MEASURED
from distil.report.result import result_lines, task_sentence


def pair(baseline: str, difference: float, low: float, high: float) -> dict[str, Any]:
    return {"model": "student", "baseline": baseline, "mean": {"difference": difference, "interval_95": [low, high]}}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text("loss:\n  alpha: 0.9\n")
    metrics = tmp_path / "metrics"
    write_json(metrics / "headline.json", {
        "heldout": {"kl": 0.1}, "size": {"million_parameters": 10.5}, "tone": {"student": 75.13, "of_teacher": 98.66},
    })  # fmt: skip
    for model, score in (("student", 0.7513), ("teacher", 0.7617), ("no_teacher", 0.64), ("tfidf", 0.7)):
        write_json(metrics / f"evaluate/{model}/tone.json", {"metric": "weighted_f1", "mean": {"weighted_f1": score}})
    differences = [pair("no_teacher", 0.11, 0.08, 0.14), pair("tfidf", 0.05, -0.01, 0.1), pair("other", 1, 1, 1)]
    write_json(metrics / "compare/tone.json", {"differences": differences})
    write_json(metrics / "export.json", {"int8_bytes": 13_400_000, "speedup_vs_teacher_fp32": 9.87})
    return tmp_path


def test_a_run_ends_with_verdict_scores_size_and_the_next_commands(root: Path) -> None:
    assert result_lines(root) == [
        "On tone the student keeps 98.7 % of its teacher, is 11.0 points above training without a teacher and cannot "
        "be told from TF-IDF (+5.0 points).",
        "  weighted F1: student 75.1, teacher 76.2, no teacher 64.0, TF-IDF 70.0",
        "  student: 10.5M parameters, 13.4 MB in int8, 9.9 times the teacher's tokens per second on one thread",
        "Next:",
        "  make report ARGS=--open           every table and picture (metrics/report.html)",
        "  dvc exp run -S loss.alpha=0.5     change one value; what it does not concern is not computed again",
        "  make runs                         the table of all runs in the terminal",
        "  make mlflow                       the same with curves in a browser, http://127.0.0.1:5000/#/experiments",
    ]


def test_controls_have_a_sentence_each_and_their_scores(root: Path) -> None:
    (root / "params.yaml").write_text("student:\n  init: teacher\nevaluate:\n  controls: [start]\n")
    differences = [pair("student_start", -0.013, -0.02, -0.004), pair("tfidf", 0.05, -0.01, 0.1)]
    write_json(root / "metrics/compare/tone.json", {"differences": differences})
    scored = {"metric": "weighted_f1", "mean": {"weighted_f1": 0.7643}}
    write_json(root / "metrics/evaluate/student_start/tone.json", scored)
    assert result_lines(root)[1:3] == [
        "On tone distilling over text loses 1.3 points against its own start without distillation [−2.0, −0.4].",
        "  weighted F1: student 75.1, teacher 76.2, start 76.4, no teacher 64.0, TF-IDF 70.0",
    ]


def test_without_the_control_the_distance_to_no_teacher_is_put_right(root: Path) -> None:
    params = root / "params.yaml"
    params.write_text("student:\n  init: teacher\nevaluate:\n  controls: []\n")
    assert result_lines(root)[2] == NOT_MEASURED
    params.write_text("student:\n  init: random\nevaluate:\n  controls: []\n")
    assert NOT_MEASURED not in result_lines(root)


def test_a_loss_is_said_as_plainly_as_a_gain() -> None:
    compared = {"differences": [pair("tfidf", -0.088, -0.1, -0.07)]}
    assert task_sentence("tone", {}, compared) == "On tone the student is 8.8 points below TF-IDF."
    assert task_sentence("tone", {}, {"differences": []}) == "On tone the student was scored alone."


def test_no_change_is_not_minus_zero() -> None:
    compared = {"differences": [pair("tfidf", -0.0001, -0.1, 0.07)]}
    assert task_sentence("tone", {}, compared) == "On tone the student cannot be told from TF-IDF (0.0 points)."


def test_without_labels_there_is_size_and_what_to_do_next(root: Path) -> None:
    write_json(root / "metrics/headline.json", {"size": {"million_parameters": 1.0}})
    (root / "metrics/export.json").unlink()
    assert result_lines(root)[:2] == ["  student: 1M parameters", "Next:"]


def test_what_was_not_measured_yet_names_its_stage(root: Path) -> None:
    (root / "metrics/compare/tone.json").unlink()
    with pytest.raises(UserError, match=r"compare/tone.json.*dvc repro evaluate"):
        result_lines(root)
