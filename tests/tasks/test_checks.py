"""What is counted of labelled data as a whole, by hand."""

from distil.tasks.checks import Missing, count_classes, count_conflicts, missing_classes, same_rows
from distil.tasks.data import TextRow, TokenRow


def test_one_text_with_several_labels_is_a_conflict_whatever_its_case_and_punctuation() -> None:
    rows = [TextRow("Ndishimye cyane", "positive"), TextRow("ndishimye CYANE!!!", "neutral"),
            TextRow("Ndishimye cyane", "positive"), TextRow("Sawa", "neutral"), TextRow("sawa", "neutral")]  # fmt: skip
    assert count_conflicts(rows) == {"texts": 1, "rows": 3}
    assert count_conflicts([]) == {"texts": 0, "rows": 0}


def test_one_sentence_with_other_tags_is_a_conflict_and_with_other_tokens_is_none() -> None:
    rows = [TokenRow(["Huye", "!"], ["B-LOC", "O"]), TokenRow(["Huye", "!"], ["O", "O"]),
            TokenRow(["Huye!"], ["O"]), TokenRow(["Huye!"], ["O"])]  # fmt: skip
    assert count_conflicts(rows) == {"texts": 1, "rows": 2}


def test_classes_are_labels_entities_or_tags_in_the_order_of_the_labels() -> None:
    texts = [TextRow("a", "negative"), TextRow("b", "positive"), TextRow("c", "negative")]
    labels = ["positive", "neutral", "negative"]
    assert list(count_classes(texts, labels).items()) == [("positive", 1), ("neutral", 0), ("negative", 2)]
    tagged = [TokenRow(["a", "b", "c"], ["B-PER", "I-PER", "B-PER"]), TokenRow(["d"], ["O"])]
    assert count_classes(tagged, ["O", "B-LOC", "B-PER", "I-PER"]) == {"LOC": 0, "PER": 2}
    assert count_classes([TokenRow(["a", "b"], ["NOUN", "NOUN"])], ["VERB", "NOUN"]) == {"VERB": 0, "NOUN": 2}


def test_a_class_is_missing_from_a_split_where_another_has_it() -> None:
    counts = {"train": {"a": 3, "b": 5, "c": 0}, "dev": {"a": 0, "b": 1, "c": 0}, "test": {"a": 1, "b": 0, "c": 0}}
    assert missing_classes(counts) == [
        Missing("c", "train", None), Missing("a", "dev", "train"), Missing("b", "test", "train"),
    ]  # fmt: skip


def test_the_same_rows_in_two_files_are_named() -> None:
    one, other = [TextRow("a", "x")], [TextRow("b", "x")]
    files = {"kin/train": one, "kin/dev": other, "swa/train": list(one), "swa/dev": [*other, *one]}
    assert same_rows(files) == [["kin/train", "swa/train"]]
