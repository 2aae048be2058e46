import numpy as np
import pytest

from distil.cache.bit_packing import bits_for, pack_rows, row_bytes, unpack_rows


def test_xlm_r_ids_need_eighteen_bits_and_the_largest_survives() -> None:
    assert bits_for(250_002) == 18
    ids = np.array([[250_001, 0, 131_072], [1, 250_000, 65_536]])
    packed = pack_rows(ids, bits_for(250_002))
    assert packed.shape == (2, 7)  # 3 * 18 = 54 bits
    np.testing.assert_array_equal(unpack_rows(packed, 3, 18), ids)


def test_an_id_that_does_not_fit_is_refused_and_not_cut_off() -> None:
    with pytest.raises(ValueError, match="do not fit into 17 bits"):
        pack_rows(np.array([[250_001]]), 17)
    with pytest.raises(ValueError, match="do not fit"):
        pack_rows(np.array([[-1]]), 17)


def test_packing_by_hand() -> None:
    # 5 = 101, 3 = 011, 1 = 001 -> 10101100 1 and seven zeros
    np.testing.assert_array_equal(pack_rows(np.array([[5, 3, 1]]), 3), [[0b10101100, 0b10000000]])


@pytest.mark.parametrize("width", range(1, 33))
def test_every_width_round_trips(width: int) -> None:
    values = np.random.default_rng(width).integers(0, 2**width, (7, 11))
    packed = pack_rows(values, width)
    assert packed.shape == (7, row_bytes(11, width))
    np.testing.assert_array_equal(unpack_rows(packed, 11, width), values)


def test_no_rows_and_one_bit() -> None:
    assert unpack_rows(pack_rows(np.zeros((0, 5), np.int64), 9), 5, 9).shape == (0, 5)
    assert bits_for(1) == 1 and bits_for(2) == 1 and bits_for(3) == 2
