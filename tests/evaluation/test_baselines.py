"""The baselines of both kinds of task, on rows made by hand."""

import json
from pathlib import Path

import pytest

from distil.evaluation.baselines import majority, tfidf
from distil.tasks.data import Task, read_task

TAGS = ["O", "B-PER", "B-LOC", "I-LOC"]


def make_task(folder: Path, kind: str, labels: list[str], splits: dict[str, list[dict]]) -> Task:
    manifest = {"task": "toy", "kind": kind, "labels": labels,
                "languages": {"kin": {split: {"rows": len(rows)} for split, rows in splits.items()}}}  # fmt: skip
    (folder / "kin").mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for split, rows in splits.items():
        (folder / "kin" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_task(folder)


@pytest.fixture
def tagged(tmp_path: Path) -> Task:
    train = [
        {"tokens": ["Ana", "lives", "in", "Huye"], "tags": ["B-PER", "O", "O", "B-LOC"]},
        {"tokens": ["in", "Huye", "Ana", "sings"], "tags": ["O", "B-LOC", "B-PER", "O"]},
        {"tokens": ["Huye", "sings"], "tags": ["B-PER", "O"]},
    ] * 4
    test = [{"tokens": ["Ana", "in", "Huye"], "tags": ["B-PER", "O", "B-LOC"]},
            {"tokens": ["in", "Kpo"], "tags": ["O", "B-LOC"]}]  # fmt: skip
    return make_task(tmp_path / "toy", "token_classification", TAGS, {"train": train, "test": test})


def test_the_majority_of_texts_is_the_most_frequent_label(tmp_path: Path) -> None:
    rows = [{"text": f"text {at}", "label": label} for at, label in enumerate(["b", "a", "b", "c"])]
    task = make_task(tmp_path / "toy", "text_classification", ["a", "b", "c"], {"train": rows, "test": rows[:3]})
    found = majority(task, "kin")
    assert found.predicted[0].tolist() == [1, 1, 1]


def test_the_majority_of_tokens_is_each_words_most_frequent_tag(tagged: Task) -> None:
    # Huye is B-LOC twice and B-PER once; Kpo is unknown and gets the most frequent tag of all
    assert majority(tagged, "kin").predicted[0] == [["B-PER", "O", "B-LOC"], ["O", "O"]]


def test_the_linear_model_sees_what_stands_before_a_token(tmp_path: Path) -> None:
    words = [f"{first}{last}" for first in "bdgk" for last in ("ama", "oro", "iki")]
    train = [{"tokens": ["we", verb, word], "tags": ["O", "O", tag]}
             for word in words for verb, tag in (("visit", "B-LOC"), ("eat", "O"))]  # fmt: skip
    test = [{"tokens": ["we", verb, "mufu"], "tags": ["O", "O", "O"]} for verb in ("visit", "eat")]
    task = make_task(tmp_path / "toy", "token_classification", TAGS, {"train": train, "test": test})
    assert tfidf(task, "kin").predicted[0] == [["O", "O", "B-LOC"], ["O", "O", "O"]]


def test_the_linear_model_learns_words_of_texts(tmp_path: Path) -> None:
    train = [{"text": f"good day {at}", "label": "a"} for at in range(9)] + [
        {"text": f"bad night {at}", "label": "b"} for at in range(9)
    ]
    test = [{"text": "good", "label": "a"}, {"text": "night", "label": "b"}]
    task = make_task(tmp_path / "toy", "text_classification", ["a", "b"], {"train": train, "test": test})
    found = tfidf(task, "kin")
    assert found.predicted[0].tolist() == [0, 1] == found.gold.tolist()


@pytest.mark.parametrize("method", [majority, tfidf])
def test_one_label_in_train_is_all_there_is_to_say(tmp_path: Path, method) -> None:
    rows = [{"tokens": ["a", "b"], "tags": ["O", "O"]}]
    task = make_task(tmp_path / "toy", "token_classification", TAGS, {"train": rows, "test": rows})
    assert method(task, "kin").predicted[0] == [["O", "O"]]
