"""What the report says of the labelled data itself."""

from typing import Any

from distil.report.inputs.tasks import TaskData
from distil.report.notices.labelled_data import Notice, data_notices

LABELS = ["positive", "neutral", "negative"]
CODES = ["kin", "swa"]


def data(changes: dict[str, dict[str, Any]] | None = None, **more: Any) -> TaskData:
    """Two languages with nothing wrong but `changes`, by "kin/train"."""
    fine = {"rows_read": 9, "rows": 9, "dropped": {}, "unknown_labels": {}, "classes": dict.fromkeys(LABELS, 3),
            "conflicts": {"texts": 0, "rows": 0}}  # fmt: skip
    languages = {
        code: {split: fine | (changes or {}).get(f"{code}/{split}", {}) for split in ("train", "dev", "test")}
        | {"overlap": {}}
        for code in CODES
    }
    whole = {"kind": "text_classification", "labels": LABELS, "source": "files", "synthetic": False,
             "normalised": False, "tag_scheme": None, "same_rows": [], "languages": languages}  # fmt: skip
    return TaskData.model_validate(whole | more)


def notices(task: TaskData, languages: list[str] = CODES) -> list[Notice]:
    return data_notices("mood", task, languages)


def test_nothing_is_said_of_data_with_nothing_wrong() -> None:
    assert notices(data()) == []
    scheme = {"scheme": "IOB2", "suffix": False, "entities": 100, "irregular": 0}
    assert notices(data(tag_scheme=scheme, labels=["O", "B-positive", "B-neutral", "B-negative"])) == []


def test_labels_that_are_not_listed_are_a_warning_with_rows_places_and_a_hint() -> None:
    task = data(
        {"kin/test": {"unknown_labels": {"Neutral": 40}}, "swa/dev": {"unknown_labels": {"Neutral": 2, "x": 1}}}
    )
    assert notices(task) == [
        Notice("warning", "Rows of mood were left out because params.yaml does not list their labels: 'Neutral' 42 "
               "rows (`labels:` has 'neutral'), 'x' 1 row; in Kinyarwanda test, Swahili dev.")
    ]  # fmt: skip
    assert notices(task, ["swa"])[0].text.endswith(
        "'Neutral' 2 rows (`labels:` has 'neutral'), 'x' 1 row; in Swahili dev."
    )


def test_a_class_that_a_split_lacks_is_a_warning_in_the_order_of_the_labels() -> None:
    task = data({
        "kin/test": {"classes": {"negative": 0, "neutral": 0, "positive": 9}},
        **{f"swa/{split}": {"classes": {"positive": 3, "negative": 3}} for split in ("train", "dev", "test")},
    })  # fmt: skip
    assert notices(task) == [
        Notice("warning", "Scores on mood do not cover every label: Kinyarwanda test has no neutral, but train has; "
               "Kinyarwanda test has no negative, but train has; no split of Swahili has neutral.")
    ]  # fmt: skip


def test_many_cases_are_cut_and_counted() -> None:
    nothing = {"classes": {}}
    task = data({f"{code}/{split}": nothing for code in CODES for split in ("dev", "test")})
    (notice,) = notices(task)
    assert notice.text.count("has no") == 6 and notice.text.endswith(
        "Kinyarwanda test has no negative, but train has; 6 more."
    )


def test_the_same_rows_in_two_files_are_a_warning() -> None:
    task = data(same_rows=[["kin/train", "swa/train"], ["kin/dev", "kin/test"]])
    assert [notice.text for notice in notices(task)] == [
        "On mood the same rows are in kin/train and swa/train: is a file there twice?",
        "On mood the same rows are in kin/dev and kin/test: is a file there twice?",
    ]
    assert notices(task, ["swa"]) == []


def test_texts_with_several_labels_are_a_note_with_counts() -> None:
    task = data(
        {"kin/train": {"conflicts": {"texts": 9, "rows": 1018}}, "swa/dev": {"conflicts": {"texts": 1, "rows": 2}}}
    )
    assert notices(task) == [
        Notice("note", "10 texts of mood, in 1,020 rows, have several labels each: Kinyarwanda train 1,018 rows, "
               "Swahili dev 2 rows.")
    ]  # fmt: skip


def test_another_scheme_than_iob2_is_a_note() -> None:
    classes = {f"{code}/{split}": {"classes": {"PER": 3}} for code in CODES for split in ("train", "dev", "test")}
    labels = ["O", "B-PER", "I-PER"]
    scheme = {"scheme": "BIOES", "suffix": True, "entities": 27_313, "irregular": 4}
    assert notices(data(classes, labels=labels, tag_scheme=scheme)) == [
        Notice("note", "The tags of mood came in BIOES, with the letter last and are learned, predicted and scored in "
               "IOB2. 4 of 27,313 entities were not tagged as BIOES has it; they were read as conlleval reads them.")
    ]  # fmt: skip
    scheme = {"scheme": "IOB1", "suffix": False, "entities": 9, "irregular": 0}
    assert notices(data(classes, labels=labels, tag_scheme=scheme)) == [
        Notice("note", "The tags of mood came in IOB1 and are learned, predicted and scored in IOB2.")
    ]


def test_lost_marks_are_called_a_loss_of_orthography() -> None:
    (notice,) = notices(data(marks="drop"))
    assert (
        notice.kind == "note" and "The texts of mood are read without combining marks, a loss of ortho" in notice.text
    )


def test_how_texts_are_read_is_told_in_words() -> None:
    assert data().read_as == "as they came" and data(normalised=True).read_as == "normalised"
    assert data(marks="drop", script="latin").read_as == "in Latin letters, without marks"
