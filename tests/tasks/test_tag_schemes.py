"""Every scheme of entity tags, by hand and against seqeval's strict mode: a perfect tagger scores 1.0 in each."""

import random

import pytest
import seqeval.scheme
from seqeval.metrics import f1_score

from distil.evaluation.metrics import entities, entity_counts, entity_scores
from distil.tasks.tag_schemes import (
    SCHEMES,
    DetectedScheme,
    Span,
    Tag,
    detect,
    encode_tags,
    entity_types,
    labels_in_iob2,
    letter_is_last,
    spans,
    split_tag,
    to_iob2,
)

# Two tokens, directly before one of the same type, before one of another type; then one of three tokens.
ENTITIES = [Span("PER", 0, 2), Span("PER", 2, 3), Span("LOC", 3, 4), Span("PER", 5, 8)]
LETTERS = {
    "IOB2": "BIBBOBII", "IOB1": "IIBIOIII", "BIOES": "BESSOBIE", "BILOU": "BLUUOBIL", "BMEWO": "BEWWOBME",
    "BMES": "BESSOBME", "IOE2": "IEEEOIIE", "IOE1": "IEIIOIII",
}  # fmt: skip
TYPES = ["PER", "PER", "PER", "LOC", "", "PER", "PER", "PER"]
IOB2 = ["B-PER", "I-PER", "B-PER", "B-LOC", "O", "B-PER", "I-PER", "I-PER"]
STRICT = {name: getattr(seqeval.scheme, name) for name in ("IOB1", "IOB2", "IOE2", "BILOU")}
STRICT |= {"BIOES": seqeval.scheme.IOBES}


def tags_of(scheme: str, suffix: bool = False) -> list[str]:
    """The sentence of LETTERS, written by hand above."""
    pairs = zip(LETTERS[scheme], TYPES, strict=True)
    return ["O" if letter == "O" else f"{kind}-{letter}" if suffix else f"{letter}-{kind}" for letter, kind in pairs]


def parsed(tags: list[str], suffix: bool = False) -> list[Tag]:
    found = [split_tag(tag, suffix) for tag in tags]
    assert None not in found
    return [tag for tag in found if tag]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("suffix", [False, True])
def test_the_entities_of_a_scheme_are_found_named_and_written_as_iob2(scheme: str, suffix: bool) -> None:
    tags = parsed(tags_of(scheme, suffix), suffix)
    assert spans(tags) == ENTITIES
    assert detect([tags], suffix) == DetectedScheme(scheme, suffix, entities=4, irregular=0)
    assert to_iob2(tags) == IOB2
    assert "".join(encode_tags(ENTITIES, scheme)) == LETTERS[scheme].replace("O", "")


def random_entities(rng: random.Random) -> tuple[int, list[Span]]:
    tokens, found, at = rng.randint(1, 12), [], 0
    while at < tokens:
        stop = min(tokens, at + rng.choice([1, 1, 2, 3, 4]))
        if rng.random() < 0.6:
            found.append(Span(rng.choice(["PER", "LOC-X"]), at, stop))
        at = stop
    return tokens, found


def written(tokens: int, found: list[Span], scheme: str, suffix: bool) -> list[str]:
    tags = ["O"] * tokens
    for letters, span in zip(encode_tags(found, scheme), found, strict=True):
        tags[span.start : span.stop] = [f"{span.type}-{x}" if suffix else f"{x}-{span.type}" for x in letters]
    return tags


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("suffix", [False, True])
def test_a_perfect_tagger_scores_one_whatever_the_scheme(scheme: str, suffix: bool) -> None:
    rng = random.Random(scheme)
    made = [random_entities(rng) for _ in range(300)]
    files = [written(tokens, found, scheme, suffix) for tokens, found in made]
    gold = [to_iob2(parsed(tags, suffix)) for tags in files]
    expected = [[tuple(span) for span in found] for _, found in made]
    assert [sorted(entities(tags), key=lambda span: span[1]) for tags in gold] == expected
    if scheme in STRICT:
        strict = seqeval.scheme.Entities(files, STRICT[scheme], suffix).entities
        assert [[(each.tag, each.start, each.end) for each in row] for row in strict] == expected
    counts = entity_counts(gold, gold, ["PER", "LOC-X"])
    assert entity_scores(counts.sum(axis=(0, 1))).f1 == 1.0
    assert f1_score(gold, gold, mode="strict", scheme=seqeval.scheme.IOB2) == 1.0


def test_tags_that_break_the_scheme_are_counted_and_taken_as_conlleval_takes_them() -> None:
    # The second sentence begins with I-, the third has another type inside.
    sentences = [["B-PER", "I-PER", "O"], ["I-LOC", "I-LOC", "O"], ["B-PER", "I-LOC", "O"]]
    tags = [parsed(tags) for tags in sentences]
    assert detect(tags, False) == DetectedScheme("IOB2", False, entities=4, irregular=2)
    converted = [to_iob2(each) for each in tags]
    assert converted == [["B-PER", "I-PER", "O"], ["B-LOC", "I-LOC", "O"], ["B-PER", "B-LOC", "O"]]
    # seqeval's default mode finds the same entities before and after: 1.0
    assert f1_score(sentences, converted) == 1.0
    # BIOES without an end, and with an end that nothing begins
    assert to_iob2(parsed(["B-PER", "I-PER", "O", "E-PER"])) == ["B-PER", "I-PER", "O", "B-PER"]


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["O", "O"], "IOB2"),  # no entity: valid in all
        (["I-PER", "O", "I-LOC"], "IOB1"),  # valid in IOB1 and IOE1
        (["B-PER", "O", "B-LOC"], "IOB2"),  # valid in IOB2 only, for no entity follows one of its type
        (["S-PER", "O"], "BIOES"),  # valid in BIOES and BMES
        (["B-PER", "E-PER"], "BIOES"),  # valid in BIOES, BMES and BMEWO
    ],
)
def test_of_schemes_in_which_all_tags_are_valid_the_first_is_named(tags: list[str], scheme: str) -> None:
    assert detect([parsed(tags)], False)[0] == scheme


def test_one_file_in_iob1_and_one_in_bioes_still_give_the_right_entities() -> None:
    files = [parsed(tags_of("IOB1")), parsed(tags_of("BIOES"))]
    assert detect(files, False).irregular > 0
    assert [to_iob2(tags) for tags in files] == [IOB2, IOB2]


def test_the_form_with_the_letter_last_is_told_by_the_types() -> None:
    assert letter_is_last(["PER-B", "PER-I", "O"], ["PER"])
    assert not letter_is_last(["B-PER", "O", "X-B", "X-I"], ["PER"])  # X is no type of the task
    assert not letter_is_last(["O"], ["PER"])
    assert split_tag("B_PER") == Tag("B", "PER") and split_tag("B-PER-X") == Tag("B", "PER-X")
    assert split_tag("PER-B") is None and split_tag("PER-X-B", suffix=True) == Tag("B", "PER-X")
    assert split_tag("NOUN") is None and split_tag("B-") is None and split_tag("o") is None


@pytest.mark.parametrize(
    ("labels", "converted"),
    [
        (["O", "B-PER", "I-PER", "B-DATE"], ["O", "B-PER", "I-PER", "B-DATE"]),
        (["I-PER", "B-PER", "O"], ["I-PER", "B-PER", "O"]),
        (["PER-B", "PER-I", "O"], ["B-PER", "I-PER", "O"]),
        (["O", "I-PER", "I-LOC"], ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]),
        (["O", "I-PER", "B-PER", "I-LOC"], ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]),
        (["O", "S-LOC", "B-PER", "I-PER", "E-PER"], ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]),
    ],
)
def test_labels_of_any_scheme_become_those_of_iob2_in_their_order(labels: list[str], converted: list[str]) -> None:
    assert labels_in_iob2(labels) == converted


def test_parts_of_speech_are_no_entity_tags() -> None:
    assert entity_types(["NOUN", "VERB", "O"]) == []
    assert entity_types(["O", "B-PER", "NOUN"]) == []
    assert entity_types(["O", "B-PER", "E-LOC"]) == ["PER", "LOC"] == entity_types(["PER-B", "O", "LOC-I"])
