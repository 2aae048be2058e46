import numpy as np
import pytest

from distil.tokenization.masking import draw_masks

MASK, CANDIDATES = 99, np.arange(4, 99)


def draw(lengths: list[int], rate: float, variants: int, seed: int = 0):
    ids = np.concatenate([np.concatenate([[0], np.arange(4, 4 + n - 2) % 95 + 4, [2]]) for n in lengths])
    offsets = np.cumsum([0, *lengths])
    return ids, offsets, draw_masks(ids, offsets, rate, variants, MASK, CANDIDATES, np.random.default_rng(seed))


def positions_of(masks, variant: int, sequence: int) -> list[int]:
    start, stop = masks.offsets[variant, sequence], masks.offsets[variant, sequence + 1]
    return masks.positions[start:stop].tolist()


def test_the_ends_are_never_masked_and_every_variant_masks_something() -> None:
    lengths = [3, 4, 5, 17, 128]
    _, _, masks = draw(lengths, 0.15, 4)
    for variant in range(4):
        for sequence, length in enumerate(lengths):
            places = positions_of(masks, variant, sequence)
            assert len(places) == max(1, round((length - 2) * 0.15))
            assert all(1 <= place <= length - 2 for place in places)
            assert places == sorted(set(places))


def test_variants_do_not_overlap_while_tokens_last() -> None:
    _, _, masks = draw([102], 0.15, 6)
    places = [place for variant in range(6) for place in positions_of(masks, variant, 0)]
    assert len(places) == len(set(places)) == 90  # six times 15 of the 100 inner tokens


def test_most_masked_tokens_become_mask_some_random_and_some_stay() -> None:
    ids, offsets, masks = draw([128] * 400, 0.15, 1)
    gold = ids[np.repeat(offsets[:-1], np.diff(masks.offsets[0])) + masks.positions]
    # 400 * 19 = 7600 draws; three standard errors are 1.4 % of the 80 % and 1 % of the 10 %
    assert np.mean(masks.inputs == MASK) == pytest.approx(0.8, abs=0.014)
    assert np.mean(masks.inputs == gold) == pytest.approx(0.1 + 0.1 / len(CANDIDATES), abs=0.011)
    assert set(masks.inputs) <= set(CANDIDATES) | {MASK}


def test_the_same_seed_gives_the_same_masks_and_another_seed_others() -> None:
    first, again, other = draw([50] * 5, 0.2, 2)[2], draw([50] * 5, 0.2, 2)[2], draw([50] * 5, 0.2, 2, seed=1)[2]
    np.testing.assert_array_equal(first.positions, again.positions)
    np.testing.assert_array_equal(first.inputs, again.inputs)
    assert not np.array_equal(first.positions, other.positions)
