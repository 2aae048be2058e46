"""Attention rows and states in few bits: how far off they come back, and that scores survive the rotation."""

import numpy as np
import pytest

from distil.cache.quantisation import (
    STATE_LEVELS,
    quantise_rows,
    quantise_states,
    quantise_states_4,
    restore_states,
    restore_states_4,
    rotation,
)


def states(width: int = 384, rows: int = 200) -> np.ndarray:
    """As a teacher's: a few numbers are ten times as large as the others."""
    rng = np.random.default_rng(0)
    return (rng.standard_normal((rows, width)) * np.where(np.arange(width) % 97, 1.0, 10.0)).astype(np.float32)


def relative_error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(np.square(found - exact).sum() / np.square(exact).sum()))


def test_a_quantised_row_is_off_by_at_most_half_a_step() -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(30), size=(5, 2)).astype(np.float32)
    codes, scales = quantise_rows(probs)
    restored = codes * (scales.astype(np.float32) / 255)[..., None]
    assert (np.abs(restored - probs) <= probs.max(-1, keepdims=True) * (0.5 / 255 + 1e-3)).all()


def test_a_state_in_8_bits_is_off_by_at_most_half_a_step() -> None:
    exact = states()
    restored = restore_states(*quantise_states(exact))
    assert (np.abs(restored - exact) <= np.abs(exact).max(axis=1, keepdims=True) * (0.5 / 127 + 1e-3)).all()


def test_a_turned_state_in_4_bits_has_the_error_of_sixteen_levels_whatever_its_large_numbers() -> None:
    turned = states() @ rotation(384)
    found = restore_states_4(*quantise_states_4(turned), 384)
    # Max 1960, table I: the mean squared error of 16 levels is 0.009497 of the variance.
    assert relative_error(found, turned) == pytest.approx(0.009497**0.5, rel=0.05)
    assert relative_error(restore_states_4(*quantise_states_4(states()), 384), states()) > 0.2  # without the rotation


@pytest.mark.parametrize("width", [384, 33])
def test_two_numbers_share_a_byte_and_the_first_is_in_its_upper_half(width: int) -> None:
    codes, scales = quantise_states_4(states(width))
    assert codes.shape == (200, (width + 1) // 2) and codes.dtype == np.uint8 and scales.dtype == np.float16
    numbers = STATE_LEVELS[np.stack([codes >> 4, codes & 15], axis=-1).reshape(200, -1)[:, :width]]
    expected = numbers * scales.astype(np.float32)[:, None]
    np.testing.assert_array_equal(restore_states_4(codes, scales, width), expected)


def test_a_state_of_zeros_comes_back_as_zeros() -> None:
    assert not restore_states_4(*quantise_states_4(np.zeros((2, 8), np.float32)), 8).any()


def test_scores_are_the_same_after_a_rotation_of_states_and_decoder() -> None:
    decoder = np.random.default_rng(1).standard_normal((50, 384)).astype(np.float32)
    turn = rotation(384)
    np.testing.assert_allclose(turn @ turn.T, np.eye(384), atol=1e-5)
    np.testing.assert_allclose((states() @ turn) @ (decoder @ turn).T, states() @ decoder.T, atol=2e-3)
