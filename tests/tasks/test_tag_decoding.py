"""Valid tags: by hand, and against trying every sequence."""

from itertools import product

import numpy as np
import pytest

from distil.evaluation.metrics import entities
from distil.tasks.tag_decoding import allowed_transitions, outside, viterbi

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def test_what_may_follow_what() -> None:
    allowed = allowed_transitions(LABELS)
    assert allowed.shape == (6, 5)
    names = [*LABELS, "start"]
    forbidden = {(names[row], LABELS[column]) for row, column in np.argwhere(~allowed)}
    assert forbidden == {
        (before, after)
        for after, good in (("I-PER", ("B-PER", "I-PER")), ("I-LOC", ("B-LOC", "I-LOC")))
        for before in names
        if before not in good
    }


def test_a_continuation_of_nothing_is_not_predicted() -> None:
    # Word by word the best tags are O I-PER; the best valid pair is B-PER I-PER: -1 - 0.1 against -0.1 - 2 of O O.
    scores = np.array([[-0.1, -1.0, -9, -9, -9], [-2.0, -4.0, -0.1, -9, -9]])
    assert [LABELS[number] for number in viterbi(scores, allowed_transitions(LABELS))] == ["B-PER", "I-PER"]


@pytest.mark.parametrize("seed", range(20))
def test_no_valid_sequence_has_a_higher_score(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(4, 5)) * 2
    allowed = allowed_transitions(LABELS)
    found = viterbi(scores, allowed)

    def total(sequence: tuple[int, ...]) -> float:
        steps = zip((-1, *sequence), sequence, strict=False)
        valid = all(allowed[before, after] for before, after in steps)
        return sum(scores[word, label] for word, label in enumerate(sequence)) if valid else -np.inf

    assert total(tuple(found)) == pytest.approx(max(total(sequence) for sequence in product(range(5), repeat=4)))


def test_labels_of_another_form_are_not_restricted() -> None:
    scores = np.random.default_rng(0).normal(size=(6, 3))
    assert allowed_transitions(["NOUN", "VERB", "I-PER"]).all()
    assert viterbi(scores, allowed_transitions(["NOUN", "VERB", "I-PER"])).tolist() == scores.argmax(axis=1).tolist()
    assert outside(["NOUN", "VERB"]) == 0 and outside(["B-PER", "O"]) == 1


def test_a_sentence_without_words_has_no_tags() -> None:
    assert viterbi(np.empty((0, 5)), allowed_transitions(LABELS)).tolist() == []
    assert entities([]) == set()
