"""Attention rows and hidden states in few bits, and back; numpy alone.

Shapes: P positions, T keys, D width of a state.
"""

import functools

import numpy as np

from distil.cache.bit_packing import pack_rows

# Upper half of the 16 numbers with the least mean squared error for a normal distribution (Max 1960, table I).
_UPPER_LEVELS = (0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0690, 2.7326)
STATE_LEVELS = np.array([*(-level for level in reversed(_UPPER_LEVELS)), *_UPPER_LEVELS], np.float32)
_PAIRS = np.stack([np.repeat(STATE_LEVELS, 16), np.tile(STATE_LEVELS, 16)], axis=1)  # (256, 2): what a byte stands for


def quantise_rows(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Attention rows in 8 bits: codes (…, T) uint8 and scales (…,) float16, for probabilities (…, T) float32."""
    scales = probs.max(axis=-1).astype(np.float16)
    divisor = np.maximum(scales.astype(np.float32), np.finfo(np.float16).tiny)[..., None]
    return np.clip(np.rint(255.0 * probs / divisor), 0, 255).astype(np.uint8), scales


def quantise_states(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hidden states in 8 bits: codes (…, D) int8 and scales (…,) float16, for states (…, D) float32."""
    # Rounded up to the next float16, so that no code leaves -127 to 127.
    scales = np.nextafter(np.abs(states).max(axis=-1).astype(np.float16), np.float16(np.inf))
    return np.rint(127.0 * states / scales.astype(np.float32)[..., None]).astype(np.int8), scales


def restore_states(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The inverse of `quantise_states`: (…, D) float32."""
    states = codes.astype(np.float32)
    states *= (scales.astype(np.float32) / 127.0)[..., None]
    return states


@functools.cache
def rotation(width: int) -> np.ndarray:
    """(D, D) float32, a fixed random rotation R: it spreads a state's few large numbers evenly over all D.

    As QuaRot does it before 4 bits (arXiv 2404.00456). Scores stay the same: (h R) (W R)ᵀ = h Wᵀ.
    """
    turned, upper = np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))
    return (turned * np.sign(np.diag(upper))).astype(np.float32)


def quantise_states_4(turned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States in 4 bits: codes (P, ceil(D / 2)) uint8, the first number in the upper half, and scales (P,) float16.

    Args:
        turned: (P, D) float32, states after `rotation`; so the numbers of a row are nearly normal.
    """
    scales = np.sqrt(np.square(turned).mean(axis=1)).astype(np.float16)
    divisor = np.maximum(scales.astype(np.float32), np.finfo(np.float16).tiny)[:, None]
    return pack_rows(np.searchsorted((STATE_LEVELS[1:] + STATE_LEVELS[:-1]) / 2, turned / divisor), 4), scales


def restore_states_4(codes: np.ndarray, scales: np.ndarray, width: int) -> np.ndarray:
    """The inverse of `quantise_states_4`: (P, D) float32, still turned; D is `width`."""
    return _PAIRS[codes].reshape(len(codes), -1)[:, :width] * scales.astype(np.float32)[:, None]
