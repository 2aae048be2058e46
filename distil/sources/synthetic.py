"""The project's own synthetic sentences: an offline corpus and a sentiment task for a fresh clone.

Few labels, much text: the situation that distillation is for. A lexicon (distil/lexicons/LANG.yaml) holds patterns and
slots. A pattern is a sentence with slots in braces; a slot is a list of words, phrases or clauses, which may name slots
themselves. Every mention of a slot draws again, and not what the same sentence has drawn from it before. The label of a
sentence follows from the list of its pattern:

    facts              neutral
    asked              neutral, though the words are not: questions, hearsay, conditions
    praise, complaint  positive, negative: what the words say
    praise_turned,     positive, negative: the opposite clause is negated, or comes first and is overruled by the
    complaint_turned   last one, so that counting words is not enough
    praise_raw,        in the raw text only: thanks, regret or a second opinion of the same kind stands beside the
    complaint_raw      opinion, so that who reads enough learns which side a word is on

The opinions themselves are the slots `OPINIONS`. Labelled training rows use the first half of each only: of the words
that decide a label, half never occur there, but they do in dev, test, the unlabelled rows and the raw text, in the same
patterns. Raw text also shows the mood of an opinion by an emoji behind it, most of the time; labelled rows never do.

Every language has the same number of rows, of each label and of each list. Scores tell whether the pipeline works;
they say nothing about a language.
"""

import random
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from distil.core.errors import UserError
from distil.core.languages import LANGUAGES

CORPUS_SENTENCES = 4000
# How often each of these lists is drawn for the corpus; the last pair of a kind is drawn evenly.
CORPUS_SHARES = {
    ("facts",): 0.3,
    ("asked",): 0.1,
    ("praise", "complaint"): 0.35,
    ("praise_turned", "complaint_turned"): 0.05,
    ("praise_raw", "complaint_raw"): 0.2,
}
ROWS = {
    "train": {"positive": 36, "neutral": 34, "negative": 30},
    "dev": {"positive": 36, "neutral": 34, "negative": 30},
    "test": {"positive": 108, "neutral": 102, "negative": 90},
}
UNLABELLED_TEXTS = 1000  # of the kind of the labelled rows, in the shares of the training rows, without their labels
# The lists of a label, and the share of its rows that comes from the second one.
LISTS_OF = {
    "positive": ("praise", "praise_turned", 0.1),
    "neutral": ("facts", "asked", 0.4),
    "negative": ("complaint", "complaint_turned", 0.1),
}
LISTS = (
    "facts", "asked", "praise", "praise_turned", "praise_raw", "complaint", "complaint_turned", "complaint_raw",
)  # fmt: skip
OPINIONS = ("good", "bad", "not_good", "not_bad", "liked", "hated", "not_liked", "not_hated")
# The emoji behind a raw sentence of these lists, and how often it is there.
MOODS = {"praise": "😍", "praise_turned": "😍", "complaint": "😡", "complaint_turned": "😡"}
MOOD_SHARE = 0.9
# Drawn whatever the label is: no hint, only what a reader of tweets must see past.
EMOJI = ("😂", "🙏", "👀", "😅", "💯", "🤔", "🙌", "📌")
_TRIES = 50  # draws a wanted sentence, before the patterns are held to be too few
_SLOT = re.compile(r"\{([a-z_]+)\}")
_START = re.compile(r"(?:^|[.!?] )[^\w]*\w")

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Lexicon:
    """The patterns and slots of one language, checked by `read_lexicon`."""

    language: str
    source: Path
    patterns: Mapping[str, tuple[str, ...]]  # by the names in LISTS
    slots: Mapping[str, tuple[str, ...]]
    hashtags: tuple[str, ...]


def read_lexicon(folder: Path, language: str) -> Lexicon:
    """The lexicon `folder`/`language`.yaml.

    Raises:
        UserError: the language has none, or the file is broken; names the file and the key.
    """
    path = folder / f"{language}.yaml"
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader either way
    except FileNotFoundError:
        known = ", ".join(code for code in LANGUAGES if (folder / f"{code}.yaml").is_file()) or "none"
        raise UserError(
            f"{path}: no such file, so {language} has no synthetic sample (languages with one: {known}); "
            "write one, or take the text from `source: files`"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    expected = {*LISTS, "hashtags", "slots"}
    if not isinstance(value, dict) or set(value) != expected:
        found = ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise UserError(f"{path}: expected the keys {', '.join(sorted(expected))}; found {found}")
    if not isinstance(value["slots"], dict):
        raise UserError(f"{path}: slots: expected a list for each name, found {type(value['slots']).__name__}")
    slots = {str(name): _texts(entries, f"{path}: slots.{name}") for name, entries in value["slots"].items()}
    patterns = {name: _texts(value[name], f"{path}: {name}") for name in LISTS}
    _check_slots(path, patterns, slots)
    if missing := sorted(set(OPINIONS) - set(slots)):
        raise UserError(f"{path}: slots: {missing[0]} is missing; opinions are the slots {', '.join(OPINIONS)}")
    return Lexicon(language, path, patterns, slots, _texts(value["hashtags"], f"{path}: hashtags"))


def corpus_sentences(lexicon: Lexicon) -> list[str]:
    """`CORPUS_SENTENCES` distinct sentences without labels, the same ones in the same order on every call.

    Raises:
        UserError: the patterns give too few distinct ones.
    """
    rng = random.Random(f"{lexicon.language}-corpus")
    draws = Draws(rng)
    sentences = []
    for _ in range(CORPUS_SENTENCES):
        name = pick(rng, _drawn(rng.random()))
        text = draws.take(lexicon, name)
        mood = MOODS[name] if name in MOODS and rng.random() < MOOD_SHARE else ""
        sentences.append(text if name == "facts" else _tweet(text, mood, lexicon, rng))
    return sentences


def labelled_rows(lexicon: Lexicon) -> dict[str, list[tuple[str, str]]]:
    """(text, label) of "train", "dev" and "test" in the numbers of `ROWS`, shuffled, the same ones on every call.

    No two texts are alike, even where case, marks, punctuation, accounts, emoji and hashtags are ignored.

    Raises:
        UserError: the patterns give too few distinct ones.
    """
    rng = random.Random(f"{lexicon.language}-labelled")
    draws, few = Draws(rng), _first_half(lexicon)
    splits = {}
    for split, counts in ROWS.items():
        known = few if split == "train" else lexicon
        rows = []
        for label, count in counts.items():
            for name in _lists(label, count):
                rows.append((_tweet(draws.take(known, name), "", lexicon, rng), label))
        splits[split] = sorted(rows, key=lambda row: rng.random())
    return splits


def unlabelled_texts(lexicon: Lexicon) -> list[str]:
    """`UNLABELLED_TEXTS` distinct texts like the labelled ones with every opinion, the same ones on every call.

    Raises:
        UserError: the patterns give too few distinct ones.
    """
    rng = random.Random(f"{lexicon.language}-unlabelled")
    draws, counts = Draws(rng), ROWS["train"]
    lists = [name for label, count in counts.items() for name in _lists(label, count)]
    return [_tweet(draws.take(lexicon, pick(rng, lists)), "", lexicon, rng) for _ in range(UNLABELLED_TEXTS)]


def _drawn(number: float) -> tuple[str, ...]:
    """The key of `CORPUS_SHARES` at a number from 0 to below 1."""
    for names, share in CORPUS_SHARES.items():
        if number < share:
            return names
        number -= share
    return names


def _first_half(lexicon: Lexicon) -> Lexicon:
    """With the opinions that labelled training rows may hold."""
    halves = {name: lexicon.slots[name][: max(1, len(lexicon.slots[name]) // 2)] for name in OPINIONS}
    return replace(lexicon, slots={**lexicon.slots, **halves})


def _lists(label: str, count: int) -> list[str]:
    """From which list each of `count` rows of a label comes."""
    first, second, share = LISTS_OF[label]
    seconds = round(share * count)
    return [second] * seconds + [first] * (count - seconds)


class Draws:
    """Sentences of one language, none twice."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._seen: set[str] = set()

    def take(self, lexicon: Lexicon, name: str) -> str:
        """A sentence from a pattern of the list `name` that was not taken before."""
        for _ in range(_TRIES):
            pattern = pick(self._rng, lexicon.patterns[name])
            sentence = _capitalised(_filled(pattern, lexicon.slots, self._rng, {}))
            key = _folded(sentence)
            if key not in self._seen:
                self._seen.add(key)
                return sentence
        raise UserError(
            f"{lexicon.source}: {name}: too few distinct sentences, {_TRIES} draws in a row gave none that was "
            f"new after {len(self._seen)}; add patterns there, or entries to their slots"
        )


def pick(rng: random.Random, entries: Sequence[str]) -> str:
    """One of the entries: of random's methods only random() is promised to give the same numbers in every Python."""
    return entries[int(rng.random() * len(entries))]


def _filled(text: str, slots: Mapping[str, tuple[str, ...]], rng: random.Random, used: dict[str, set[str]]) -> str:
    """`text` with every slot filled, slots in slots too; `used` is what the sentence has drawn from each so far."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        drawn = used.setdefault(name, set())
        entry = pick(rng, [entry for entry in slots[name] if entry not in drawn] or slots[name])
        drawn.add(entry)
        return _filled(entry, slots, rng, used)

    return _SLOT.sub(fill, text)


def _capitalised(text: str) -> str:
    """With the first letter of each sentence as a capital; NFC, as the case mapping of a letter may not be."""
    return unicodedata.normalize("NFC", _START.sub(lambda match: match[0].upper(), text))


def _tweet(text: str, mood: str, lexicon: Lexicon, rng: random.Random) -> str:
    """`text` with now and then an account before it, an emoji (unless there is a mood) and a hashtag behind it."""
    if rng.random() < 0.12:
        text = f"@user {text}"
    if mood:
        text = f"{text} {mood}"
    elif rng.random() < 0.12:
        text = f"{text} {pick(rng, EMOJI)}"
    if rng.random() < 0.12:
        text = f"{text} #{pick(rng, lexicon.hashtags)}"
    return text


def _folded(text: str) -> str:
    """Letters and digits only, without case and marks: what two texts share that a normaliser could make one."""
    return "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if char.isalnum())


def _texts(value: object, where: str) -> tuple[str, ...]:
    """A list of the file as a tuple, refused unless it is clean text: none empty, none twice, NFC, single spaces."""
    if not isinstance(value, list) or not value:
        raise UserError(f"{where}: expected a list of texts, found {value!r}")
    for entry in value:
        if not isinstance(entry, str):
            raise UserError(f"{where}: expected a text, found {entry!r}; put it in quotes")
        if not entry or entry != " ".join(entry.split()):
            raise UserError(f"{where}: {entry!r} is empty or has a space too many; expected words and single spaces")
        if not unicodedata.is_normalized("NFC", entry):
            raise UserError(f"{where}: {entry!r} is not in Unicode form NFC; save the file in that form")
        if value.count(entry) > 1:
            raise UserError(f"{where}: {entry!r} is there {value.count(entry)} times; keep one")
    return tuple(value)


def _check_slots(path: Path, patterns: Mapping[str, tuple[str, ...]], slots: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a stray brace, a slot that is not defined or never used, and slots that name themselves."""
    mentioned: set[str] = set()
    entries = {**patterns, **{f"slots.{name}": texts for name, texts in slots.items()}}
    for where, texts in entries.items():
        for text in texts:
            if set("{}") & set(_SLOT.sub("", text)):
                raise UserError(f"{path}: {where}: {text!r} has a stray brace; a slot is {{name}}, of a-z and _")
            for name in _SLOT.findall(text):
                mentioned.add(name)
                if name not in slots:
                    raise UserError(f"{path}: {where}: {text!r} names the slot {name!r}, which is not under `slots:`")
    unused = sorted(set(slots) - mentioned)
    if unused:
        raise UserError(f"{path}: slots.{unused[0]}: no pattern names this slot; remove it or use it")
    for name in slots:
        if name in _reached(name, slots):
            raise UserError(f"{path}: slots.{name}: the slot names itself, directly or by another; it would never end")


def _reached(start: str, slots: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The slots that filling `start` can come to."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for name in _SLOT.findall(" ".join(slots[waiting.pop()])):
            if name not in reached:
                reached.add(name)
                waiting.append(name)
    return reached
