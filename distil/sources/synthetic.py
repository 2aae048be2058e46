"""The project's own synthetic sentences: an offline corpus and a sentiment task for a fresh clone.

A lexicon (distil/lexicons/LANG.yaml) holds patterns and slots. A pattern is a sentence with slots in braces; a slot is
a list of words, phrases or clauses, which may name slots themselves. Every mention of a slot draws anew, and not what
the same sentence has drawn from it before. The label of a sentence follows from the list its pattern stands in:

    facts              neutral; also the bulk of the corpus
    asked              neutral, though the words are not: questions, hearsay, conditions
    praise, complaint  positive, negative: what the words say
    praise_turned,     positive, negative: the opposite clause is negated, or comes first and is overruled by the
    complaint_turned   last one, so that counting words is not enough
    mixed              praise and complaint on equal terms, for a few rows of either label

Every language has the same number of rows, of each label and of each list. Scores tell whether the pipeline works;
they say nothing about a language.
"""

import random
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from distil.core.errors import UserError
from distil.core.languages import LANGUAGES

CORPUS_SENTENCES = 6000
FACTS_SHARE = 0.6  # of the corpus; the rest are sentences of the labelled sort
ROWS = {
    "train": {"positive": 216, "neutral": 204, "negative": 180},
    "dev": {"positive": 54, "neutral": 51, "negative": 45},
    "test": {"positive": 108, "neutral": 102, "negative": 90},
}
TURNED_SHARE = 0.5  # of each label
MIXED_SHARE = 0.02  # of positive and negative
PLAIN = {"positive": "praise", "neutral": "facts", "negative": "complaint"}
TURNED = {"positive": "praise_turned", "neutral": "asked", "negative": "complaint_turned"}
LISTS = ("facts", "asked", "praise", "praise_turned", "complaint", "complaint_turned", "mixed")
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
    return Lexicon(language, path, patterns, slots, _texts(value["hashtags"], f"{path}: hashtags"))


def corpus_sentences(lexicon: Lexicon) -> list[str]:
    """`CORPUS_SENTENCES` distinct sentences without labels, the same ones in the same order on every call.

    Raises:
        UserError: the patterns give too few distinct ones.
    """
    rng = random.Random(f"{lexicon.language}-corpus")
    draws = Draws(lexicon, rng)
    sentences = []
    for _ in range(CORPUS_SENTENCES):
        if rng.random() < FACTS_SHARE:
            sentences.append(draws.take("facts"))
        else:
            sentences.append(_tweet(draws.take(pick(rng, LISTS[1:])), lexicon, rng))
    return sentences


def labelled_rows(lexicon: Lexicon) -> dict[str, list[tuple[str, str]]]:
    """(text, label) of "train", "dev" and "test" in the numbers of `ROWS`, shuffled, the same ones on every call.

    No two texts are alike, even where case, marks, punctuation, accounts, emoji and hashtags are ignored.

    Raises:
        UserError: the patterns give too few distinct ones.
    """
    rng = random.Random(f"{lexicon.language}-labelled")
    draws = Draws(lexicon, rng)
    splits = {}
    for split, counts in ROWS.items():
        rows = []
        for label, count in counts.items():
            for name in _lists(label, count):
                rows.append((_tweet(draws.take(name), lexicon, rng), label))
        splits[split] = sorted(rows, key=lambda row: rng.random())
    return splits


def _lists(label: str, count: int) -> list[str]:
    """From which list each of `count` rows of a label comes."""
    mixed = 0 if label == "neutral" else round(MIXED_SHARE * count)
    turned = round(TURNED_SHARE * count)
    return ["mixed"] * mixed + [TURNED[label]] * turned + [PLAIN[label]] * (count - mixed - turned)


class Draws:
    """Sentences of a lexicon, none twice."""

    def __init__(self, lexicon: Lexicon, rng: random.Random) -> None:
        self._lexicon, self._rng = lexicon, rng
        self._seen: set[str] = set()

    def take(self, name: str) -> str:
        """A sentence from a pattern of the list `name` that was not taken before."""
        for _ in range(_TRIES):
            pattern = pick(self._rng, self._lexicon.patterns[name])
            sentence = _capitalised(_filled(pattern, self._lexicon.slots, self._rng, {}))
            key = _folded(sentence)
            if key not in self._seen:
                self._seen.add(key)
                return sentence
        raise UserError(
            f"{self._lexicon.source}: {name}: too few distinct sentences, {_TRIES} draws in a row gave none that was "
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


def _tweet(text: str, lexicon: Lexicon, rng: random.Random) -> str:
    """`text` with now and then an account before it, an emoji or a hashtag behind it."""
    if rng.random() < 0.12:
        text = f"@user {text}"
    if rng.random() < 0.12:
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
