import numpy as np
import pytest

from distil.corpus.exact_duplicates import Seen


def test_a_hash_is_new_once():
    seen = Seen()
    assert seen.add(np.array([5, 7, 5, 2**63, 5], np.uint64)).tolist() == [True, True, False, True, False]
    assert seen.add(np.array([2**63, 8, 7], np.uint64)).tolist() == [False, True, False]
    assert seen.add(np.empty(0, np.uint64)).tolist() == []
    assert len(seen) == 4


@pytest.mark.parametrize("step", [1, 7, 1000, 20_000])
def test_the_answers_do_not_depend_on_how_many_are_asked_at_once(step):
    hashes = np.random.default_rng(0).integers(0, 2**64, 5000, np.uint64)[
        np.random.default_rng(1).integers(0, 5000, 20_000 if step > 1 else 2000)
    ]
    met: set[int] = set()
    expected = [not (value in met or met.add(value)) for value in hashes.tolist()]
    seen = Seen()
    found = np.concatenate([seen.add(hashes[start : start + step]) for start in range(0, len(hashes), step)])
    assert found.tolist() == expected
    assert len(seen) == len(met)


def test_a_line_costs_eight_bytes():
    seen = Seen()
    for start in range(0, 200_000, 4000):
        seen.add(np.random.default_rng(start).integers(0, 2**64, 4000, np.uint64))
    assert sum(part.nbytes for part in (*seen._old, *seen._late)) == 8 * 200_000
