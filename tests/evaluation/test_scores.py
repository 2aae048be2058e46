"""From predictions to the files of docs/reference/output-files.md, for labels of texts and for tags of tokens."""

import csv
from pathlib import Path

import numpy as np
import pytest
import seqeval.metrics
from sklearn.metrics import f1_score

from distil.evaluation.counts import Predictions, TagPredictions, metric_of
from distil.evaluation.predictions import write_predictions
from distil.evaluation.scores import score, seen_rows

LABELS = ["positive", "neutral", "negative"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
PARTS_OF_SPEECH = ["NOUN", "VERB", "PUNCT"]


def texts(rows: int = 200, seeds: tuple[int, ...] = (1, 2)) -> Predictions:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, rows)
    predicted = {seed: np.where(rng.random(rows) < 0.6, gold, rng.integers(0, 3, rows)) for seed in seeds}
    return Predictions(gold, predicted, 500, np.arange(rows) < 50)


def tags(labels: list[str], sentences: int = 120, seeds: tuple[int, ...] = (1, 2)) -> TagPredictions:
    rng = np.random.default_rng(0)
    gold = [rng.choice(labels, rng.integers(1, 9)).tolist() for _ in range(sentences)]
    predicted = {
        seed: [[tag if rng.random() < 0.7 else str(rng.choice(labels)) for tag in row] for row in gold]
        for seed in seeds
    }
    return TagPredictions(gold, predicted, 300, np.arange(sentences) < 20)


def test_entity_tags_are_judged_by_entities_and_all_else_by_labels() -> None:
    assert metric_of("token_classification", TAGS) == "entity_f1"
    assert metric_of("token_classification", PARTS_OF_SPEECH) == "weighted_f1"
    assert metric_of("text_classification", ["O", "B-PER"]) == "weighted_f1"


def test_scores_of_texts_are_means_over_seeds() -> None:
    found = texts()
    entry = score("student", "mood", "text_classification", LABELS, "joint", {"kin": found}, 200)["languages"]["kin"]
    each = [f1_score(found.gold, said, average="weighted") for said in found.predicted.values()]
    assert [seed["weighted_f1"] for seed in entry["seeds"]] == pytest.approx(each, abs=1e-6)
    assert entry["weighted_f1"] == pytest.approx(np.mean(each), abs=1e-6)
    assert np.sum(entry["confusion"]) == 400 and sum(label["n"] for label in entry["per_label"].values()) == 200
    assert entry["interval_95"][0] < entry["weighted_f1"] < entry["interval_95"][1]


def test_rows_seen_in_train_are_left_out_of_the_unseen_score() -> None:
    found = texts()
    entry = score("m", "t", "text_classification", LABELS, None, {"kin": found}, 100)["languages"]["kin"]
    each = [f1_score(found.gold[50:], said[50:], average="weighted") for said in found.predicted.values()]
    assert entry["unseen"] == {"n": 150, "weighted_f1": pytest.approx(np.mean(each), abs=1e-6)}
    unknown = score("m", "t", "text_classification", LABELS, None, {"kin": found._replace(seen=None)}, 100)
    assert "unseen" not in unknown["languages"]["kin"]


def test_a_language_whose_test_rows_were_all_seen_has_no_unseen_score() -> None:
    found = texts()._replace(seen=np.ones(200, np.bool_))
    entry = score("m", "t", "text_classification", LABELS, None, {"kin": found}, 100)["languages"]["kin"]
    assert entry["unseen"] == {"n": 0, "weighted_f1": None}


def test_scores_of_entity_tags_are_those_of_seqeval() -> None:
    found = tags(TAGS)
    scores = score("student", "names", "token_classification", TAGS, "joint", {"kin": found}, 200)
    entry = scores["languages"]["kin"]
    each = [seqeval.metrics.f1_score(found.gold, said) for said in found.predicted.values()]
    assert scores["metric"] == "entity_f1" and scores["mean"]["entity_f1"] == entry["entity_f1"]
    assert [seed["entity_f1"] for seed in entry["seeds"]] == pytest.approx(each, abs=1e-6)
    assert list(entry["per_label"]) == ["PER", "LOC"]
    support = seqeval.metrics.classification_report(found.gold, found.gold, output_dict=True)["PER"]["support"]
    assert entry["per_label"]["PER"]["n"] == support
    flat = [tag for row in found.gold for tag in row]
    said = [tag for row in found.predicted[1] for tag in row]
    expected = f1_score(flat, said, labels=TAGS, average="macro")
    assert entry["seeds"][0]["macro_f1"] == pytest.approx(expected, abs=1e-6)
    unseen = [seqeval.metrics.f1_score(found.gold[20:], said[20:]) for said in found.predicted.values()]
    assert entry["unseen"] == {"n": 100, "entity_f1": pytest.approx(np.mean(unseen), abs=1e-6)}


def test_tags_that_are_no_entities_are_judged_token_by_token_and_drawn_by_sentence() -> None:
    found = tags(PARTS_OF_SPEECH)
    entry = score("m", "t", "token_classification", PARTS_OF_SPEECH, None, {"kin": found}, 300)["languages"]["kin"]
    flat = [[tag for row in rows for tag in row] for rows in (found.gold, *found.predicted.values())]
    each = [f1_score(flat[0], said, labels=PARTS_OF_SPEECH, average="weighted") for said in flat[1:]]
    assert entry["weighted_f1"] == pytest.approx(np.mean(each), abs=1e-6)
    assert list(entry["per_label"]) == PARTS_OF_SPEECH and entry["n"] == 120
    assert entry["interval_95"][0] < entry["weighted_f1"] < entry["interval_95"][1]


def test_the_mean_has_an_interval_narrower_than_its_languages() -> None:
    found = {"kin": texts(), "swa": texts(), "hau": texts(), "ibo": texts()}
    scores = score("m", "t", "text_classification", LABELS, None, found, 500)
    low, high = scores["mean"]["interval_95"]
    widths = [entry["interval_95"][1] - entry["interval_95"][0] for entry in scores["languages"].values()]
    assert low < scores["mean"]["weighted_f1"] < high and high - low < 0.7 * min(widths)


def test_predictions_are_written_a_row_each_with_tags_joined_by_spaces(tmp_path: Path) -> None:
    found = {"kin": TagPredictions([["B-PER", "I-PER"], ["O"]], {7: [["B-PER", "O"], ["B-LOC"]]}, 3)}
    write_predictions(tmp_path / "names.csv", found, TAGS)
    with (tmp_path / "names.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["seed", "language", "row", "gold", "predicted"]
    assert rows[1:] == [["7", "kin", "0", "B-PER I-PER", "B-PER O"], ["7", "kin", "1", "O", "B-LOC"]]


def test_the_same_predictions_give_the_same_scores() -> None:
    one, two = (score("m", "t", "text_classification", LABELS, None, {"kin": texts()}, 300) for _ in range(2))
    assert one == two


def test_a_text_counts_as_seen_whatever_its_case_marks_and_links() -> None:
    seen = seen_rows(["Ẹ káàárọ̀ o! https://x.org", "other"], ["e kaaaro O", "new words", "OTHER 1"])
    assert seen.tolist() == [True, False, True]
