"""Valid tags: by hand, and against trying every sequence."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distil.core.errors import UserError
from distil.evaluation.metrics import entities
from distil.tasks.tag_decoding import (
    allowed_transitions,
    outside,
    read_transitions,
    valid_moves,
    viterbi,
    write_transitions,
)

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
    assert [LABELS[number] for number in viterbi(scores, valid_moves(LABELS))] == ["B-PER", "I-PER"]


@pytest.mark.parametrize("scale", [0, 2])
@pytest.mark.parametrize("seed", range(20))
def test_no_valid_sequence_has_a_higher_score(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    scores, transitions = rng.normal(size=(4, 5)) * 2, rng.normal(size=(6, 5)) * scale
    allowed = allowed_transitions(LABELS)
    found = viterbi(scores, valid_moves(LABELS, transitions))

    def total(sequence: tuple[int, ...]) -> float:
        steps = list(zip((-1, *sequence), sequence, strict=False))
        valid = all(allowed[before, after] for before, after in steps)
        moved = sum(transitions[before, after] for before, after in steps)
        return moved + sum(scores[word, label] for word, label in enumerate(sequence)) if valid else -np.inf

    assert total(tuple(found)) == pytest.approx(max(total(sequence) for sequence in product(range(5), repeat=4)))


def test_labels_of_another_form_are_not_restricted() -> None:
    scores = np.random.default_rng(0).normal(size=(6, 3))
    assert allowed_transitions(["NOUN", "VERB", "I-PER"]).all()
    assert viterbi(scores, valid_moves(["NOUN", "VERB", "I-PER"])).tolist() == scores.argmax(axis=1).tolist()
    assert outside(["NOUN", "VERB"]) == 0 and outside(["B-PER", "O"]) == 1


def test_a_sentence_without_words_has_no_tags() -> None:
    assert viterbi(np.empty((0, 5)), valid_moves(LABELS)).tolist() == []
    assert entities([]) == set()


def test_transitions_come_back_as_they_were_written(tmp_path: Path) -> None:
    transitions = np.random.default_rng(0).normal(size=(6, 5))
    write_transitions(tmp_path, LABELS, transitions)
    np.testing.assert_array_equal(read_transitions(tmp_path, LABELS, "again"), transitions)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (None, "no such file, but the tagger of config.json decodes with it; make it again"),
        ("{", "damaged .*; make it again"),
        ({"labels": LABELS}, "damaged .'transitions'.; make it again"),
        ({"labels": LABELS, "transitions": [[0] * 5] * 5}, "expected 6 x 5 numbers, found 5 x 5; make it again"),
        ({"labels": LABELS, "transitions": [[0] * 5] * 5 + [[0]]}, "damaged .*; make it again"),
        ({"labels": LABELS, "transitions": [[float("nan")] * 5] * 6}, "expected finite numbers, found nan; m"),
        ({"labels": LABELS[::-1], "transitions": [[0] * 5] * 6}, "made for the labels I-LOC, .* model has O, .*; m"),
    ],
)  # fmt: skip
def test_transitions_that_are_none_or_of_another_model_are_refused(tmp_path: Path, about: Any, message: str) -> None:
    if about is not None:
        text = about if isinstance(about, str) else json.dumps(about)
        (tmp_path / "transitions.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"transitions.json: {message}"):
        read_transitions(tmp_path, LABELS, "make it again")
