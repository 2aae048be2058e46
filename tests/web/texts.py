"""Texts of all five languages with what tweets have in them."""

import random
import unicodedata

from distil.core.languages import LANGUAGES
from distil.sources.synthetic import corpus_sentences, read_lexicon
from tests.support import ROOT

ODD = [
    "😀", "👩🏾\u200d🌾", "🇳🇬", "❤️", "ọ̀rọ̀", "a\u0300\u0301", "e\u0323\u0301", "n\u0304", "ẹ̀kọ́\u200b",
    "ƙ'arfi", "…", "½", "ﬁ", "Ａｂ", "１２", "@user_1", "RT @ọ̀rẹ́: x", "#Àṣà2020", "https://t.co/aB?x=1",
    "www.a.b/ç", "<s>", "</s>", "<mask>", "a<pad>b", "<unk", "\x07", "a\u00a0b", "\u2003", "\x1c", "\x85",
    "İSTANBUL", "ΟΔΟΣ", "ß", "e\u20dd", "ŋ\u0329", "中文", "عربي", "!?", "_", "\u00ad", "a\u200db", "\ufe0f",
    "👍\u200d", "~",
]  # fmt: skip


def sentences(each: int) -> dict[str, list[str]]:
    """Of each language the first sentences of its sample."""
    return {code: corpus_sentences(read_lexicon(ROOT / "distil/lexicons", code))[:each] for code in LANGUAGES}


def odd_texts(each: int) -> list[str]:
    """As many of each language, with something odd before, in or behind half of them; a quarter is not in NFC."""
    rng, found = random.Random(5), []
    for texts in sentences(each).values():
        for number, text in enumerate(texts):
            words = text.split()
            if number % 2:
                words.insert(rng.randint(0, len(words)), rng.choice(ODD))
            joined = rng.choice([" ", " ", "  ", "\t"]).join(words)
            found.append(unicodedata.normalize("NFD", joined) if number % 4 == 0 else joined)
    return found + ODD
