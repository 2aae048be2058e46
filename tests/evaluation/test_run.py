"""Stage evaluate: predictions of all models -> scores and comparisons; words that were cut off."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from distil.core.errors import UserError
from distil.core.files import write_checksums
from distil.evaluation.config import CompanionConfig
from distil.evaluation.model_names import models_of
from distil.evaluation.predictions import predictions_file, read_predictions, write_predictions
from distil.evaluation.run import evaluate
from distil.finetuning.row_predictions import predict_test
from tests.support import lab, toy


@pytest.fixture
def room(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = lab.make_lab(tmp_path, world)
    monkeypatch.chdir(root)
    return root


MODELS = models_of(lab.SCORING)


def one_epoch(**more):
    return lab.CONFIG.model_copy(update={"teacher": lab.CONFIG.teacher.model_copy(update={"epochs": 1}), **more})


def test_words_beyond_the_limit_are_outside_and_counted(room: Path) -> None:
    models, task = lab.tuned("teacher", "names", config=one_epoch(max_length=8)), lab.task_of("names")
    found, cut_off = predict_test(models, task)
    words = sum(len(row.tokens) for language in toy.LANGUAGES for row in task.token_rows(language, "test"))
    assert 0 < cut_off < words
    ends = [tags[-1] for language in toy.LANGUAGES for tags in found[language].predicted[1]]
    assert set(ends[:5]) == {"O"}


@pytest.fixture
def predicted(room: Path) -> Path:
    """The predictions of one model under the names of all."""
    models, task = lab.tuned("teacher", "words", config=one_epoch()), lab.task_of("words")
    for model in MODELS:
        target = predictions_file(room, model, "words")
        target.parent.mkdir(parents=True)
        shutil.copyfile("models/finetuned/teacher-words.csv", target)
    assert models.seeds == [1] and task.labels == ["good", "bad"]
    return room


def test_a_rival_is_scored_and_compared_on_the_same_rows_and_has_no_row_in_the_plot(predicted: Path) -> None:
    target = predictions_file(predicted, "tiny", "words")
    target.parent.mkdir()
    shutil.copyfile(predictions_file(predicted, "student", "words"), target)
    evaluate(predicted, lab.SCORING, toy.LANGUAGES, {"words": {"tiny": "rival@tiny"}})
    compared = json.loads((predicted / "metrics/compare/words.json").read_text())
    (pair,) = [each for each in compared["differences"] if (each["model"], each["baseline"]) == ("student", "tiny")]
    assert pair["mean"]["difference"] == 0 and pair["mean"]["interval_95"] == [0, 0]
    assert (predicted / "metrics/evaluate/tiny/words.json").is_file()
    assert "tiny" not in (predicted / "metrics/scores.csv").read_text()
    target.unlink()
    with pytest.raises(UserError, match="tiny/words.csv: no such file; run `dvc repro rival@tiny`"):
        evaluate(predicted, lab.SCORING, toy.LANGUAGES, {"words": {"tiny": "rival@tiny"}})


def test_scores_are_those_of_the_predictions_on_disk(predicted: Path) -> None:
    assert evaluate(predicted, lab.SCORING, toy.LANGUAGES) == {"rows": 30 * 2 * len(MODELS)}
    answers = read_predictions(predictions_file(predicted, "student", "words"), "finetune_student@words")["swa"][1]
    right = np.mean([gold == said for gold, said in zip(answers.gold, answers.predicted, strict=True)])
    scores = json.loads((predicted / "metrics/evaluate/student/words.json").read_text())
    assert scores["languages"]["swa"]["accuracy"] == pytest.approx(right, abs=1e-6)
    assert scores["languages"]["swa"]["n"] == 30 and scores["languages"]["swa"]["n_train"] == 96
    assert scores["languages_mode"] == "joint"
    assert json.loads((predicted / "metrics/evaluate/tfidf/words.json").read_text())["languages_mode"] is None
    compared = json.loads((predicted / "metrics/compare/words.json").read_text())
    assert {pair["mean"]["difference"] for pair in compared["differences"]} == {0.0}


def test_the_transformer_of_a_student_with_ngrams_is_a_row_of_its_own(predicted: Path) -> None:
    path = predictions_file(predicted, "student_transformer", "words")
    write_predictions(path, {}, ["good", "bad"])  # as without n-grams
    evaluate(predicted, lab.SCORING, toy.LANGUAGES)
    assert not (predicted / "metrics/evaluate/student_transformer").exists()
    shutil.copyfile("models/finetuned/teacher-words.csv", path)
    assert evaluate(predicted, lab.SCORING, toy.LANGUAGES) == {"rows": 30 * 2 * (len(MODELS) + 1)}
    compared = json.loads((predicted / "metrics/compare/words.json").read_text())
    assert compared["models"][:3] == ["student", "student_transformer", "student_plain"]
    (predicted / "metrics/predictions/student_transformer/words.csv").write_text("a\nb\n")
    with pytest.raises(UserError, match="run `dvc repro --force finetune_student@words`"):
        evaluate(predicted, lab.SCORING, toy.LANGUAGES)


def test_a_linear_companion_is_a_row_where_it_is_asked_for_whatever_is_left_over(predicted: Path) -> None:
    path = predictions_file(predicted, "student_linear", "words")
    path.parent.mkdir(parents=True)
    shutil.copyfile("models/finetuned/teacher-words.csv", path)
    evaluate(predicted, lab.SCORING, toy.LANGUAGES)
    assert not (predicted / "metrics/evaluate/student_linear").exists()
    asked = lab.SCORING.model_copy(update={"linear_companion": CompanionConfig(tasks=("words",), bits=10)})
    evaluate(predicted, asked, toy.LANGUAGES)
    compared = json.loads((predicted / "metrics/compare/words.json").read_text())
    assert compared["models"][:2] == ["student", "student_linear"]
    path.unlink()
    with pytest.raises(UserError, match="no such file; run `dvc repro linear_companion@words`"):
        evaluate(predicted, asked, toy.LANGUAGES)


def test_teachers_together_are_a_row_where_there_are_several(predicted: Path) -> None:
    path = predictions_file(predicted, "teachers", "words")
    path.parent.mkdir(parents=True)
    shutil.copyfile("models/finetuned/teacher-words.csv", path)
    evaluate(predicted, lab.SCORING, toy.LANGUAGES)
    compared = json.loads((predicted / "metrics/compare/words.json").read_text())
    assert compared["models"][-3:] == ["teachers", "tfidf", "majority"] and "teachers" in compared["retention"]
    path.write_text("a\nb\n")
    with pytest.raises(UserError, match="run `dvc repro --force mix_teachers@words`"):
        evaluate(predicted, lab.SCORING, toy.LANGUAGES)


def test_the_table_for_the_plot_has_each_language_and_the_mean_of_every_model_but_majority(predicted: Path) -> None:
    evaluate(predicted, lab.SCORING, toy.LANGUAGES)
    head, *rows = (line.split(",") for line in (predicted / "metrics/scores.csv").read_text().splitlines())
    assert head == ["task", "language", "model", "score", "low", "high"]
    models = [model for model in MODELS if model != "majority"]
    assert [row[:3] for row in rows] == [
        ["words", code, model] for model in models for code in (*toy.LANGUAGES, "mean")
    ]  # fmt: skip
    for _, code, model, *points in rows:
        scores = json.loads((predicted / f"metrics/evaluate/{model}/words.json").read_text())
        found = scores["mean"] if code == "mean" else scores["languages"][code]
        shares = [found[scores["metric"]], *found["interval_95"]]
        assert [float(value) for value in points] == pytest.approx([100 * share for share in shares], abs=0.006)


def test_rows_follow_the_settings_and_not_the_files_that_are_there(predicted: Path) -> None:
    stale = predictions_file(predicted, "student_start", "words")
    stale.parent.mkdir()
    stale.write_text("of a control that is off again")
    evaluate(predicted, lab.SCORING, toy.LANGUAGES)
    assert sorted(path.name for path in (predicted / "metrics/evaluate").iterdir()) == sorted(MODELS)
    compared = json.loads((predicted / "metrics/compare/words.json").read_text())
    assert compared["models"] == MODELS and "student_start" not in MODELS

    on = lab.SCORING.model_copy(update={"controls": ("start",)})
    with pytest.raises(UserError, match=r"student_start/words.csv: .*run `dvc repro .*finetune_control@start-words`"):
        evaluate(predicted, on, toy.LANGUAGES)
    shutil.copyfile(predictions_file(predicted, "student", "words"), stale)
    evaluate(predicted, on, toy.LANGUAGES)
    compared = json.loads((predicted / "metrics/compare/words.json").read_text())
    assert compared["models"][:4] == ["student", "student_plain", "no_teacher", "student_start"]


def test_a_merged_student_is_a_row_by_the_setting_and_not_by_the_file(predicted: Path) -> None:
    path = predictions_file(predicted, "student_merged", "words")
    path.parent.mkdir(parents=True)
    shutil.copyfile("models/finetuned/teacher-words.csv", path)
    evaluate(predicted, lab.SCORING, toy.LANGUAGES)
    assert not (predicted / "metrics/evaluate/student_merged").exists()
    on = lab.SCORING.model_copy(update={"merge": lab.SCORING.merge.model_copy(update={"tasks": ("words",)})})
    evaluate(predicted, on, toy.LANGUAGES)
    compared = json.loads((predicted / "metrics/compare/words.json").read_text())
    assert compared["models"][:2] == ["student", "student_merged"]
    path.unlink()
    with pytest.raises(UserError, match="student_merged/words.csv: no such file; run `dvc repro merge_student@words`"):
        evaluate(predicted, on, toy.LANGUAGES)


def test_test_rows_that_are_training_rows_too_are_scored_apart(predicted: Path) -> None:
    train, test = (predicted / f"data/tasks/words/swa/{split}.jsonl" for split in ("train", "test"))
    rows = test.read_text(encoding="utf-8").splitlines()
    rows[3] = train.read_text(encoding="utf-8").splitlines()[0].replace("zuri", "ZURI!")
    test.write_text("\n".join(rows) + "\n", encoding="utf-8")
    write_checksums(predicted / "data/tasks/words")
    evaluate(predicted, lab.SCORING, toy.LANGUAGES)
    scores = json.loads((predicted / "metrics/evaluate/student/words.json").read_text())["languages"]
    assert scores["swa"]["unseen"]["n"] == 29 and scores["yor"]["unseen"]["n"] == 30


def test_predictions_of_another_number_of_rows_are_refused(predicted: Path) -> None:
    for model in MODELS:
        path = predictions_file(predicted, model, "words")
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(line for line in lines if not line.startswith("1,swa,29,")) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"expected the 29 rows that student predicted, found 30; run `dvc repro"):
        evaluate(predicted, lab.SCORING, toy.LANGUAGES)
