"""Whether a sentence finds its translation: accuracy at 1 in both directions, with bootstrap intervals. Pure, numpy.

The translation has to be the nearest of all N test sentences by cosine (Artetxe and Schwenk 2019, arXiv 1812.10464,
section 4.3). Sentences are drawn with replacement for the intervals; the candidates stay all N, so that a resample
asks the same question. Legend: N sentences, D dimensions.
"""

from itertools import combinations

import numpy as np

from distil.evaluation.bootstrap import interval

Hits = dict[tuple[str, str], np.ndarray]


def centred(vectors: np.ndarray) -> np.ndarray:
    """(N, D) vectors less their mean."""
    return vectors - vectors.mean(axis=0)


def hits(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which sentences find their translation.

    Args:
        one: (N, D) vectors of any length but zero.
        other: (N, D) of the same sentences in another language, or by another model.

    Returns:
        (2, N) bool: row 0 from `one` to `other`, row 1 back. Of equal similarities the first one counts.

    Raises:
        ValueError: the shapes differ.
    """
    if one.shape != other.shape:
        raise ValueError(f"expected vectors of one shape, found {one.shape} and {other.shape}")
    left, right = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (one, other))
    similarity, same = left @ right.T, np.arange(len(one))
    return np.stack([similarity.argmax(axis=1) == same, similarity.argmax(axis=0) == same])


def all_hits(vectors: dict[str, np.ndarray]) -> Hits:
    """`hits` of every two languages; vectors (N, D) by language."""
    return {(one, other): hits(vectors[one], vectors[other]) for one, other in combinations(vectors, 2)}


def accuracy(found: list[np.ndarray], resamples: int) -> dict[str, object]:
    """Mean accuracy at 1 of some pairs of languages, per cent.

    Args:
        found: (2, N) of each pair, from `hits`, over the same N sentences.
        resamples: of the bootstrap over sentences, with the same draws for every model.

    Returns:
        `accuracy`, mean of both directions and all pairs, its 95 % percentile `interval`, `directions` (there, back).
    """
    stacked = np.stack(found).astype(np.float64)  # (pairs, 2, N)
    return {**_mean(stacked.mean(axis=(0, 1)), resamples), "directions": (100 * stacked.mean(axis=(0, 2))).tolist()}


def difference(found: list[np.ndarray], others: list[np.ndarray], resamples: int) -> dict[str, object]:
    """What `found` has over `others`, of another model on the same pairs of languages, in points; see `accuracy`."""
    one, other = (np.stack(each).mean(axis=(0, 1)) for each in (found, others))
    return _mean(one - other, resamples)


def _mean(sentences: np.ndarray, resamples: int) -> dict[str, object]:
    """The mean of (N,) values of sentences, times 100, and its interval."""
    drawn = np.random.default_rng(len(sentences)).integers(len(sentences), size=(resamples, len(sentences)))
    return {
        "accuracy": 100 * float(sentences.mean()),
        "interval": [100 * bound for bound in interval(sentences[drawn].mean(axis=1))],
    }
