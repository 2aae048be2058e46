import random
import warnings

import numpy as np
import pytest
import seqeval.metrics
from sklearn import metrics as sklearn_metrics

from distil.evaluation.metrics import (
    accuracy,
    confusion_matrix,
    entities,
    entity_counts,
    entity_scores,
    label_scores,
    macro_f1,
    weighted_f1,
)

TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-DATE", "I-DATE"]
KINDS = ["PER", "ORG", "LOC", "DATE"]


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
    np.testing.assert_array_equal(confusion, sklearn_metrics.confusion_matrix(gold, predicted, labels=every))
    for average, found in (("weighted", weighted_f1(confusion)), ("macro", macro_f1(confusion))):
        expected = sklearn_metrics.f1_score(gold, predicted, labels=every, average=average, zero_division=0)
        assert found == pytest.approx(expected, abs=1e-9)
    assert accuracy(confusion) == pytest.approx(sklearn_metrics.accuracy_score(gold, predicted), abs=1e-9)
    expected = sklearn_metrics.precision_recall_fscore_support(gold, predicted, labels=every, zero_division=0)
    np.testing.assert_allclose(np.array(label_scores(confusion)), np.array(expected), atol=1e-9)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("B-PER I-PER O", {("PER", 0, 2)}),
        ("B-PER B-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("B-PER I-ORG", {("PER", 0, 1), ("ORG", 1, 2)}),  # another type begins another entity
        ("O I-LOC I-LOC", {("LOC", 1, 3)}),  # an I- after O begins one
        ("S-PER B-ORG I-ORG E-ORG E-ORG", {("PER", 0, 1), ("ORG", 1, 4), ("ORG", 4, 5)}),
        ("", set()),
    ],
)
def test_entities_by_hand(tags: str, found: set[tuple[str, int, int]]) -> None:
    assert entities(tags.split()) == found


def test_entity_f1_by_hand() -> None:
    # gold: PER 0-2, LOC 3-4; predicted: PER 0-2, LOC 2-4: one of two found, one of two right, F1 1/2
    counts = entity_counts([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "B-LOC", "I-LOC"]], ["PER", "LOC"])
    assert counts.tolist() == [[[1, 1, 1], [0, 1, 1]]]
    assert entity_scores(counts.sum(axis=(0, 1))).f1 == 0.5


def sentences(chance: random.Random, tags: list[str]) -> tuple[list[list[str]], list[list[str]]]:
    gold = [[chance.choice(tags) for _ in range(chance.randint(1, 12))] for _ in range(chance.randint(1, 30))]
    said = [[tag if chance.random() < 0.7 else chance.choice(tags) for tag in row] for row in gold]
    return gold, said


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("tags", [TAGS, [*TAGS, "E-PER", "S-PER", "E-LOC", "S-LOC"]], ids=["IOB", "IOBES"])
def test_entity_scores_agree_with_seqeval(seed: int, tags: list[str]) -> None:
    gold, said = sentences(random.Random(seed), tags)
    counts = entity_counts(gold, said, KINDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a type that does not occur has no score; seqeval gives 0 as we do
        report = seqeval.metrics.classification_report(gold, said, output_dict=True, zero_division=0)
        expected = [getattr(seqeval.metrics, f"{name}_score")(gold, said) for name in ("precision", "recall", "f1")]
    micro = entity_scores(counts.sum(axis=(0, 1)))
    np.testing.assert_allclose([micro.precision, micro.recall, micro.f1], expected, atol=1e-9)
    by_kind = entity_scores(counts.sum(axis=0))
    for at, kind in enumerate(KINDS):
        entry = report.get(kind, {"precision": 0, "recall": 0, "f1-score": 0, "support": 0})
        ours = [by_kind.precision[at], by_kind.recall[at], by_kind.f1[at], by_kind.support[at]]
        np.testing.assert_allclose(ours, [float(entry[name]) for name in entry], atol=1e-9)
