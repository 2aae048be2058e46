"""The most probable sequences of tags: against all sequences written out, and what padding must not do."""

from itertools import product

import numpy as np
import pytest

from distil.tasks.tag_decoding import BATCH, Decoder, allowed_transitions, tag_marginals
from distil.tasks.tag_sequences import NO_TAG, TagSequences, best_sequences
from tests.tasks.test_tag_marginals import TAGS, log_probs

NAN = float("nan")


def written_out(scores: np.ndarray, labels: list[str]) -> list[tuple[float, tuple[int, ...]]]:
    """Every valid sequence with the product of its words' probabilities, NO_TAG at words that are nan; best first."""
    allowed, found = allowed_transitions(labels), {}
    read = ~np.isnan(scores).any(axis=1)
    for tags in product(range(len(labels)), repeat=len(scores)):
        if all(allowed[before, tag] for before, tag in zip((len(labels), *tags), tags, strict=False)):
            shown = tuple(tag if known else NO_TAG for tag, known in zip(tags, read, strict=True))
            found[shown] = float(np.exp(sum(scores[word, tag] for word, tag in enumerate(tags) if read[word])))
    return sorted(((share, tags) for tags, share in found.items()), reverse=True)


def check(found: TagSequences, scores: np.ndarray, labels: list[str], count: int) -> None:
    """One sentence: the same sequences in the same order with the same weights, and nothing else."""
    every = written_out(scores, labels)
    best = every[:count]
    assert [tuple(tags) for tags in found.tags[: len(best)].tolist()] == [tags for _, tags in best]
    shares = np.array([share for share, _ in best])
    np.testing.assert_allclose(found.weights[0, : len(best)], shares / shares.sum(), atol=1e-6)
    assert (found.tags[len(best) :] == NO_TAG).all() and (found.weights[0, len(best) :] == 0).all()


@pytest.mark.parametrize("labels", [TAGS, ["I-LOC", "B-PER", "O", "I-PER"], ["B-PER", "I-PER"], ["NOUN", "VERB"]])
@pytest.mark.parametrize("words", [1, 2, 4])
@pytest.mark.parametrize("count", [1, 5, 32])
def test_they_are_the_best_of_all_valid_sequences_written_out(labels: list[str], words: int, count: int) -> None:
    scores = log_probs(words, len(labels), 10 * words + count)
    found = best_sequences(scores, np.array([0, words]), labels, count)
    assert found.tags.dtype == np.int16 and found.tags.shape == (count, words)
    assert found.weights.dtype == np.float32 and found.weights.shape == (1, count)
    check(found, scores, labels, count)


@pytest.mark.parametrize("unread", [[0], [1], [3], [0, 1], [1, 2], [2, 3], [0, 3], [0, 1, 2], [0, 1, 2, 3]])
def test_a_word_that_was_not_read_has_no_tag_and_is_filled_by_any_valid_one(unread: list[int]) -> None:
    scores = log_probs(4, len(TAGS), sum(unread))
    scores[unread] = NAN
    if 0 in unread and len(unread) < 4:  # I-PER may then be the first known tag, and is likely
        scores[min(set(range(4)) - set(unread)), 2] = -0.01
    found = best_sequences(scores, np.array([0, 4]), TAGS, 8)
    assert (found.tags[:, unread] == NO_TAG).all()
    check(found, scores, TAGS, 8)


def test_by_hand() -> None:
    # OO .5*.2, OB .5*.35, BO .3*.2, BB .3*.35, BI .3*.45; the best three are OB .175, BI .135, BB .105 of .415 in sum.
    scores = np.log(np.array([[0.5, 0.3, 0.2], [0.2, 0.35, 0.45]]))
    found = best_sequences(scores, np.array([0, 2]), ["O", "B-PER", "I-PER"], 3)
    assert found.tags.tolist() == [[0, 1], [1, 2], [1, 1]]
    np.testing.assert_allclose(found.weights[0], np.array([0.175, 0.135, 0.105]) / 0.415, atol=1e-6)


def test_all_sequences_together_have_the_marginals_and_the_first_is_the_decoders() -> None:
    scores = log_probs(3, len(TAGS), 3)
    found = best_sequences(scores, np.array([0, 3]), TAGS, 125)
    marginals = np.zeros((3, len(TAGS)))
    for tags, weight in zip(found.tags, found.weights[0], strict=True):
        if weight:
            marginals[np.arange(3), tags] += weight
    expected = np.exp(tag_marginals(scores, np.array([0, 3]), TAGS))
    np.testing.assert_allclose(marginals, expected, atol=1e-6)
    assert found.tags[0].tolist() == Decoder(TAGS, None)(scores, np.ones(3, np.bool_)).tolist()


def test_padding_and_other_sentences_of_the_batch_change_nothing() -> None:
    rng = np.random.default_rng(1)
    starts = np.cumsum([0, *rng.integers(0, 9, BATCH + 20), 0])
    scores = log_probs(int(starts[-1]), len(TAGS))
    scores[rng.random(len(scores)) < 0.1] = NAN
    together = best_sequences(scores, starts, TAGS, 4)
    assert {0, 1} <= set(np.diff(starts)[:40])  # sentences without words and of one
    for row, (start, stop) in enumerate(zip(starts[:40], starts[1:41], strict=True)):
        alone = best_sequences(scores[start:stop], np.array([0, stop - start]), TAGS, 4)
        np.testing.assert_array_equal(together.tags[:, start:stop], alone.tags)
        np.testing.assert_array_equal(together.weights[row], alone.weights[0])


def test_weights_are_sorted_and_one_in_sum_also_of_long_sure_and_unread_sentences() -> None:
    scores = np.concatenate([50 * log_probs(600, len(TAGS)), np.full((2, len(TAGS)), NAN, np.float32)])
    scores[7] = -np.inf  # as a teacher that gives the other labels no probability at all
    scores[7, 2] = 0
    found = best_sequences(scores, np.array([0, 600, 602, 602]), TAGS, 5)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-6)
    assert (np.diff(found.weights, axis=1) <= 0).all()
    assert found.weights[1:].tolist() == [[1, 0, 0, 0, 0]] * 2
    allowed = allowed_transitions(TAGS)
    assert len({tuple(tags) for tags in found.tags[:, :600].tolist()}) == 5
    assert all(allowed[tags[:-1], tags[1:]].all() and allowed[-1, tags[0]] for tags in found.tags[:, :600])


def test_nothing_has_no_sequences() -> None:
    found = best_sequences(np.empty((0, 5), np.float32), np.array([0]), TAGS, 3)
    assert found.tags.shape == (3, 0) and found.weights.shape == (0, 3)
