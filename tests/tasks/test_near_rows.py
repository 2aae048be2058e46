"""Rows without a label that resemble the training rows: which are drawn, how often, and the same every time."""

import random

import numpy as np
import pytest

from distil.tasks.near_rows import near_rows

NEWS = ["umukuru", "w'igihugu", "minisitiri", "inteko", "itora", "amatora", "perezida", "guverinoma", "umujyi",
        "akarere", "intara", "leta"]  # fmt: skip
COOKING = ["umuceri", "ibishyimbo", "amavuta", "umunyu", "isafuriya", "gucana", "amazi", "ibirayi", "karoti", "inyama",
           "isosi", "guteka"]  # fmt: skip


def sentences(words: list[str], count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=rng.randint(4, 12))) for _ in range(count)]


def test_rows_like_the_training_rows_are_drawn_first() -> None:
    pool = [*sentences(COOKING, 900, 1), *sentences(NEWS, 100, 2)]
    random.Random(3).shuffle(pool)
    choice = near_rows(pool, sentences(NEWS, 40, 4), 50, "seed")
    kept = [pool[place] for place in choice.places]
    assert sum(row.split()[0] in NEWS for row in kept) >= 46  # of 50; 5 by chance
    assert choice.places == sorted(set(choice.places)) and len(kept) == 50
    assert choice.all_rows < 0.3 < choice.kept


def test_a_pool_of_one_kind_is_drawn_evenly() -> None:
    pool, train = sentences(NEWS, 300, 1), sentences(NEWS, 60, 2)
    drawn = np.zeros(300)
    for seed in range(20):
        drawn[near_rows(pool, train, 100, str(seed)).places] += 1
    # Nothing tells the rows apart, so none is always in and few are never: a plain top 100 would give 20s and 0s.
    assert (drawn == 0).mean() < 0.2 and (drawn == 20).mean() < 0.1


def test_the_seed_decides_the_draw() -> None:
    pool, train = sentences(NEWS, 200, 1), sentences(NEWS, 30, 2)
    first = near_rows(pool, train, 50, "1-kin")
    assert first == near_rows(pool, train, 50, "1-kin")
    assert first.places != near_rows(pool, train, 50, "2-kin").places


@pytest.mark.parametrize("train", [["leta", "intara"], ["!", "?"]], ids=["two rows", "no words"])
def test_little_to_go_by_is_no_error(train: list[str]) -> None:
    choice = near_rows(["leta", "umuceri", "amazi ?", ""], train, 2, "x")
    assert len(choice.places) == 2
