"""Entity tags of any usual scheme -> IOB2, the scheme that is stored, decoded and scored. Pure.

A tag is `O`, or the type of an entity with a letter before it (`B-PER`) or behind it (`PER-B`); `_` counts as `-`.

| letter | the token is | schemes |
|---|---|---|
| B | the first of an entity | IOB2, BIOES, BILOU, BMEWO, BMES; IOB1 only after an entity of the same type |
| I, M | inside an entity (M: BMEWO, BMES) | also the first or the last one in IOB1, IOE1 and IOE2 |
| E, L | the last of an entity (L: BILOU) | IOE2, BIOES, BMEWO, BMES; IOE1 only before an entity of the same type |
| S, U, W | an entity of one token (U: BILOU, W: BMEWO) | BIOES, BMES |

One rule finds the entities of all of them: an entity begins at B, S, U and W, after E, L, S, U and W, after `O`, and
where the type changes. On tags that are valid in their scheme these are the entities of seqeval's strict mode for that
scheme, on all others those of its default mode (conlleval's). So tags that are valid in two schemes, such as those
with `I-` only (IOB1, IOE1), have the same entities in both, and the name of a scheme is for the reader: it is the
one that the fewest entities break, the first in `SCHEMES` if several are equal.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from distil.tasks.tag_decoding import OUTSIDE

# Scheme -> letters of a first, an inner, a last and an only token. IOB1 and IOE1 depend on the neighbours as well.
SCHEMES = {
    "IOB2": "BIIB", "IOB1": "IIII", "BIOES": "BIES", "BILOU": "BILU", "BMEWO": "BMEW", "BMES": "BMES",
    "IOE2": "IIEE", "IOE1": "IIII",
}  # fmt: skip
_BEGIN, _END = "BSUW", "ELSUW"
_LETTER_FIRST = re.compile(r"([BIMELSUW])[-_](.+)", re.DOTALL)
_LETTER_LAST = re.compile(r"(.+)[-_]([BIMELSUW])", re.DOTALL)


class Tag(NamedTuple):
    """A tag in its two parts; ("O", "") outside of entities."""

    letter: str
    type: str


class Span(NamedTuple):
    """An entity: its type, its first token and the token after its last."""

    type: str
    start: int
    stop: int


class DetectedScheme(NamedTuple):
    """The scheme of a task's tags."""

    scheme: str  # a key of SCHEMES
    suffix: bool  # `PER-B` rather than `B-PER`
    entities: int
    irregular: int  # entities whose tags are not those of the scheme


def split_tag(tag: str, suffix: bool = False) -> Tag | None:
    """A tag in its parts; None if it is no entity tag."""
    if tag == OUTSIDE:
        return Tag(OUTSIDE, "")
    if suffix:
        return Tag(found[2], found[1]) if (found := _LETTER_LAST.fullmatch(tag)) else None
    return Tag(found[1], found[2]) if (found := _LETTER_FIRST.fullmatch(tag)) else None


def entity_types(labels: Sequence[str]) -> list[str]:
    """The types of a list of labels in its order; none if a label is no entity tag, such as a part of speech."""
    return list(dict.fromkeys(tag.type for tag in _split_all(labels) if tag.type))


def _split_all(labels: Sequence[str]) -> list[Tag]:
    """All labels in their parts; none if one of them has not the form of the others."""
    for suffix in (False, True):
        tags = [split_tag(label, suffix) for label in labels]
        if None not in tags:
            return [tag for tag in tags if tag]
    return []


def letter_is_last(tags: Iterable[str], types: Iterable[str]) -> bool:
    """Whether more tags have the form `PER-B` than the form `B-PER`; tags of other types do not count."""
    known, counts = frozenset(types), Counter(tags)

    def fitting(suffix: bool) -> int:
        return sum(n for tag, n in counts.items() if (parts := split_tag(tag, suffix)) and parts.type in known)

    return fitting(True) > fitting(False)


def spans(tags: Sequence[Tag]) -> list[Span]:
    """The entities of a sentence, by the rule above."""
    found: list[Span] = []
    before = Tag(OUTSIDE, "")
    for at, tag in enumerate(tags):
        if tag.letter != OUTSIDE:
            if tag.type != before.type or tag.letter in _BEGIN or before.letter in _END:
                found.append(Span(tag.type, at, at + 1))
            else:
                found[-1] = found[-1]._replace(stop=at + 1)
        before = tag
    return found


def encode_tags(found: Sequence[Span], scheme: str) -> list[str]:
    """The letters that each entity of a sentence has in a scheme, such as "BII" for one of three tokens in IOB2."""
    first, inner, last, only = tuple(SCHEMES[scheme])
    letters = []
    for at, span in enumerate(found):
        size = span.stop - span.start
        word = only if size == 1 else first + inner * (size - 2) + last
        if scheme == "IOB1" and at and _touch(found[at - 1], span):
            word = "B" + word[1:]
        if scheme == "IOE1" and at + 1 < len(found) and _touch(span, found[at + 1]):
            word = word[:-1] + "E"
        letters.append(word)
    return letters


def _touch(left: Span, right: Span) -> bool:
    return left.type == right.type and left.stop == right.start


def detect(sentences: Iterable[Sequence[Tag]], suffix: bool) -> DetectedScheme:
    """The scheme that the fewest entities break.

    Args:
        sentences: of all splits and languages together: a small file alone may be valid in several schemes.
        suffix: for the result.
    """
    irregular = dict.fromkeys(SCHEMES, 0)
    entities = 0
    for tags in sentences:
        found = spans(tags)
        entities += len(found)
        words = ["".join(tag.letter for tag in tags[span.start : span.stop]) for span in found]
        for scheme in SCHEMES:
            irregular[scheme] += sum(
                word != right for word, right in zip(words, encode_tags(found, scheme), strict=True)
            )
    best = min(SCHEMES, key=irregular.__getitem__)
    return DetectedScheme(best, suffix, entities, irregular[best])


def to_iob2(tags: Sequence[Tag]) -> list[str]:
    """The same entities in IOB2."""
    found = [OUTSIDE] * len(tags)
    for type_, start, stop in spans(tags):
        found[start:stop] = [f"B-{type_}", *[f"I-{type_}"] * (stop - start - 1)]
    return found


def labels_in_iob2(labels: Sequence[str]) -> list[str]:
    """A list of entity tags in any scheme as the tags that the same entities have in IOB2.

    A list that has only B- and I- tags, and a B- for each type, keeps its order and may lack the I- of a type whose
    entities are all of one token. In any other, each type becomes B- and I- where it is named first.
    """
    tags = _split_all(labels)
    begun = {tag.type for tag in tags if tag.letter == "B"}
    if all(tag.letter in "OBI" and (tag.type in begun or tag.letter == OUTSIDE) for tag in tags):
        return [OUTSIDE if tag.letter == OUTSIDE else f"{tag.letter}-{tag.type}" for tag in tags]
    names = [[OUTSIDE] if tag.letter == OUTSIDE else [f"B-{tag.type}", f"I-{tag.type}"] for tag in tags]
    return list(dict.fromkeys(name for pair in names for name in pair))
