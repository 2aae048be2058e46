"""Words that a student reads as <mask> in rows without a label, while its target is the teacher's on the whole text.

Consistency training (Xie et al. 2020, arXiv 1904.12848) in one pass: KL(teacher on the text || student on the text with
masks). arXiv 2307.08714 trains a small tagger so in a language without labels.
"""

import numpy as np
from tokenizers import Tokenizer

from distil.finetuning.encoding import Encoded
from distil.modeling.tokenizer import special_ids

WORD_START = "▁"  # how a piece begins that begins a word


class WordMasks:
    """Masks for the rows of one training set."""

    def __init__(self, tokenizer: Tokenizer, rows: Encoded, share: float) -> None:
        """`share` is that of the words, from 0 to below 1."""
        special = special_ids(tokenizer)
        self._mask, self._ends = special.mask, np.array([special.bos, special.pad, special.eos])
        self._begins = np.zeros(tokenizer.get_vocab_size(), np.bool_)
        self._begins[[number for piece, number in tokenizer.get_vocab().items() if piece.startswith(WORD_START)]] = True
        self._rows, self._share, self._open = rows, share, rows.unlabelled_rows()

    def apply(self, batch: np.ndarray, rng: np.random.Generator) -> Encoded:
        """The rows, those of `batch` that have no label with some words masked; every piece of a word together."""
        ids = list(self._rows.ids)
        for row in batch[self._open[batch]]:
            pieces = np.array(ids[row], np.int64)
            words = np.cumsum(self._begins[pieces])
            drawn = rng.random(words[-1] + 1) < self._share
            ids[row] = np.where(drawn[words] & ~np.isin(pieces, self._ends), self._mask, pieces).tolist()
        return self._rows._replace(ids=ids)
