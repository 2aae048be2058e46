"""Marginals over valid tag sequences: against all sequences written out, and what padding must not do."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from distil.evaluation.task_teachers import marginal_soft_labels
from distil.tasks.tag_decoding import BATCH, FLOOR, Decoder, allowed_transitions, padded_marginals, tag_marginals
from tests.evaluation.test_baselines import make_task

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def log_probs(words: int, labels: int, seed: int = 0) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(0, 2, (words, labels))
    return (scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)).astype(np.float32)


def written_out(scores: np.ndarray, labels: list[str], transitions: np.ndarray | None = None) -> np.ndarray:
    """Every sequence in turn."""
    allowed, found = allowed_transitions(labels), np.zeros(scores.shape)
    moves = np.zeros(allowed.shape) if transitions is None else transitions
    for tags in product(range(len(labels)), repeat=len(scores)):
        if all(allowed[before, tag] for before, tag in zip((len(labels), *tags), tags, strict=False)):
            steps = zip((len(labels), *tags), tags, strict=False)
            share = np.exp(sum(moves[step] + scores[word, step[1]] for word, step in enumerate(steps)))
            for word, tag in enumerate(tags):
                found[word, tag] += share
    return found / found.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("labels", [TAGS, ["I-LOC", "B-PER", "O", "I-PER"], ["B-PER", "I-PER"], ["NOUN", "VERB"]])
@pytest.mark.parametrize("words", [1, 2, 5])
def test_marginals_are_those_of_all_sequences_written_out(labels: list[str], words: int) -> None:
    scores = log_probs(words, len(labels), words)
    found = tag_marginals(scores, np.array([0, words]), labels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found), written_out(scores, labels), atol=1e-6)


@pytest.mark.parametrize("words", [1, 2, 5])
def test_learned_transitions_take_part_in_marginals_and_in_the_decoders(words: int) -> None:
    scores, transitions = log_probs(words, 5, words), np.random.default_rng(words).normal(0, 2, (6, 5))
    expected = written_out(scores, TAGS, transitions)
    found = tag_marginals(scores, np.array([0, words]), TAGS, transitions)
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-6)
    served = Decoder(TAGS, transitions).marginals(scores + 3, np.ones(words, np.bool_))
    np.testing.assert_allclose(served, expected, atol=1e-6)
    assert np.abs(expected - written_out(scores, TAGS)).max() > 0.05


def test_by_hand() -> None:
    # Two words, O or B-PER or I-PER with halves: valid are OO .5*.2, OB .5*.3, BO .3*.2, BB .3*.3, BI .3*.5 of 0.55.
    scores = np.log(np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
    found = np.exp(tag_marginals(scores, np.array([0, 2]), ["O", "B-PER", "I-PER"]))
    expected = np.array([[0.25, 0.30, 0], [0.16, 0.24, 0.15]]) / 0.55
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_padding_and_other_sentences_of_the_batch_change_nothing() -> None:
    lengths = np.random.default_rng(1).integers(0, 9, BATCH + 20)
    starts = np.cumsum([0, *lengths])
    scores = log_probs(int(starts[-1]), len(TAGS))
    together = tag_marginals(scores, starts, TAGS)
    for start, stop in zip(starts[:40], starts[1:41], strict=True):
        alone = tag_marginals(scores[start:stop], np.array([0, stop - start]), TAGS)
        np.testing.assert_array_equal(together[start:stop], alone)
    moves = np.where(allowed_transitions(TAGS), 0.0, -np.inf)
    narrow = padded_marginals(scores[None, :4], np.ones((1, 4), bool), moves)
    padded = np.concatenate([scores[None, :4], np.full((1, 3, len(TAGS)), 7.0)], axis=1)
    wide = padded_marginals(padded, np.arange(7)[None] < 4, moves)
    np.testing.assert_array_equal(wide[:, :4], narrow)


def test_a_long_sentence_of_sure_scores_stays_finite_and_sums_to_one() -> None:
    found = tag_marginals(50 * log_probs(2000, len(TAGS)), np.array([0, 2000]), TAGS)
    assert np.isfinite(found).all() and found.min() >= FLOOR
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-5)


def test_impossible_tags_are_at_the_floor_and_labels_without_rules_keep_their_probabilities() -> None:
    scores = log_probs(3, len(TAGS))
    assert tag_marginals(scores, np.array([0, 3]), TAGS)[0, 2] == FLOOR  # I-PER begins no sentence
    plain = log_probs(6, 3)
    np.testing.assert_allclose(tag_marginals(plain, np.array([0, 2, 6]), ["NOUN", "VERB", "ADP"]), plain, atol=1e-6)


def test_a_word_that_was_not_read_stays_unknown_and_tells_its_neighbours_nothing() -> None:
    scores = log_probs(3, len(TAGS))
    scores[2] = np.nan
    found = tag_marginals(scores, np.array([0, 3]), TAGS)
    assert np.isnan(found[2]).all() and not np.isnan(found[:2]).any()
    free = scores.copy()
    free[2] = 0
    np.testing.assert_allclose(np.exp(found[:2]), written_out(free, TAGS)[:2], atol=1e-6)


def test_sentences_are_those_of_the_split_and_of_the_unlabelled_rows(tmp_path: Path) -> None:
    rows = [{"tokens": ["a", "b", "c"], "tags": ["O"] * 3}, {"tokens": ["d"], "tags": ["O"]}]
    task = make_task(tmp_path / "toy", "token_classification", TAGS, {"train": rows, "unlabelled": [{"tokens": ["d"]}]})
    scores = log_probs(4, len(TAGS))
    found = marginal_soft_labels(task, "kin", {"train": scores, "unlabelled": scores[:1]})
    assert found["train"][3, 2] == FLOOR and found["train"][1, 2] > FLOOR  # only d begins a sentence
    assert found["unlabelled"][0, 2] == FLOOR
