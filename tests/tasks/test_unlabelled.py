"""Text without labels: in the task's own form, without evaluation texts, every line accounted for."""

import re
from pathlib import Path
from typing import Any

import pytest

from distil.core.errors import UserError
from distil.sources.synthetic import read_lexicon
from distil.sources.synthetic_entities import TAGGED_ROWS, TYPES, tagged_rows
from distil.tasks.build import write_task
from distil.tasks.config import TaskConfig
from distil.tasks.data import Task, read_task
from distil.text.words import into_tokens
from tests.support import ROOT

TEXT: dict[str, Any] = {
    "source": "files", "path": "in", "verify": "", "pattern": "{lang}/{split}.tsv", "kind": "text_classification",
    "text_column": "text", "label_column": "label", "labels": ["good", "bad"], "normalise": True,
    "marks": "keep", "script": "keep", "dev_from_train": 0.0,
    "max_train_rows": 0, "max_dev_rows": 0, "max_test_rows": 0, "unlabelled_path": "more",
    "unlabelled": "tweets_{lang}.txt", "max_unlabelled_rows": 0, "unlabelled_choice": "random",
}  # fmt: skip
ROWS = {
    "train": "text\tlabel\nNi byiza cyane\tgood\n", "dev": "text\tlabel\nSi byiza na gato pe\tbad\n",
    "test": "text\tlabel\nNdabikunda\tgood\n",
}  # fmt: skip
LINES = [
    "Mwaramutse neza!", "mwaramutse NEZA", "Ni byiza cyane 😂", "Ndabikunda.", "RT: si byiza na gato pe, yego", "😂😂",
    "", "@user Imvura iragwa #Kigali",
]  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for split, text in ROWS.items():
        path = tmp_path / f"in/kin/{split}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/tweets_kin.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return tmp_path


def made(**changes: Any) -> tuple[dict[str, Any], Task]:
    manifest = write_task("tone", TaskConfig(**TEXT | changes), ["kin"], 1, Path("out"))
    return manifest["languages"]["kin"], read_task(Path("out"))


def test_every_line_is_normalised_as_the_task_is_or_counted_by_reason(root: Path) -> None:
    entry, task = made()
    assert task.unlabelled_texts("kin") == ["mwaramutse neza", "imvura iragwa"]
    assert entry["unlabelled"] == {
        "rows_read": 8, "rows": 2,
        "dropped": {"duplicate": 1, "empty": 1, "empty_after_normalising": 1, "held_out": 2, "in_train": 1},
    }  # fmt: skip


def test_so_many_rows_are_kept_as_asked_for(root: Path) -> None:
    entry, task = made(max_unlabelled_rows=1)
    assert len(task.unlabelled_texts("kin")) == entry["unlabelled"]["rows"] == 1
    assert entry["unlabelled"]["dropped"]["over_max_rows"] == 1


def test_rows_near_the_training_rows_are_kept_and_how_near_is_told(root: Path) -> None:
    news, tweets = ["leta yemeje amatora", "inteko yemeje itegeko"], [f"umva inshuti {name}" for name in "abcdef"]
    (root / "in/kin/train.tsv").write_text(
        "text\tlabel\nleta yemeje itegeko\tgood\ninteko yemeje amatora\tbad\n", "utf-8"
    )
    (root / "more/tweets_kin.txt").write_text("\n".join([*tweets, *news]) + "\n", encoding="utf-8")
    entry, task = made(max_unlabelled_rows=2, unlabelled_choice="near", normalise=False)
    assert task.unlabelled_texts("kin") == news
    assert entry["unlabelled"]["dropped"] == {"over_max_rows": 6}
    assert entry["unlabelled"]["likeness"]["all"] < entry["unlabelled"]["likeness"]["kept"]


def test_fewer_rows_than_asked_for_are_all_kept(root: Path) -> None:
    entry, task = made(max_unlabelled_rows=9, unlabelled_choice="near")
    assert len(task.unlabelled_texts("kin")) == 2 and "likeness" not in entry["unlabelled"]


def test_one_training_row_tells_nothing_of_its_kind(root: Path) -> None:
    with pytest.raises(UserError, match="kin: unlabelled: `unlabelled_choice: near` needs two training rows"):
        made(max_unlabelled_rows=1, unlabelled_choice="near")


@pytest.mark.parametrize("changes", [{"max_unlabelled_rows": 0}, {"max_unlabelled_rows": 5, "unlabelled": ""}])
def test_near_needs_rows_to_choose_from(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="near chooses among rows without labels"):
        TaskConfig(**TEXT | changes | {"unlabelled_choice": "near"})


def test_without_a_pattern_there_is_none(root: Path) -> None:
    entry, task = made(unlabelled="")
    assert "unlabelled" not in entry and task.unlabelled_texts("kin") == []
    assert not (root / "out/kin/unlabelled.jsonl").exists()


def test_a_language_without_a_file_is_told(root: Path) -> None:
    (root / "more/tweets_kin.txt").rename(root / "more/tweets_swa.txt")
    with pytest.raises(UserError, match=r"tasks.tone: unlabelled.*no file matches tweets_kin.txt below more"):
        made()


def test_a_table_gives_the_column_with_the_text(root: Path) -> None:
    (root / "more/kin.tsv").write_text("id\ttext\n1\tImvura iragwa\n", encoding="utf-8")
    assert made(unlabelled="{lang}.tsv")[1].unlabelled_texts("kin") == ["imvura iragwa"]


def test_sentences_are_cut_into_words_for_tagging(root: Path) -> None:
    for split, token in (("train", "Ati"), ("dev", "Nibyo"), ("test", "Oya")):
        (root / f"in/kin/{split}.txt").write_text(f"{token} O\n", encoding="utf-8")
    changes = {"kind": "token_classification", "pattern": "{lang}/{split}.txt", "labels": ["O", "B-PER"],
               "normalise": False}  # fmt: skip
    _, task = made(**changes)
    assert task.unlabelled_tokens("kin")[0] == ["Mwaramutse", "neza", "!"]


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        ("Ati: “Yego”, n'ejo.", ["Ati", ":", "“", "Yego", "”", ",", "n'ejo", "."]),
        ("Ilé-Ifẹ̀ (ọ̀yọ́)", ["Ilé-Ifẹ̀", "(", "ọ̀yọ́", ")"]),
        ("...", [".", ".", "."]),
        ("", []),
    ],
)
def test_punctuation_around_words_stands_alone(line: str, tokens: list[str]) -> None:
    assert into_tokens(line) == tokens


@pytest.mark.parametrize("language", ["kin", "swa", "hau", "ibo", "yor"])
def test_the_sample_has_names_of_every_type_in_valid_sequences(language: str) -> None:
    lexicon = read_lexicon(ROOT / "distil/lexicons", language)
    rows = tagged_rows(lexicon)
    assert {split: len(each) for split, each in rows.items()} == TAGGED_ROWS
    assert rows == tagged_rows(lexicon)
    tags = [tag for _, each in rows["train"] for tag in each]
    assert {tag[2:] for tag in tags if tag != "O"} == set(TYPES)
    for tokens, each in (row for split in rows.values() for row in split):
        assert len(tokens) == len(each) and all(re.fullmatch(r"[^\s\ue000-\uf8ff]+", token) for token in tokens)
        for before, tag in zip(["O", *each], each, strict=False):
            assert not tag.startswith("I-") or before[2:] == tag[2:]
    assert len({" ".join(tokens) for split in rows.values() for tokens, _ in split}) == sum(TAGGED_ROWS.values())
