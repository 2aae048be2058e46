"""Lines that are nearly the same: MinHash (Broder 1997) of letters in a row, compared in bands.

Two lines whose sets of shingles have the Jaccard similarity s share a band with probability 1 - (1 - s⁸)¹⁴: 0.05 at
0.5, 0.56 at 0.7, 0.92 at 0.8, 0.9996 at 0.9, the banding of FineWeb (Penedo et al. 2024).
"""

from collections.abc import Sequence

import numpy as np

from distil.corpus.exact_duplicates import Seen
from distil.text.overlap import fold_key

BANDS, ROWS = 14, 8
SHINGLE = 6  # letters

_SEED = 1
_FACTORS = np.random.default_rng(_SEED).integers(0, 2**63, (1, BANDS, ROWS), np.uint64) * np.uint64(2) + np.uint64(1)


def bands(lines: Sequence[str]) -> np.ndarray:
    """Keys of each line, (n, BANDS) uint64: case, diacritics, punctuation and spaces make no difference."""
    from rensa import RMinHash

    digests = np.empty((len(lines), BANDS * ROWS), np.uint64)
    for place, line in enumerate(lines):
        key = fold_key(line)
        sketch = RMinHash(num_perm=BANDS * ROWS, seed=_SEED)
        sketch.update([key[start : start + SHINGLE] for start in range(max(1, len(key) - SHINGLE + 1))])
        digests[place] = sketch.digest()
    mixed = (digests.reshape(-1, BANDS, ROWS) * _FACTORS).sum(axis=2, dtype=np.uint64)
    return mixed ^ (mixed >> np.uint64(32))


class NearSeen:
    """Remembers lines by their bands: 8 * BANDS bytes a line."""

    def __init__(self) -> None:
        self._seen = [Seen() for _ in range(BANDS)]

    def add(self, keys: np.ndarray) -> np.ndarray:
        """Remember lines, (n, BANDS) uint64; (n,) bool tells which share no band with an earlier one."""
        fresh = np.ones(len(keys), bool)
        for band, seen in enumerate(self._seen):
            fresh &= seen.add(keys[:, band])
        return fresh
