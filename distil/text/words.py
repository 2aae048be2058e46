"""A line of text as the words that a token classification takes. Pure."""

import unicodedata


def into_tokens(line: str) -> list[str]:
    """Words, and the punctuation before and behind them as tokens of their own, as the news corpora of MasakhaNER are.

    What stands inside a word (an apostrophe, a hyphen) stays in it.
    """
    tokens = []
    for word in line.split():
        first, last = 0, len(word)
        while first < last and _is_punctuation(word[first]):
            first += 1
        while last > first and _is_punctuation(word[last - 1]):
            last -= 1
        tokens += [*word[:first], *([word[first:last]] if first < last else []), *word[last:]]
    return tokens


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
