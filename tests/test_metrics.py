import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from distil.metrics import accuracy, bootstrap_interval, confusion_matrix, label_scores, macro_f1, weighted_f1


def test_scores_by_hand() -> None:
    # gold 0 0 0 1, predicted 0 0 1 1: F1 of 0 = 4/5, of 1 = 2/3
    confusion = confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2)
    assert confusion.tolist() == [[2, 1], [0, 1]]
    assert weighted_f1(confusion) == pytest.approx(0.75 * 0.8 + 0.25 * 2 / 3)
    assert macro_f1(confusion) == pytest.approx((0.8 + 2 / 3) / 2)
    assert accuracy(confusion) == 0.75


@pytest.mark.parametrize("seed", range(20))
def test_scores_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = int(rng.integers(2, 6))
    gold = rng.integers(0, labels, int(rng.integers(1, 60)))
    predicted = np.where(rng.random(len(gold)) < 0.6, gold, rng.integers(0, max(1, labels - 1), len(gold)))
    confusion, every = confusion_matrix(gold, predicted, labels), list(range(labels))
    for average, found in (("weighted", weighted_f1(confusion)), ("macro", macro_f1(confusion))):
        expected = sklearn_metrics.f1_score(gold, predicted, labels=every, average=average, zero_division=0)
        assert found == pytest.approx(expected, abs=1e-9)
    assert accuracy(confusion) == pytest.approx(sklearn_metrics.accuracy_score(gold, predicted), abs=1e-9)
    expected = sklearn_metrics.precision_recall_fscore_support(gold, predicted, labels=every, zero_division=0)
    np.testing.assert_allclose(np.array(label_scores(confusion)), np.array(expected), atol=1e-9)


def test_the_interval_agrees_with_drawing_rows_one_by_one() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 300)
    predicted = np.where(rng.random((2, 300)) < 0.7, gold, rng.integers(0, 3, (2, 300)))
    low, high = bootstrap_interval(gold, predicted, 3, 4000, np.random.default_rng(1))
    plain = []
    for _ in range(2000):
        rows = rng.integers(0, 300, 300)
        plain.append(np.mean([weighted_f1(confusion_matrix(gold[rows], p[rows], 3)) for p in predicted]))
    expected = np.percentile(plain, [2.5, 97.5])
    assert (low, high) == pytest.approx(tuple(expected), abs=0.006)


def test_ten_thousand_resamples_of_five_thousand_rows_need_no_list_of_rows() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 5000)
    predicted = np.where(rng.random((3, 5000)) < 0.7, gold, rng.integers(0, 3, (3, 5000)))
    low, high = bootstrap_interval(gold, predicted, 3, 10_000, rng)
    assert 0.7 < low < high < 0.9
