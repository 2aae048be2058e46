"""The bootstrap: what it draws, and that its intervals and p-values mean what they say."""

import numpy as np
import pytest

from distil.evaluation.bootstrap import interval, p_value, resample
from distil.evaluation.metrics import confusion_matrix, weighted_f1


def by_row(gold: np.ndarray, predicted: np.ndarray, labels: int) -> np.ndarray:
    counts = np.zeros((len(gold), labels, labels), np.int64)
    counts[np.arange(len(gold)), gold, predicted] = 1
    return counts


def draw_totals(counts: np.ndarray, resamples: int, language: str) -> np.ndarray:
    return resample(counts, lambda totals: totals, resamples, language)


def test_a_resample_holds_as_many_rows_as_there_are() -> None:
    totals = draw_totals(np.ones((37, 2), np.int64), 600, "kin")
    assert totals.shape == (600, 2) and (totals == 37).all()


def test_rows_that_were_drawn_take_their_whole_counts_with_them() -> None:
    totals = draw_totals(np.array([[3, 30], [5, 50]]), 500, "kin")
    assert {tuple(total) for total in totals} == {(6.0, 60.0), (8.0, 80.0), (10.0, 100.0)}


def test_models_are_compared_on_the_same_draws_and_languages_are_independent() -> None:
    counts = np.random.default_rng(0).integers(0, 2, (50, 3))
    np.testing.assert_array_equal(draw_totals(counts, 300, "kin")[:, :2], draw_totals(counts[:, :2], 300, "kin"))
    other = draw_totals(counts, 300, "swa")
    assert abs(np.corrcoef(draw_totals(counts, 300, "kin")[:, 0], other[:, 0])[0, 1]) < 0.2


def test_sums_beyond_float32_stay_exact() -> None:
    totals = draw_totals(np.full((3, 1), 2**24 + 1), 10, "kin")
    assert (totals == 3 * (2**24 + 1)).all()


def test_the_interval_agrees_with_drawing_rows_one_by_one() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 300)
    predicted = np.where(rng.random(300) < 0.7, gold, rng.integers(0, 3, 300))
    found = interval(weighted_f1(draw_totals(by_row(gold, predicted, 3), 4000, "kin")))
    plain = []
    for _ in range(2000):
        rows = rng.integers(0, 300, 300)
        plain.append(weighted_f1(confusion_matrix(gold[rows], predicted[rows], 3)))
    assert found == pytest.approx(np.percentile(plain, [2.5, 97.5]), abs=0.006)


def test_p_by_hand() -> None:
    # 1 of 9 differences is at or below zero: 2 * (1 + 1) / (1 + 9)
    assert p_value(np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])) == pytest.approx(0.4)
    assert p_value(np.ones(99)) == pytest.approx(0.02)  # as small as 99 resamples can say
    assert p_value(np.zeros(99)) == 1.0


def test_models_that_are_equally_good_differ_significantly_about_as_often_as_p_says() -> None:
    rng, small = np.random.default_rng(1), 0
    for trial in range(300):
        right = (rng.random((80, 2)) < 0.7).astype(np.int64)
        totals = draw_totals(right, 400, f"trial {trial}")
        small += p_value(totals[:, 0] - totals[:, 1]) < 0.05
    assert 4 <= small <= 30  # 15 of 300 are expected


def test_ten_thousand_resamples_of_five_thousand_rows_fit_in_memory() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 5000)
    predicted = np.where(rng.random(5000) < 0.7, gold, rng.integers(0, 3, 5000))
    low, high = interval(weighted_f1(draw_totals(by_row(gold, predicted, 3), 10_000, "kin")))
    assert 0.7 < low < high < 0.9
