"""Whole numbers packed to the bits they need, a row at a time, each row starting on a byte.

Most significant bit first, values side by side: value j of a row is in bits j * width to (j + 1) * width - 1 of the
row's bytes; what is left of the last byte is zero.
"""

import numpy as np


def bits_for(count: int) -> int:
    """Bits that tell `count` values (0 to count - 1) apart, at least 1."""
    return max(1, (count - 1).bit_length())


def row_bytes(values: int, width: int) -> int:
    """Bytes of a row of `values` numbers of `width` bits."""
    return (values * width + 7) // 8


def pack_rows(values: np.ndarray, width: int) -> np.ndarray:
    """Pack each row of an array of whole numbers.

    Args:
        values: (N, K), each from 0 to 2**width - 1.
        width: bits a value, 1 to 32.

    Returns:
        (N, row_bytes(K, width)) uint8.

    Raises:
        ValueError: a value does not fit; nothing is ever cut off.
    """
    if values.size and (values.min() < 0 or int(values.max()) >> width):
        raise ValueError(f"values from {values.min()} to {values.max()} do not fit into {width} bits")
    shifts = np.arange(width - 1, -1, -1, dtype=np.uint32)
    bits = (values.astype(np.uint32)[:, :, None] >> shifts) & np.uint32(1)
    return np.packbits(bits.astype(np.uint8).reshape(len(values), values.shape[1] * width), axis=1)


def unpack_rows(packed: np.ndarray, count: int, width: int) -> np.ndarray:
    """The inverse of `pack_rows`.

    Args:
        packed: (N, row_bytes(count, width)) uint8.
        count: values in a row.
        width: bits a value.

    Returns:
        (N, count) int64.
    """
    # Each value is inside eight bytes from the byte in which it starts: read them as one big-endian number and
    # shift. Ten times as fast as going through single bits.
    starts = np.arange(count) * width
    first, drop = starts // 8, 64 - width - starts % 8
    padded = np.zeros((len(packed), packed.shape[1] + 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    word = np.zeros((len(packed), count), np.uint64)
    for byte in range((width + 7 + 7) // 8):
        word |= padded[:, first + byte].astype(np.uint64) << np.uint64(56 - 8 * byte)
    return ((word >> drop.astype(np.uint64)) & np.uint64((1 << width) - 1)).astype(np.int64)
