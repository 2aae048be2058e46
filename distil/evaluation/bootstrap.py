"""How sure a score is: the percentile bootstrap over test rows, the same draws for every model. Pure, numpy only.

A score is made of counts that add up over rows (a confusion matrix, or hits among entities), so a resample of N rows
is a vector of how often each row was drawn, times the rows' counts: one matrix product for many resamples, all models
and all seeds. A row is whatever is drawn as one: a text, or a whole sentence of tags.

Seeds are not drawn. A model's score is the mean over its seeds, in every resample over the same seeds, so an interval
covers the choice of test rows only; the spread between seeds is reported beside it.
"""

from collections.abc import Callable

import numpy as np

LEVEL = (2.5, 97.5)  # percentiles: a 95 % interval
DRAWN = 2**19  # rows drawn at once, in as many resamples as that is: 8 MB for few rows and for many


def resample(
    counts: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], resamples: int, language: str
) -> np.ndarray:
    """A statistic of counts that are summed over rows drawn with replacement.

    Args:
        counts: (N, ...) whole numbers, what each row adds.
        statistic: of the sums, (R, ...) float64 holding whole numbers, in any number of resamples R; gives (R, ...).
        resamples: how many in all.
        language: decides the draws, so that models on the same N rows are compared on the same draws, whichever stage
            asks, and languages are drawn independently of each other.

    Returns:
        (resamples, ...) values of the statistic.
    """
    rows, shape = len(counts), counts.shape[1:]
    # Sums of whole numbers are exact in float32 below 2**24, so neither the order of addition nor the machine matters.
    exact = np.dtype(np.float32 if rows * int(counts.max(initial=0)) < 2**24 else np.float64)
    flat = counts.reshape(rows, -1).astype(exact)
    rng = np.random.default_rng(list(language.encode()))
    found, chunk = [], max(1, DRAWN // rows)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(rows, size=(size, rows), dtype=np.int32)
        drawn += np.arange(size, dtype=np.int32)[:, None] * rows
        weights = np.bincount(drawn.ravel(), minlength=size * rows).astype(exact).reshape(size, rows)
        found.append(statistic(np.matmul(weights, flat).astype(np.float64).reshape(size, *shape)))
    return np.concatenate(found)


def interval(draws: np.ndarray) -> list[float]:
    """The ends of the 95 % percentile interval of (R,) resampled values."""
    return [float(bound) for bound in np.percentile(draws, LEVEL)]


def p_value(differences: np.ndarray) -> float:
    """Two-sided p of the hypothesis that two models score alike, from (R,) resampled differences.

    Twice the share of resamples on the rarer side of zero, ties on both, with one added to both counts (Davison and
    Hinkley 1997, section 4.2): it is below 0.05 about where the 95 % interval of the difference leaves out zero, and
    never below 2 / (R + 1).
    """
    rarer = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return min(1.0, 2 * (1 + rarer) / (1 + len(differences)))
