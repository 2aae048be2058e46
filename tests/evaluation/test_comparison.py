"""Two models on the same rows: differences, ratios and what they rest on."""

import numpy as np
import pytest

from distil.evaluation.bootstrap import interval
from distil.evaluation.comparison import compare_models
from distil.evaluation.counts import Predictions, TagPredictions
from distil.evaluation.metrics import confusion_matrix, weighted_f1
from distil.evaluation.scores import score

LABELS = ["a", "b", "c"]


def models(rows: int, seed: int = 0, **right: float) -> dict[str, Predictions]:
    """Models that are right on a share of the rows, one seed each."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 3, rows)
    return {
        name: Predictions(gold, {1: np.where(rng.random(rows) < share, gold, rng.integers(0, 3, rows))}, 10)
        for name, share in right.items()
    }


def compared(found: dict, resamples: int = 500) -> dict:
    return compare_models("mood", "text_classification", LABELS, found, resamples)


def test_every_two_models_are_compared_once_and_differences_are_of_their_scores() -> None:
    found = {"kin": models(200, student=0.7, teacher=0.8, tfidf=0.6)}
    result = compared(found)
    pairs = [(each["model"], each["baseline"]) for each in result["differences"]]
    assert pairs == [("student", "teacher"), ("student", "tfidf"), ("teacher", "tfidf")]
    scores = {
        name: score(name, "mood", "text_classification", LABELS, None, {"kin": each}, 100)["mean"]["weighted_f1"]
        for name, each in found["kin"].items()
    }
    for each in result["differences"]:
        expected = scores[each["model"]] - scores[each["baseline"]]
        assert each["languages"]["kin"]["difference"] == pytest.approx(expected, abs=2e-6)
        assert each["mean"] == each["languages"]["kin"]  # of one language
    kept = result["retention"]["student"]["languages"]["kin"]["ratio"]
    assert kept == pytest.approx(scores["student"] / scores["teacher"], abs=1e-5)
    assert set(result["retention"]) == {"student", "tfidf"}


def test_the_paired_intervals_agree_with_drawing_rows_one_by_one() -> None:
    found = models(80, student=0.6, teacher=0.8)
    gold, pair = found["teacher"].gold, [found[name].predicted[1] for name in ("teacher", "student")]
    rng, ratios, differences = np.random.default_rng(5), [], []
    for _ in range(1500):
        rows = rng.integers(0, 80, 80)
        below, above = (weighted_f1(confusion_matrix(gold[rows], said[rows], 3)) for said in pair)
        ratios.append(above / below)
        differences.append(above - below)
    result = compared({"kin": found}, 4000)
    low_high = result["retention"]["student"]["languages"]["kin"]["interval_95"]
    assert low_high == pytest.approx(interval(np.array(ratios)), abs=0.03)
    assert result["differences"][0]["mean"]["interval_95"] == pytest.approx(interval(np.array(differences)), abs=0.02)


def test_a_model_compared_with_its_equal_differs_by_nothing_for_sure() -> None:
    one = models(60, student=0.7)["student"]
    result = compared({"kin": {"student": one, "teacher": one}})
    assert result["differences"][0]["mean"] == {"difference": 0.0, "interval_95": [0.0, 0.0], "p": 1.0}
    assert result["retention"]["student"]["mean"] == {"ratio": 1.0, "interval_95": [1.0, 1.0]}


def test_a_clear_difference_has_a_small_p_and_a_chance_one_has_not() -> None:
    clear = compared({"kin": models(300, student=0.9, teacher=0.5)})["differences"][0]["mean"]
    assert clear["p"] <= 2 / 501 + 1e-6 and clear["interval_95"][0] > 0  # p is rounded to six digits
    chance = compared({"kin": models(300, student=0.6, teacher=0.6)})["differences"][0]["mean"]
    assert chance["p"] > 0.05 and chance["interval_95"][0] < 0 < chance["interval_95"][1]


def test_the_mean_over_languages_is_surer_than_each_and_its_ratio_is_that_of_the_means() -> None:
    codes = ["kin", "swa", "hau", "ibo"]
    result = compared({code: models(100, at, student=0.6, teacher=0.8) for at, code in enumerate(codes)})
    each = result["differences"][0]
    widths = [high - low for low, high in (each["languages"][code]["interval_95"] for code in codes)]
    low, high = each["mean"]["interval_95"]
    assert high - low < 0.75 * min(widths)
    mean = np.mean([each["languages"][code]["difference"] for code in codes])
    assert each["mean"]["difference"] == pytest.approx(mean, abs=2e-6)


def test_seeds_are_averaged_and_not_drawn() -> None:
    found = models(200, student=0.7, teacher=0.8)
    twice = found["student"]._replace(predicted={1: found["student"].predicted[1], 2: found["student"].predicted[1]})
    again = {"kin": {"student": twice, "teacher": found["teacher"]}}
    assert compared(again) == compared({"kin": found})


def test_a_teacher_that_scores_nothing_has_no_ratio_and_draws_in_which_it_does_are_left_out() -> None:
    gold = np.array([0, 1])
    student = Predictions(gold, {1: np.array([0, 1])}, 2)
    none = compared({"kin": {"student": student, "teacher": Predictions(gold, {1: np.array([1, 0])}, 2)}})
    assert none["retention"]["student"]["languages"]["kin"] is None
    some = compared({"kin": {"student": student, "teacher": Predictions(gold, {1: np.array([1, 1])}, 2)}})
    assert np.isfinite(some["retention"]["student"]["languages"]["kin"]["interval_95"]).all()


def test_sentences_of_tags_are_compared_by_entities() -> None:
    gold = [["B-PER", "O"], ["O", "B-PER"], ["B-PER", "I-PER"]] * 20
    wrong = [["O", "O"], ["O", "B-PER"], ["B-PER", "O"]] * 20
    found = {"student": TagPredictions(gold, {1: gold}, 3), "teacher": TagPredictions(gold, {1: wrong}, 3)}
    result = compare_models("names", "token_classification", ["O", "B-PER", "I-PER"], {"kin": found}, 200)
    # the teacher finds 1 of 3 entities and predicts 2: F1 = 2/5
    assert result["metric"] == "entity_f1"
    assert result["differences"][0]["mean"]["difference"] == pytest.approx(0.6)
