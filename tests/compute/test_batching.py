"""Rows of like length together."""

import numpy as np
import pytest

from distil.compute.batching import by_length, runs


def test_runs_hold_every_row_once_in_order_and_are_as_long_as_they_may_be() -> None:
    lengths = np.array([2, 2, 3, 5, 5, 9], np.uint16)
    assert list(runs(lengths, 9)) == [(0, 3), (3, 4), (4, 5), (5, 6)]  # 3 * 3, 5, 5 and 9 tokens
    assert list(runs(lengths, 4)) == [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6)]  # what is too long goes alone
    assert list(runs(lengths, 1000)) == [(0, 6)]
    assert list(runs(lengths[:0], 10)) == []


@pytest.mark.parametrize("tokens", [1, 64, 1024, 65536])
def test_batches_hold_every_row_once_and_bound_padded_tokens(tokens: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 90, 400).astype(np.uint16)
    found = list(by_length(lengths, tokens))
    assert sorted(np.concatenate(found).tolist()) == list(range(400))
    assert all(len(batch) == 1 or len(batch) * int(lengths[batch].max()) <= tokens for batch in found)
    assert all(np.all(np.diff(lengths[batch].astype(int)) >= 0) for batch in found)


def test_a_size_above_that_of_the_lengths_own_type_does_not_wrap_around() -> None:
    assert list(runs(np.full(300, 500, np.uint16), 65_536)) == [(0, 131), (131, 262), (262, 300)]
