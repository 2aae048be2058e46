"""The rows of docs/reference/input-kinds.md on labelled data, from files to data/tasks: rows, counts, messages."""

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distil.core.errors import UserError
from distil.tasks.build import write_task
from distil.tasks.config import TaskConfig
from distil.tasks.data import Task, TextRow, TokenRow, read_task

COMMON: dict[str, Any] = {
    "source": "files", "path": "in", "verify": "", "normalise": False, "marks": "keep", "script": "keep",
    "dev_from_train": 0.0, "max_train_rows": 0,
    "max_dev_rows": 0, "max_test_rows": 0, "unlabelled_path": "in", "unlabelled": "", "max_unlabelled_rows": 0,
    "unlabelled_choice": "random",
}  # fmt: skip
TEXT = COMMON | {
    "pattern": "{lang}/{split}.tsv", "kind": "text_classification", "text_column": "tweet", "label_column": "label",
    "labels": ["positive", "neutral", "negative"],
}  # fmt: skip
TOKENS = COMMON | {
    "pattern": "{lang}/{split}.txt", "kind": "token_classification", "text_column": "tokens", "label_column": "tags",
    "labels": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
}  # fmt: skip
HEAD = "tweet\tlabel\n"
THREE = HEAD + "Ndishimye cyane\tpositive\nInama iraba ejo\tneutral\nSinkunda uko bimeze\tnegative\n"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(
    block: dict[str, Any], train: str, dev: str | None, test: str, languages: tuple[str, ...] = ("kin",)
) -> tuple[dict[str, Any], Task]:
    """Files of the same content for each language -> (manifest, data/tasks/mine)."""
    for language in languages:
        for split, content in {"train": train, "dev": dev, "test": test}.items():
            path = Path("in", block["pattern"].replace("{lang}", language).replace("{split}", split))
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content.encode())
    manifest = write_task("mine", TaskConfig(**block), list(languages), 1, Path("data/tasks/mine"))
    return manifest, read_task(Path("data/tasks/mine"))


def refusal(block: dict[str, Any], content: str) -> str:
    with pytest.raises(UserError) as found:
        build(block, content, content, content)
    assert "\n" not in str(found.value) and len(str(found.value)) < 500
    return str(found.value)


# Tag schemes.

SENTENCES = {
    "IOB1": "Fatuma I-PER\nOkello I-PER\nAmina B-PER\nyagiye O\nKigali I-LOC\n\nHuye I-LOC\n",
    "IOE2": "Fatuma I-PER\nOkello E-PER\nAmina E-PER\nyagiye O\nKigali E-LOC\n\nHuye E-LOC\n",
    "BIOES": "Fatuma B-PER\nOkello E-PER\nAmina S-PER\nyagiye O\nKigali S-LOC\n\nHuye S-LOC\n",
    "BILOU": "Fatuma B-PER\nOkello L-PER\nAmina U-PER\nyagiye O\nKigali U-LOC\n\nHuye U-LOC\n",
    "BMEWO": "Fatuma B-PER\nOkello E-PER\nAmina W-PER\nyagiye O\nKigali W-LOC\n\nHuye W-LOC\n",
    "IOB2": "Fatuma B-PER\nOkello I-PER\nAmina B-PER\nyagiye O\nKigali B-LOC\n\nHuye B-LOC\n",
}
IN_IOB2 = [
    TokenRow(["Fatuma", "Okello", "Amina", "yagiye", "Kigali"], ["B-PER", "I-PER", "B-PER", "O", "B-LOC"]),
    TokenRow(["Huye"], ["B-LOC"]),
]


@pytest.mark.parametrize("scheme", SENTENCES)
@pytest.mark.parametrize("listed", ["IOB2", "files"])
def test_rows_and_labels_of_any_scheme_are_kept_as_iob2(scheme: str, listed: str) -> None:
    content = SENTENCES[scheme]
    own = dict.fromkeys(line.split()[1] for line in content.split("\n") if line)
    labels = TOKENS["labels"] if listed == "IOB2" else list(own)
    manifest, task = build(TOKENS | {"labels": labels}, content, content, content)
    assert task.rows("kin", "train") == task.rows("kin", "test") == IN_IOB2
    assert manifest["tag_scheme"] == {"scheme": scheme, "suffix": False, "entities": 12, "irregular": 0}
    types = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert set(task.labels) == set(types) if (listed, scheme) != ("files", "IOB2") else {*types} - {"I-LOC"}
    converted = {"tags_into_iob2": 2} if scheme != "IOB2" else {}
    assert manifest["languages"]["kin"]["train"]["converted"] == converted
    assert manifest["languages"]["kin"]["train"]["classes"] == {"PER": 2, "LOC": 2}


def test_tags_with_the_letter_last_are_converted() -> None:
    content = "Fatuma PER-B\nOkello PER-E\nAmina PER-S\nyagiye O\nKigali LOC-S\n\nHuye LOC-S\n"
    manifest, task = build(TOKENS, content, content, content)
    assert task.rows("kin", "dev") == IN_IOB2
    assert manifest["tag_scheme"] == {"scheme": "BIOES", "suffix": True, "entities": 12, "irregular": 0}


def test_the_scheme_is_that_of_all_files_together(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "distil")
    # Alone, the files of dev and test are valid in IOB2 and in IOB1.
    manifest, _ = build(TOKENS, SENTENCES["IOB1"], "ni O\n", "ni O\n", ("kin", "swa"))
    assert manifest["tag_scheme"]["scheme"] == "IOB1"
    assert "task mine: tags are IOB1, written as IOB2: 8 entities, 0 of them tagged otherwise" in caplog.text


def test_parts_of_speech_have_no_scheme_and_stay_as_they_are() -> None:
    content = "Amina proper_noun\nagiye verb\n"
    manifest, task = build(TOKENS | {"labels": ["verb", "proper_noun"]}, content, content, content)
    assert manifest["tag_scheme"] is None and task.labels == ["verb", "proper_noun"]
    assert task.rows("kin", "dev") == [TokenRow(["Amina", "agiye"], ["proper_noun", "verb"])]


def test_a_tag_of_a_type_that_is_not_listed_costs_its_sentence_and_is_named() -> None:
    content = SENTENCES["BIOES"] + "\nUN S-ORG\nn' O\n\nejo b-per\n"
    manifest, task = build(TOKENS, content, content, content)
    assert task.rows("kin", "train") == IN_IOB2
    assert manifest["languages"]["kin"]["train"]["unknown_labels"] == {"S-ORG": 1, "b-per": 1}
    # I-LOC is not listed: a place of two tokens is not learned as something else
    content = SENTENCES["IOB2"] + "\nNew B-LOC\nYork I-LOC\n"
    manifest, task = build(TOKENS | {"labels": ["O", "B-PER", "I-PER", "B-LOC"]}, content, content, content)
    assert task.rows("kin", "train") == IN_IOB2
    assert manifest["languages"]["kin"]["train"]["unknown_labels"] == {"I-LOC": 1}


# Labels.


def test_a_label_spelled_otherwise_in_test_is_named_with_its_rows_and_the_class_that_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    manifest, task = build(TEXT, THREE, THREE, THREE.replace("neutral", "Neutral") + "Yego\tneutral \n")
    assert [row.label for row in task.text_rows("kin", "test")] == ["positive", "negative"]
    test = manifest["languages"]["kin"]["test"]
    assert test["dropped"] == {"unknown_label": 2} and test["unknown_labels"] == {"Neutral": 1, "neutral ": 1}
    assert test["classes"] == {"positive": 1, "neutral": 0, "negative": 1}
    assert (
        "task mine: kin: test: labels that `labels:` has not: 'Neutral' 1 row (`labels:` has 'neutral'), 'neut"
        in caplog.text
    )
    assert "task mine: kin: test lacks neutral, which train has" in caplog.text


def test_a_split_left_with_nothing_names_the_labels_and_the_nearest_ones() -> None:
    said = refusal(TEXT, HEAD + "a\tPositive\nb\tPositive\nc\tx\n")
    assert said.startswith(
        "task mine: kin: train: nothing is left of 3 rows (unknown_label 3); `labels:` has not the labels"
    )
    assert "found: 'Positive' 2 rows (`labels:` has 'positive'), 'x' 1 row; mend the file or the block" in said


def test_texts_with_several_labels_are_kept_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    manifest, task = build(TEXT, THREE + "Ndishimye cyane\tnegative\nndishimye CYANE!\tneutral\n", THREE, THREE)
    assert len(task.rows("kin", "train")) == 5
    assert manifest["languages"]["kin"]["train"]["conflicts"] == {"texts": 1, "rows": 3}
    assert manifest["languages"]["kin"]["dev"]["conflicts"] == {"texts": 0, "rows": 0}
    assert "task mine: kin: train: texts with several labels: 1, in 3 rows" in caplog.text


def test_the_same_file_for_two_languages_is_said(caplog: pytest.LogCaptureFixture) -> None:
    manifest, _ = build(TEXT, THREE, HEAD + "a\tpositive\n", HEAD + "b\tpositive\n", ("kin", "swa"))
    assert manifest["same_rows"] == [[f"kin/{split}", f"swa/{split}"] for split in ("train", "dev", "test")]
    assert "task mine: the same rows in kin/train and swa/train" in caplog.text


def test_a_label_with_a_space_is_a_label_and_one_with_a_line_break_is_refused() -> None:
    rows = [json.dumps({"tokens": ["Amina", "araza"], "tags": ["proper noun", "verb"]}) + "\n"] * 2
    block = TOKENS | {"labels": ["proper noun", "verb"], "pattern": "{lang}/{split}.jsonl"}
    _, task = build(block, "".join(rows), rows[0], rows[0])
    assert task.rows("kin", "dev") == [TokenRow(["Amina", "araza"], ["proper noun", "verb"])]
    with pytest.raises(ValueError, match="none empty, with spaces around it or a line break in it"):
        TaskConfig(**TOKENS | {"labels": ["a\nb", "c"]})


# Forms of lists, texts and labels.


@pytest.mark.parametrize("write", [repr, json.dumps], ids=["Python", "JSON"])
def test_lists_saved_as_text_are_lists(write: Any) -> None:
    row = json.dumps({"tokens": write(["Amina", "y'u"]), "tags": write(["B-PER", "O"])}) + "\n"
    manifest, task = build(TOKENS | {"pattern": "{lang}/{split}.jsonl"}, row, row, row)
    assert task.rows("kin", "test") == [TokenRow(["Amina", "y'u"], ["B-PER", "O"])]
    assert manifest["languages"]["kin"]["test"]["converted"] == {"list_saved_as_text": 1}


def test_what_is_no_list_or_no_text_is_shown() -> None:
    block = TOKENS | {"pattern": "{lang}/{split}.jsonl"}
    line = json.dumps({"tokens": "Amina yagiye " * 1000, "tags": "B-PER O"})
    assert "nothing is left of 1 rows (no_list 1 (text, Amina yagiye Amina" in refusal(block, line)
    line = json.dumps({"tokens": ["Amina", "yagiye"], "tags": ["O"]})
    assert "(mismatch 1 (2 tokens, 1 tags, the first token Amina))" in refusal(block, line)
    line = json.dumps({"tokens": [{"form": "Amina"}], "tags": ["O"]})
    assert "(no_text 1 (an object, {'form': 'Amina'}))" in refusal(block, line)
    block = TEXT | {"pattern": "{lang}/{split}.jsonl"}
    line = json.dumps({"tweet": ["Ni", "byiza"], "label": "positive"})
    assert "(no_text 1 (a list, ['Ni', 'byiza']))" in refusal(block, line)


def test_token_numbers_in_a_table_of_lists_are_refused() -> None:
    line = json.dumps({"tokens": ["1", "2", "3"], "tags": ["O", "O", "B-PER"]})
    said = refusal(TOKENS | {"pattern": "{lang}/{split}.jsonl"}, line)
    assert (
        "train.jsonl: expected tokens, found their numbers (1 2 3 ...) in 1 of 1 sentences; set params.yaml: tasks"
        in said
    )
    assert said.endswith("tasks.mine.text_column to the name of the column with the tokens")


def test_columns_of_conll_files_are_numbered_in_params() -> None:
    content = "1\tAmina\tB-PER\tO\n2\tyagiye\tO\tO\n3\tKigali\tB-LOC\tB-PER\n"
    _, task = build(TOKENS | {"text_column": 2, "label_column": "3"}, content, content, content)
    assert task.rows("kin", "train") == [TokenRow(["Amina", "yagiye", "Kigali"], ["B-PER", "O", "B-LOC"])]
    assert "expected tokens, found their numbers (1 2 3 ...)" in refusal(TOKENS, content)


def test_parquet_columns_of_bytes_and_whole_numbers_with_a_point_are_text_and_labels() -> None:
    block = TEXT | {"pattern": "{lang}/{split}.parquet", "labels": ["0", "1"]}
    Path("in/kin").mkdir(parents=True)
    table = pa.table({"tweet": pa.array([b"caf\xc3\xa9", b"oya"]), "label": pa.array([1.0, None])})
    for split in ("train", "dev", "test"):
        pq.write_table(table, f"in/kin/{split}.parquet")
    manifest = write_task("mine", TaskConfig(**block), ["kin"], 1, Path("data/tasks/mine"))
    assert read_task(Path("data/tasks/mine")).rows("kin", "dev") == [TextRow("café", "1")]
    assert manifest["languages"]["kin"]["dev"]["dropped"] == {"no_label": 1}


NAMES = ["O", "B-PER", "I-PER"]
FEATURES = [
    {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "Sequence"},
    {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "List"},
    [{"names": NAMES, "_type": "ClassLabel"}],
]


@pytest.mark.parametrize("feature", FEATURES)
def test_numbers_of_a_parquet_file_of_the_hub_have_the_names_that_it_keeps(feature: Any) -> None:
    block = TOKENS | {"pattern": "{lang}/{split}.parquet"}
    Path("in/kin").mkdir(parents=True)
    table = pa.table({"tokens": [["Amina", "Okello", "araza"]], "tags": [[1, 2, 0]]})
    kept = json.dumps({"info": {"features": {"tags": feature}}})
    for split in ("train", "dev", "test"):
        pq.write_table(table.replace_schema_metadata({"huggingface": kept}), f"in/kin/{split}.parquet")

    def rows(labels: list[str]) -> list[TokenRow]:
        manifest = write_task("mine", TaskConfig(**block | {"labels": labels}), ["kin"], 1, Path("data/tasks/mine"))
        assert ("numbers_to_names" in manifest["languages"]["kin"]["dev"]["converted"]) == ("O" in labels)
        return read_task(Path("data/tasks/mine")).token_rows("kin", "dev")

    assert rows(TOKENS["labels"]) == [TokenRow(["Amina", "Okello", "araza"], ["B-PER", "I-PER", "O"])]
    assert rows(["0", "1", "2"]) == [TokenRow(["Amina", "Okello", "araza"], ["1", "2", "0"])]


def test_a_number_of_a_text_label_has_its_name_too() -> None:
    Path("in/kin").mkdir(parents=True)
    kept = json.dumps({"info": {"features": {"label": {"names": ["negative", "positive"], "_type": "ClassLabel"}}}})
    table = pa.table({"tweet": ["oya", "yego", "ntabwo"], "label": [0, 1, -1]})
    for split in ("train", "dev", "test"):
        pq.write_table(table.replace_schema_metadata({"huggingface": kept}), f"in/kin/{split}.parquet")
    block = TEXT | {"pattern": "{lang}/{split}.parquet"}
    manifest = write_task("mine", TaskConfig(**block), ["kin"], 1, Path("data/tasks/mine"))
    rows = read_task(Path("data/tasks/mine")).rows("kin", "dev")
    assert rows == [TextRow("oya", "negative"), TextRow("yego", "positive")]
    assert manifest["languages"]["kin"]["dev"]["unknown_labels"] == {"-1": 1}  # the hub's number for no label


def test_a_quoted_line_break_gives_one_row_and_no_half_of_one() -> None:
    content = THREE + '"Ntabwo mbikunda\nna gato"\tnegative\n'
    _, task = build(TEXT, content, THREE, THREE)
    assert task.rows("kin", "train")[-1] == TextRow("Ntabwo mbikunda na gato", "negative")


# A missing dev file.


def test_a_missing_dev_file_says_both_ways_out() -> None:
    with pytest.raises(UserError) as found:
        build(TEXT, THREE, None, THREE)
    assert str(found.value) == (
        "params.yaml: tasks.mine.pattern: no file matches kin/dev.tsv below in, which holds kin; mend either; or set "
        "tasks.mine.dev_from_train to the share of train to take as dev, such as 0.1"
    )


def test_dev_is_drawn_from_train_by_text_where_there_is_no_dev_file() -> None:
    train = HEAD + "".join(f"umurongo {'abcdefghij'[n % 10]}{'!' * (n // 10)}\tneutral\n" for n in range(20))
    manifest, task = build(TEXT | {"dev_from_train": 0.25}, train, None, THREE)
    kept, dev = task.texts("kin", "train"), task.texts("kin", "dev")
    assert (len(kept), len(dev)) == (16, 4)  # of 0.25 * 20 = 5 rows two whole texts of two rows each
    assert {text.rstrip("!") for text in kept}.isdisjoint(text.rstrip("!") for text in dev)
    entry = manifest["languages"]["kin"]
    assert entry["train"]["dropped"] == {"to_dev": 4} and entry["train"]["rows_read"] == 20
    assert (entry["dev"]["rows_read"], entry["overlap"]["dev_in_train"]) == (4, 0)
    assert build(TEXT | {"dev_from_train": 0.25}, train, None, THREE)[1].texts("kin", "dev") == dev
    assert build(TEXT | {"dev_from_train": 0.25}, train, THREE, THREE)[1].texts("kin", "dev")[0] == "Ndishimye cyane"


def test_a_share_that_leaves_no_row_for_dev_is_refused() -> None:
    with pytest.raises(UserError, match="task mine: kin: dev: nothing is left of 0 rows"):
        build(TEXT | {"dev_from_train": 0.1}, THREE, None, THREE)
