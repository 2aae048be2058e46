"""Reasons, labels and hints."""

from collections import Counter

import pytest

from distil.tasks.account import RowAccount, hint, label_text, unknown_labels


@pytest.mark.parametrize(
    ("label", "text"),
    [("1", "1"), (1, "1"), (1.0, "1"), (1.5, "a number, 1.5"), ("", None), (None, None), (float("nan"), None),
     (["a"], "a list, ['a']")],
)  # fmt: skip
def test_a_label_is_text_or_the_digits_of_a_whole_number(label: object, text: str | None) -> None:
    assert label_text(label) == text


@pytest.mark.parametrize(
    ("label", "known"),
    [("Neutral", "neutral"), (" neutral", "neutral"), ("NEUTRAL\u00a0", "neutral"), ("ne utral", "neutral"),
     ("ｎeutral", "neutral"), ("neutra", None), ("", None)],
)  # fmt: skip
def test_a_label_that_differs_in_case_or_white_space_only_is_hinted_at(label: str, known: str | None) -> None:
    assert hint(label, ["positive", "neutral"]) == known


def test_unknown_labels_are_named_with_rows_the_most_frequent_first() -> None:
    unknown = Counter({"x": 1, "Neutral": 40}) | Counter({f"label{number}": 2 for number in range(30)})
    said = unknown_labels(unknown, ["neutral"])
    assert said.startswith("'Neutral' 40 rows (`labels:` has 'neutral'), 'label0' 2 rows, ")
    assert said.endswith("'label18' 2 rows and 12 more") and "'x'" not in said


def test_a_row_counts_once_for_each_label_that_it_has_and_labels_are_cut() -> None:
    account = RowAccount()
    account.drop_unknown(["X", "X", "Y" * 1000])
    account.drop_unknown(["X"])
    assert account.unknown == {"X": 2, "Y" * 40: 1} and account.dropped == {"unknown_label": 2}


def test_reasons_show_what_was_found_first() -> None:
    account = RowAccount()
    account.drop("no_text", "a list, ['a']")
    account.drop("no_text", "nothing")
    account.drop("empty")
    assert account.reasons() == "empty 1, no_text 2 (a list, ['a'])"
    assert RowAccount().reasons() == "none"
