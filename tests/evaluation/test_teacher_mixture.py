"""Several teachers as one: weights by dev loss, a mean of probabilities, labels from it."""

from pathlib import Path

import numpy as np
import pytest

from distil.evaluation.counts import Predictions, TagPredictions
from distil.evaluation.teacher_mixture import mix_teachers, mixture_predictions, mixture_weights, weighted_mean
from tests.evaluation.test_baselines import make_task


def log_probs(rng: np.random.Generator, gold: np.ndarray, right: float) -> np.ndarray:
    """A calibrated teacher of three labels that is right in a share of the units."""
    said = np.where(rng.random(len(gold)) < right, gold, (gold + rng.integers(1, 3, len(gold))) % 3)
    probs = np.full((len(gold), 3), (1 - right) / 2)
    probs[np.arange(len(gold)), said] = right
    return np.log(probs).astype(np.float32)


def loss(each: np.ndarray, gold: np.ndarray) -> float:
    return float(-each[np.arange(len(gold)), gold].mean())


def test_the_mixture_has_less_dev_loss_than_either_teacher_and_than_equal_weights() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 2000)
    found = {"transformer": {"dev": log_probs(rng, gold, 0.8)}, "linear": {"dev": log_probs(rng, gold, 0.6)}}
    mixed = mix_teachers(found, gold)
    assert mixed.dev_loss["together"] < min(mixed.dev_loss["transformer"], mixed.dev_loss["linear"]) - 0.02
    equal = weighted_mean([each["dev"] for each in found.values()], np.full(2, 0.5))
    assert mixed.dev_loss["together"] < loss(equal, gold)
    assert sum(mixed.weights.values()) == pytest.approx(1) and mixed.weights["transformer"] > mixed.weights["linear"]


def test_a_teacher_that_knows_nothing_gets_next_to_no_weight() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 500)
    weights = mixture_weights([log_probs(rng, gold, 0.95), np.log(np.full((500, 3), 1 / 3, np.float32))], gold)
    assert weights[0] > 0.9 and weights[1] > 0


def test_one_teacher_alone_is_taken_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 50)
    splits = {split: log_probs(rng, gold, 0.8) for split in ("train", "unlabelled", "dev", "test")}
    splits["train"][3] = np.nan
    mixed = mix_teachers({"transformer": splits}, gold)
    for split, each in splits.items():
        np.testing.assert_array_equal(mixed.log_probs[split], each)


def test_without_dev_rows_the_weights_are_equal() -> None:
    nothing = np.zeros((0, 3), np.float32)
    assert mixture_weights([nothing, nothing, nothing], np.zeros(0, np.int64)).tolist() == pytest.approx([1 / 3] * 3)


def test_a_unit_that_one_teacher_could_not_read_is_the_others() -> None:
    first, second = np.log(np.float32([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])), np.log(np.float32([[0.1, 0.9]] * 3))
    first[1], first[2], second[2] = np.nan, np.nan, np.nan
    found = np.exp(weighted_mean([first, second], np.array([0.75, 0.25])))
    np.testing.assert_allclose(found[:2], [[0.4, 0.6], [0.1, 0.9]], rtol=1e-6)
    assert np.isnan(found[2]).all()


def test_labels_of_texts_and_valid_tags_of_sentences(tmp_path: Path) -> None:
    rows = [{"text": "x", "label": "b"}, {"text": "y", "label": "a"}]
    task = make_task(tmp_path / "texts", "text_classification", ["a", "b"], {"test": rows})
    found = mixture_predictions(task, "kin", np.log(np.float32([[0.2, 0.8], [0.4, 0.6]])))
    assert isinstance(found, Predictions) and found.predicted[0].tolist() == [1, 1] and found.gold.tolist() == [1, 0]
    rows = [{"tokens": ["Ana", "Bo"], "tags": ["B-PER", "I-PER"]}, {"tokens": ["to"], "tags": ["O"]}]
    task = make_task(tmp_path / "tags", "token_classification", ["O", "B-PER", "I-PER"], {"test": rows})
    # by itself the first word would be I-PER, which cannot begin a sentence; the last one was not read
    probs = np.log(np.float32([[0.1, 0.4, 0.5], [0.1, 0.1, 0.8], [np.nan] * 3]))
    tags = mixture_predictions(task, "kin", probs)
    assert isinstance(tags, TagPredictions) and tags.predicted[0] == [["B-PER", "I-PER"], ["O"]]
