"""Batches are loaded one ahead of their use, in order."""

import threading

import pytest

from distil.compute.batching import prefetch


def test_loading_goes_on_while_a_batch_is_in_use() -> None:
    loaded: list[int] = []
    second = threading.Event()

    def load(number: int) -> int:
        loaded.append(number)
        if number == 2:
            second.set()
        return number * number

    used = prefetch([1, 2, 3], load)
    assert next(used)[:2] == (1, 1)
    assert second.wait(10)  # nobody has asked for it yet
    assert [(item, result) for item, result, _ in used] == [(2, 4), (3, 9)]
    assert loaded == [1, 2, 3] and list(prefetch([], load)) == []


def test_an_error_in_loading_reaches_the_one_who_asks() -> None:
    def load(number: int) -> float:
        return 1 / number

    used = prefetch([1, 0, 2], load)
    assert next(used)[1] == 1.0
    with pytest.raises(ZeroDivisionError):
        next(used)
