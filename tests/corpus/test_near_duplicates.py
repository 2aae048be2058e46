import random

import numpy as np
import pytest

from distil.corpus.near_duplicates import BANDS, SHINGLE, NearSeen, bands

LETTERS = "abdefgijklmnoprstuwyz"


def altered(text, letters, draw):
    """`text` with so many of its letters replaced by others."""
    found = list(text)
    for place in draw.sample(range(len(found)), letters):
        found[place] = draw.choice(LETTERS.replace(found[place], ""))
    return "".join(found)


def similarity(one, two):
    shingles = [{text[start : start + SHINGLE] for start in range(len(text) - SHINGLE + 1)} for text in (one, two)]
    return len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])


def test_lines_that_differ_in_case_marks_and_punctuation_share_every_band():
    keys = bands(["\u1eb8 k\u00fa \u00e0\u00e1r\u1ecd\u0300, gbogbo ile!", "e ku aaro gbogbo-ile"])
    assert keys.shape == (2, BANDS) and (keys[0] == keys[1]).all()
    assert len(set(keys[0].tolist())) == BANDS


@pytest.mark.parametrize(("letters", "low", "high"), [(1, 0.6, 1.0), (12, 0.0, 0.05)])
def test_the_chance_of_a_shared_band_follows_the_similarity(letters, low, high):
    draw = random.Random(1)
    originals = ["".join(draw.choices(LETTERS, k=60)) for _ in range(200)]
    others = [altered(text, letters, draw) for text in originals]
    expected = np.mean([1 - (1 - similarity(*pair) ** 8) ** BANDS for pair in zip(originals, others, strict=True)])
    found = (bands(originals) == bands(others)).any(axis=1).mean()
    assert low <= expected <= high
    assert found == pytest.approx(expected, abs=0.1)  # 200 draws: a deviation of 0.035


def test_short_lines_and_lines_without_letters_are_compared_whole():
    lines = ["abc", "abd", "\U0001f602", "\U0001f603", "", "ABC"]
    keys = bands(lines)
    shared = (keys[:, None] == keys[None]).any(axis=2)
    assert shared.tolist() == [[one.lower() == two.lower() for two in lines] for one in lines]


def test_a_line_is_new_once_whatever_the_blocks():
    keys = bands(["umwana arakina hanze cyane", "inkuru nshya y'uyu munsi", "umwana arakina hanze cyanee"])
    assert NearSeen().add(keys).tolist() == [True, True, False]
    seen = NearSeen()
    assert [bool(seen.add(keys[place : place + 1])[0]) for place in range(3)] == [True, True, False]
    assert NearSeen().add(np.empty((0, BANDS), np.uint64)).tolist() == []
