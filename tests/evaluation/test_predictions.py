"""Predictions come back as they were written, whatever the labels are called."""

import csv
from pathlib import Path

import numpy as np
import pytest

from distil.core.errors import UserError
from distil.evaluation.counts import Predictions, TagPredictions
from distil.evaluation.predictions import GoldAndPredicted, join_tags, read_predictions, split_tags, write_predictions
from distil.evaluation.scores import score
from distil.evaluation.task_predictions import predictions_from_labels, read_texts

NAMES = ["proper noun", "100 %", "%20", "verb", "a,b", 'say "x"', "no\u00a0break", "|", "ẹ̀ka ọ̀rọ̀", " ", "%"]


@pytest.mark.parametrize("tags", [["verb"], NAMES, ["O", "B-PER"], ["  ", "%2520"]])
def test_tags_with_any_character_come_back(tags: list[str]) -> None:
    assert split_tags(join_tags(tags)) == tags


def test_tags_without_a_space_or_a_percent_sign_are_written_plainly() -> None:
    assert join_tags(["B-PER", "I-PER", "O"]) == "B-PER I-PER O"
    assert join_tags(["proper noun", "100 %"]) == "proper%20noun 100%20%25"


def test_a_tagger_with_spaces_in_its_labels_is_scored_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    gold = [[NAMES[0], NAMES[3], NAMES[0]], [NAMES[1], NAMES[2]], NAMES]
    said = [[NAMES[0], NAMES[0], NAMES[0]], [NAMES[1], NAMES[1]], NAMES]
    found = {"kin": TagPredictions(gold, {1: said, 2: gold}, 3)}
    write_predictions(tmp_path / "t.csv", found, NAMES)
    read = read_predictions(tmp_path / "t.csv", "evaluate")["kin"]
    again = predictions_from_labels(read, NAMES, "token_classification", "student", "toy")
    assert isinstance(again, TagPredictions) and (again.gold, again.predicted) == (gold, {1: said, 2: gold})
    scores = score("student", "pos", "token_classification", NAMES, None, {"kin": again}, 100)
    assert scores["metric"] == "weighted_f1" and scores["languages"]["kin"]["n"] == 3
    # 14 of 16 tokens right with the first seed, all with the second
    assert scores["languages"]["kin"]["accuracy"] == round((14 / 16 + 1) / 2, 6)
    assert list(scores["languages"]["kin"]["per_label"]) == NAMES


def test_texts_with_such_labels_come_back_too(tmp_path: Path) -> None:
    gold = np.arange(len(NAMES))
    write_predictions(tmp_path / "t.csv", {"kin": Predictions(gold, {1: gold[::-1]}, 3)}, NAMES)
    read = read_predictions(tmp_path / "t.csv", "evaluate")["kin"]
    assert (read[1].gold, read[1].predicted) == (NAMES, NAMES[::-1])
    again = predictions_from_labels(read, NAMES, "text_classification", "student", "toy")
    assert isinstance(again, Predictions)
    np.testing.assert_array_equal(again.predicted[1], gold[::-1])


def test_a_file_of_an_older_version_reads_the_same(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["seed", "language", "row", "gold", "predicted"], [1, "kin", 0, "B-PER O", "O O"]]
        )
    read = read_predictions(tmp_path / "t.csv", "evaluate")["kin"]
    scored = predictions_from_labels(read, ["O", "B-PER"], "token_classification", "student", "toy")
    assert (
        isinstance(scored, TagPredictions) and scored.gold == [["B-PER", "O"]] and scored.predicted == {1: [["O", "O"]]}
    )


def test_a_token_with_a_space_stays_one_word_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"tokens": ["New York", "ni"], "tags": ["B-LOC", "O"]}\n')
    assert read_texts(tmp_path / "test.jsonl", "tasks") == ["New\u00a0York ni"]


@pytest.mark.parametrize("kind", ["text_classification", "token_classification"])
@pytest.mark.parametrize("column", ["gold", "predicted"])
def test_a_label_that_the_task_does_not_have_is_refused(kind: str, column: str) -> None:
    answers = GoldAndPredicted(["a", "b"], ["b", "b"])
    getattr(answers, column)[1] = "c"
    with pytest.raises(UserError, match=r"student/toy.csv: expected labels of a, b, found c; .*finetune_student@toy"):
        predictions_from_labels({1: answers}, ["a", "b"], kind, "student", "toy")
