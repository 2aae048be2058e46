"""The generated sample as named entities: what fills some slots is a name, so tags follow from the pattern.

People, places, organisations and days, tagged as in MasakhaNER: O, B-/I- of PER, LOC, ORG, DATE. The sentences are of
the lists that the sentiment rows come from, other draws. Scores tell whether the pipeline works, nothing of a language.
"""

import dataclasses
import random
import re

from distil.sources.synthetic import Draws, Lexicon, pick
from distil.text.words import into_tokens

DRAWN = ("facts", "asked", "praise")  # the lists that sentences are drawn from
TAGGED_ROWS = {"train": 400, "dev": 80, "test": 160}
SLOTS = {
    "man": "PER", "woman": "PER", "town": "LOC", "in_town": "LOC", "to_place": "LOC", "market": "LOC",
    "home_club": "ORG", "far_club": "ORG", "network": "ORG", "bank": "ORG", "paper": "ORG", "station": "ORG",
    "day": "DATE",
}  # fmt: skip
TYPES = ("PER", "LOC", "ORG", "DATE")

# Characters for private use around a name, one to begin each type: no letters to the code that builds sentences.
_BEGIN = {kind: chr(0xE000 + number) for number, kind in enumerate(TYPES)}
_KIND = {mark: kind for kind, mark in _BEGIN.items()}
_END = "\ue010"
_PIECES = re.compile(rf"[{''.join(_KIND)}]|{_END}|[^\s{''.join(_KIND)}{_END}]+")


def tagged_rows(lexicon: Lexicon) -> dict[str, list[tuple[list[str], list[str]]]]:
    """(tokens, tags) of "train", "dev" and "test" in the numbers of `TAGGED_ROWS`, the same ones on every call.

    Raises:
        UserError: the patterns give too few distinct sentences.
    """
    rng = random.Random(f"{lexicon.language}-entities")
    draws, marked = Draws(rng), dataclasses.replace(lexicon, slots=_marked(lexicon))
    return {
        split: [_tag(draws.take(marked, pick(rng, DRAWN))) for _ in range(count)]
        for split, count in TAGGED_ROWS.items()
    }


def _marked(lexicon: Lexicon) -> dict[str, tuple[str, ...]]:
    """The slots, with marks around the names in them."""
    return {
        name: tuple(_mark(entry, SLOTS[name]) for entry in entries) if name in SLOTS else entries
        for name, entries in lexicon.slots.items()
    }


def _mark(entry: str, kind: str) -> str:
    """An entry with marks around the name in it: of a day all of it, otherwise from the first capital letter on."""
    if "{" in entry:
        return entry
    words = entry.split(" ")
    first = next((number for number, word in enumerate(words) if word[0].isupper()), None)
    if kind == "DATE":
        first = 0
    if first is None:
        return entry
    return " ".join([*words[:first], _BEGIN[kind] + " ".join(words[first:]) + _END])


def _tag(sentence: str) -> tuple[list[str], list[str]]:
    """Tokens and tags of a sentence with marks."""
    tokens: list[str] = []
    tags: list[str] = []
    kind, begins = "", False
    for piece in _PIECES.findall(sentence):
        if piece in _KIND:
            kind, begins = _KIND[piece], True
        elif piece == _END:
            kind = ""
        else:
            for token in into_tokens(piece):
                tokens.append(token)
                tags.append(f"{'B' if begins else 'I'}-{kind}" if kind else "O")
                begins = False
    return tokens, tags
