"""A task's rows without marks, in both spellings, and in Latin letters."""

from pathlib import Path
from typing import Any

import pytest

from distil.tasks.build import write_task
from distil.tasks.config import TaskConfig
from distil.tasks.data import Task, TextRow, TokenRow, read_task
from tests.tasks.test_build import TEXT, TOKENS

ROWS = "tweet\tlabel\nỌjọ́ dára\tpositive\nBad day\tnegative\nÓ burú\tnegative\n"
CONLL = "Adé B-PER\nwá O\n\nOla B-PER\nlo O\n\n"


def built(root: Path, block: dict[str, Any], content: str, unlabelled: str = "") -> tuple[dict[str, Any], Task]:
    """The same content in every split."""
    for split in ("train", "dev", "test"):
        path = root / "in" / block["pattern"].replace("{lang}", "yor").replace("{split}", split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    if unlabelled:
        (root / "in/more.yor.txt").write_text(unlabelled, encoding="utf-8")
        block = block | {"unlabelled": "more.{lang}.txt"}
    manifest = write_task("mine", TaskConfig(**block), ["yor"], 1, root / "out")
    return manifest, read_task(root / "out")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_marks_every_split_and_unlabelled_text_loses_them(root: Path) -> None:
    manifest, task = built(root, TEXT | {"marks": "drop"}, ROWS, "Ẹ kú àárọ̀ o\nE ku aaro o\n")
    bare = [TextRow("Ojo dara", "positive"), TextRow("Bad day", "negative"), TextRow("O buru", "negative")]
    assert [task.rows("yor", split) for split in ("train", "dev", "test")] == [bare] * 3
    assert task.unlabelled_texts("yor") == ["E ku aaro o"]
    assert (manifest["marks"], task.view) == ("drop", {"normalised": False, "marks": "drop"})
    assert "second_views" not in manifest["languages"]["yor"]["train"]


def test_kept_marks_and_script_leave_no_trace_in_a_manifest(root: Path) -> None:
    manifest, task = built(root, TEXT, ROWS)
    assert task.rows("yor", "train")[0] == TextRow("Ọjọ́ dára", "positive")
    assert not {"marks", "script"} & set(manifest) and task.view == {"normalised": False}
    assert task.row_numbers("yor") == [0, 1, 2]


def test_both_gives_training_rows_with_marks_a_second_row_and_leaves_dev_and_test(root: Path) -> None:
    manifest, task = built(root, TEXT | {"marks": "both"}, ROWS)
    texts = ["Ọjọ́ dára", "Ojo dara", "Bad day", "Ó burú", "O buru"]
    assert task.texts("yor", "train") == texts and task.row_numbers("yor") == [0, 0, 1, 2, 2]
    assert [row.label for row in task.text_rows("yor", "train")] == [
        "positive", "positive", "negative", "negative", "negative",
    ]  # fmt: skip
    assert task.texts("yor", "dev") == task.texts("yor", "test") == [texts[0], texts[2], texts[3]]
    entry = manifest["languages"]["yor"]["train"]
    assert (entry["rows_read"], entry["rows"], entry["second_views"]) == (3, 5, 2)
    assert entry["classes"] == {"positive": 1, "neutral": 0, "negative": 2}  # of labelled rows
    assert task.view == {"normalised": False}  # at serving a text stays as it is


def test_words_keep_their_tags_in_both_views(root: Path) -> None:
    _, task = built(root, TOKENS | {"marks": "both"}, CONLL)
    assert task.rows("yor", "train") == [
        TokenRow(["Adé", "wá"], ["B-PER", "O"]), TokenRow(["Ade", "wa"], ["B-PER", "O"]),
        TokenRow(["Ola", "lo"], ["B-PER", "O"]),
    ]  # fmt: skip
    _, task = built(root, TOKENS | {"marks": "drop"}, CONLL, "Bọ́lá, wá\n")
    assert task.rows("yor", "test")[0] == TokenRow(["Ade", "wa"], ["B-PER", "O"])
    assert task.unlabelled_tokens("yor") == [["Bola", ",", "wa"]]


def test_a_text_of_marks_alone_is_counted_or_has_no_second_view(root: Path) -> None:
    rows = ROWS + "\u0301\tpositive\n"
    manifest, _ = built(root, TEXT | {"marks": "drop"}, rows)
    assert manifest["languages"]["yor"]["train"]["dropped"] == {"empty_after_normalising": 1}
    manifest, task = built(root, TEXT | {"marks": "both"}, rows)
    assert manifest["languages"]["yor"]["train"]["second_views"] == 2 and task.row_numbers("yor") == [0, 0, 1, 2, 2, 3]


def test_texts_and_words_of_another_script_are_read_in_latin_letters(root: Path) -> None:
    manifest, task = built(root, TEXT | {"script": "latin"}, "tweet\tlabel\nሰላም ነው! Ọjọ́\tpositive\n", "እንዴት ነህ?\n")
    assert task.texts("yor", "test") == ["salaame nawe! Ọjọ́"] and task.unlabelled_texts("yor") == ["enedeete nahe?"]
    assert manifest["script"] == "latin" and task.view == {"normalised": False, "script": "latin"}
    _, task = built(root, TOKENS | {"script": "latin"}, "ሰላም B-PER\nነው O\n\n")
    assert task.rows("yor", "train") == [TokenRow(["salaame", "nawe"], ["B-PER", "O"])]
