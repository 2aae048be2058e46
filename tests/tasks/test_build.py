import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import distil.tasks.splits
import stages.tasks
from distil.core.errors import UserError
from distil.core.params import parse_params
from distil.tasks.build import write_task
from distil.tasks.config import TaskConfig
from distil.tasks.data import TextRow, TokenRow, held_out_texts, read_task
from distil.tasks.splits import draw
from distil.text.normalisation import normalise

TEXT = {
    "source": "files", "path": "in", "pattern": "{lang}/{split}.tsv", "verify": "", "kind": "text_classification",
    "text_column": "tweet", "label_column": "label", "labels": ["positive", "neutral", "negative"], "normalise": False,
    "marks": "keep", "script": "keep",
    "dev_from_train": 0.0,
    "max_train_rows": 0, "max_dev_rows": 0, "max_test_rows": 0, "unlabelled_path": "in", "unlabelled": "",
    "max_unlabelled_rows": 0, "unlabelled_choice": "random",
}  # fmt: skip
TOKENS = TEXT | {
    "kind": "token_classification", "pattern": "{lang}/{split}.txt", "labels": ["O", "B-PER", "I-PER"],
    "text_column": "tokens", "label_column": "tags",
}  # fmt: skip
CONLL = "Jean B-PER\nBosco I-PER\narakina O\n\n"
OK = "tweet\tlabel\nNi byiza\tpositive\n"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(root, block, splits, seed=1, languages=("kin",)):
    """Write the files of each split, run the stage's function, open what it wrote."""
    for language in languages:
        (root / "in" / language).mkdir(parents=True, exist_ok=True)
        for split, content in splits.items():
            path = root / "in" / block["pattern"].replace("{lang}", language).replace("{split}", split)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    folder = root / "data/tasks/mine"
    manifest = write_task("mine", TaskConfig(**block), list(languages), seed, folder)
    return manifest, read_task(folder)


def counts(manifest, split):
    return {name: manifest["languages"]["kin"][split][name] for name in ("rows_read", "rows", "dropped")}


def test_rows_of_a_table_come_back_as_they_were(root):
    train = 'tweet\tlabel\n"Oya"  wacu\tnegative\nNi byiza\tpositive\n'
    manifest, task = build(root, TEXT, {"train": train, "dev": OK, "test": OK})
    assert (task.name, task.kind, task.languages) == ("mine", "text_classification", ["kin"])
    assert task.labels == ["positive", "neutral", "negative"]
    assert task.rows("kin", "train") == [TextRow('"Oya" wacu', "negative"), TextRow("Ni byiza", "positive")]
    assert counts(manifest, "train") == {"rows_read": 2, "rows": 2, "dropped": {}}
    assert (manifest["source"], manifest["synthetic"], manifest["normalised"]) == ("files", False, False)


def test_sentences_of_a_conll_file_come_back_as_they_were(root):
    # CRLF, several empty lines, a tab, four columns, no line end at the last token
    train = CONLL.replace("\n", "\r\n") + "\n\n-DOCSTART- O\n\nYesu\tB-PER\n\nMaria N NP B-PER\naraza V VP O"
    _, task = build(root, TOKENS, {"train": train, "dev": CONLL, "test": CONLL})
    assert task.rows("kin", "train") == [
        TokenRow(["Jean", "Bosco", "arakina"], ["B-PER", "I-PER", "O"]),
        TokenRow(["Yesu"], ["B-PER"]),
        TokenRow(["Maria", "araza"], ["B-PER", "O"]),
    ]
    assert task.texts("kin", "dev") == ["Jean Bosco arakina"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_token_lists_are_read_from_tables(root, ending):
    tokens, tags = [["Jean", "araza"], []], [["B-PER", "O"], []]
    (root / "in/kin").mkdir(parents=True)
    for split in ("train", "dev", "test"):
        path = root / f"in/kin/{split}.{ending}"
        if ending == "parquet":
            pq.write_table(pa.table({"tokens": tokens, "tags": tags}), path)
        else:
            lines = [json.dumps({"tokens": a, "tags": b}) + "\n" for a, b in zip(tokens, tags, strict=True)]
            path.write_text("".join(lines))
    manifest, task = build(root, TOKENS | {"pattern": "{lang}/{split}." + ending}, {})
    assert task.rows("kin", "test") == [TokenRow(["Jean", "araza"], ["B-PER", "O"])]
    assert counts(manifest, "test") == {"rows_read": 2, "rows": 1, "dropped": {"empty": 1}}


def test_text_rows_that_cannot_be_used_are_counted_by_reason(root):
    train = (
        "tweet\tlabel\n"
        "Ni byiza\tpositive\n"
        "\u200b \tpositive\n"
        "nta label\t\n"
        "indi label\tangry\n"
        "three\tcells\there\n"
        "@user https://t.co/x 12 \U0001f602!\tneutral\n"
    ).encode() + b"caf\xe9\tpositive\n"
    manifest, task = build(root, TEXT | {"normalise": True}, {"train": train, "dev": OK, "test": OK})
    assert task.rows("kin", "train") == [TextRow("ni byiza", "positive")]
    assert counts(manifest, "train") == {
        "rows_read": 7,
        "rows": 1,
        "dropped": dict.fromkeys(
            ["empty", "no_label", "unknown_label", "wrong_columns", "empty_after_normalising", "not_utf8"], 1
        ),
    }


def test_missing_texts_and_labels_of_json_are_counted_by_reason(root):
    rows = [
        {"tweet": None, "label": "1"},
        {"label": "1"},
        {"tweet": "a"},
        {"tweet": "b", "label": 1},
        {"tweet": 5, "label": 1},
    ]
    train = "".join(json.dumps(row) + "\n" for row in rows) + "{\n" + '{"tweet": "\\udc80", "label": 1}\n'
    block = TEXT | {"pattern": "{lang}/{split}.jsonl", "labels": ["0", "1"]}
    manifest, task = build(root, block, {split: train for split in ("train", "dev", "test")})
    assert task.rows("kin", "train") == [TextRow("b", "1")]  # a whole number counts by its digits
    dropped = {"no_text": 3, "no_label": 1, "not_json": 1, "not_utf8": 1}
    assert counts(manifest, "train") == {"rows_read": 7, "rows": 1, "dropped": dropped}


def test_sentences_that_cannot_be_used_are_counted_by_reason(root):
    train = (CONLL + "no_tag\nJean B-PER\n\nParis B-LOC\n\n\u200b O\n\n").encode() + b"caf\xe9 O\n"
    manifest, task = build(root, TOKENS, {"train": train, "dev": CONLL, "test": CONLL})
    assert len(task.rows("kin", "train")) == 1
    dropped = {"mismatch": 1, "unknown_label": 1, "empty_token": 1, "not_utf8": 1}
    assert counts(manifest, "train") == {"rows_read": 5, "rows": 1, "dropped": dropped}


@pytest.mark.parametrize(
    ("block", "content", "message"),
    [
        (
            TEXT,
            "tweet\tlabel\na\tpos\nb\tneg\n",
            "unknown_label 2.*has not the labels found: 'pos' 1 row, 'neg' 1 row; mend",
        ),
        (TEXT, "tweet\tlabel\n", "nothing is left of 0 rows"),
        (TEXT, "text\tlabel\na\tpositive\n", "test.tsv: expected columns tweet, label, found text, label"),
        (TOKENS, "no tags here at all\n", "unknown_label 1.*has not the labels found: 'all' 1 row"),
        (TOKENS, "", "nothing is left of 0 rows"),
    ],
)
def test_a_split_left_with_nothing_is_named_with_the_reason(root, block, content, message):
    good = OK if block is TEXT else CONLL
    with pytest.raises(UserError, match=message):
        build(root, block, {"train": good, "dev": good, "test": content})
    assert not (root / "data/tasks/mine").exists()
    assert not list((root / "data").glob("tasks/*"))


def test_a_missing_split_names_the_pattern_and_what_there_is(root):
    with pytest.raises(UserError, match=r"params.yaml: tasks.mine.pattern: no file matches kin/test.tsv below in"):
        build(root, TEXT, {"train": OK, "dev": OK})


def test_a_sentence_file_is_no_text_table_and_the_other_way_round(root):
    with pytest.raises(UserError, match="expected a name that ends in .tsv, .csv, .jsonl, .parquet"):
        build(root, TEXT | {"pattern": "{lang}/{split}.txt"}, {"train": OK})
    with pytest.raises(
        UserError, match="expected a name that ends in .txt, .conll, .conllu, .conllup, .jsonl, .parquet"
    ):
        build(root, TOKENS | {"pattern": "{lang}/{split}.tsv"}, {"train": CONLL})


@pytest.mark.parametrize(
    ("line", "normalised"),
    [
        ("@user Fina-finai sun yi RASHI... \U0001f622", "finafinai sun yi rashi"),
        (
            "RT @user: \u1eb8 k\u00fa oj\u00fam\u1ecd\u0301!! #Yor\u00f9b\u00e1 http://t.co/x",
            "\u1eb9 k\u00fa oj\u00fam\u1ecd\u0301",
        ),
        ("\u201cya\u2019an\u2019uwa\u201d \u2026 \u2014 25%", "yaanuwa"),
        ("\u0198asa \u0257aya", "\u0199asa \u0257aya"),
        ("nukora1ibyo \u2665\ufe0f \U0001f937\u200d\u2642\ufe0f", "nukoraibyo"),
        ("already lower case", "already lower case"),
        ("@user \U0001f602 !!", ""),
    ],
)
def test_normalising_leaves_lower_case_letters_and_their_marks(line, normalised):
    assert normalise(line) == normalised
    assert normalise(normalised) == normalised


def test_every_split_is_normalised_alike(root):
    rows = "tweet\tlabel\n@user NI BYIZA!\tpositive\n"
    manifest, task = build(root, TEXT | {"normalise": True}, {"train": rows, "dev": rows, "test": rows})
    assert [task.texts("kin", split) for split in ("train", "dev", "test")] == [["ni byiza"]] * 3
    assert manifest["normalised"] is True


def test_overlap_counts_rows_with_the_same_letters_in_another_split(root):
    head = "tweet\tlabel\n"
    splits = {
        "train": head + "Ni byiza cyane\tpositive\nSawa\tneutral\n",
        "dev": head + "ni BYIZA, cyane!\tpositive\nni byiza cyane #2\tnegative\nNdabona\tneutral\n",
        "test": head + "S\u00e1w\u00e0\tneutral\n@user ndabona\tneutral\nbishya\tneutral\n",
    }
    manifest, _ = build(root, TEXT, splits)
    assert manifest["languages"]["kin"]["overlap"] == {"dev_in_train": 2, "test_in_train": 1, "test_in_dev": 1}


def test_a_sample_of_the_rows_is_the_head_of_a_shuffle_in_the_order_of_the_file(root):
    rows = [f"umurongo {'abcdefghij'[number]}" for number in range(10)]
    content = "tweet\tlabel\n" + "".join(f"{row}\tneutral\n" for row in rows)
    block = TEXT | {"max_train_rows": 4, "max_dev_rows": 3, "max_test_rows": 2}
    manifest, task = build(root, block, {split: content for split in ("train", "dev", "test")}, seed=7)
    order = list(range(10))
    random.Random("7-kin-train").shuffle(order)
    assert task.texts("kin", "train") == [rows[place] for place in sorted(order[:4])]
    assert counts(manifest, "train") == {"rows_read": 10, "rows": 4, "dropped": {"over_max_rows": 6}}
    assert (len(task.texts("kin", "dev")), len(task.texts("kin", "test"))) == (3, 2)
    assert task.texts("kin", "dev") != task.texts("kin", "test")  # each split has a shuffle of its own


def test_a_larger_sample_contains_the_smaller_one():
    rows = list(range(100))
    small, large = draw(rows, 10, "1-kin-train"), draw(rows, 30, "1-kin-train")
    assert set(small) < set(large)
    assert draw(rows, 0, "x") == draw(rows, 100, "x") == draw(rows, 1000, "x") == rows


def test_the_same_input_gives_the_same_bytes(root):
    splits = {"train": OK * 2, "dev": OK, "test": OK}
    block = TEXT | {"max_train_rows": 1}

    def everything():
        build(root, block, splits)
        return {path: path.read_bytes() for path in sorted((root / "data").rglob("*")) if path.is_file()}

    assert everything() == everything()


def test_the_same_rows_in_another_place_are_the_same_bytes(root):
    def everything(block):
        build(root, block, {"train": OK, "dev": OK, "test": OK})
        return {path.relative_to(root): path.read_bytes() for path in (root / "data").rglob("*") if path.is_file()}

    first = everything(TEXT)
    (root / "far").mkdir()
    (root / "in").rename(root / "far/in")
    assert everything(TEXT | {"path": str(root / "far/in")}) == first


def test_the_sample_gives_synthetic_rows(root, monkeypatch):
    monkeypatch.setattr(distil.tasks.splits, "read_lexicon", lambda folder, language: language)
    rows = {"train": [("Ni BYIZA!", "positive")], "dev": [("Oya.", "negative")], "test": [("Yego", "neutral")]}
    monkeypatch.setattr(distil.tasks.splits, "labelled_rows", lambda lexicon: rows)
    manifest, task = build(root, TEXT | {"source": "sample", "normalise": True}, {})
    assert manifest["synthetic"] is True
    assert task.rows("kin", "train") == [TextRow("ni byiza", "positive")]


def test_a_task_without_labels_has_no_languages_and_holds_nothing_out(root):
    manifest, task = build(root, TEXT | {"source": "none"}, {})
    assert (manifest["origin"], task.languages) == ("no labelled data", [])
    assert list(held_out_texts(root / "data/tasks", "kin")) == []


def test_held_out_texts_are_those_of_dev_and_test_of_every_task(root):
    head = "tweet\tlabel\n"
    splits = {"train": OK, "dev": head + "dev text\tneutral\n", "test": head + "test text\tneutral\n"}
    build(root, TEXT, splits)
    (root / "data/tasks/mine").rename(root / "data/tasks/other")
    build(root, TOKENS, {"train": CONLL, "dev": CONLL, "test": "Yesu B-PER\n"})
    texts = list(held_out_texts(root / "data/tasks", "kin"))
    assert texts == ["Jean Bosco arakina", "Yesu", "dev text", "test text"]
    assert list(held_out_texts(root / "data/tasks", "swa")) == []


def damage(folder, kind):
    rows = folder / "kin/test.jsonl"
    if kind == "no folder":
        folder.rename(folder.with_name("gone"))
    elif kind == "no rows":
        rows.unlink()
    elif kind == "cut":
        rows.write_text(rows.read_text()[:-5])
    elif kind == "a row less":
        rows.write_text("")
    elif kind == "another shape":
        rows.write_text('["text", "label"]\n')
    elif kind == "empty manifest":
        (folder / "manifest.json").write_text("{}")


@pytest.mark.parametrize("kind", ["no folder", "no rows", "cut", "a row less", "another shape", "empty manifest"])
def test_a_damaged_or_missing_task_says_how_to_make_it_again(root, kind):
    build(root, TEXT, {"train": OK, "dev": OK, "test": OK})
    damage(root / "data/tasks/mine", kind)
    with pytest.raises(UserError, match=r"`dvc repro (--force )?tasks@mine`"):
        read_task(root / "data/tasks/mine").rows("kin", "test")


def test_a_language_that_a_task_lacks_is_named(root):
    _, task = build(root, TEXT, {"train": OK, "dev": OK, "test": OK})
    with pytest.raises(UserError, match="expected rows of swa, found kin"):
        task.rows("swa", "test")


@pytest.mark.parametrize(
    ("block", "key", "value"),
    [
        (TEXT, "source", "hub"),
        (TEXT, "path", ""),
        (TEXT, "pattern", "{lang}.tsv"),
        (TEXT, "pattern", "{split}.tsv"),
        (TEXT, "pattern", "/abs/{lang}/{split}.tsv"),
        (TEXT, "kind", "regression"),
        (TEXT, "text_column", ""),
        (TEXT, "label_column", "tweet"),
        (TEXT, "labels", []),
        (TEXT, "labels", ["one"]),
        (TEXT, "labels", ["a", "a"]),
        (TEXT, "labels", ["a", ""]),
        (TEXT, "labels", [0, 1]),
        (TOKENS, "normalise", True),
        (TEXT, "max_train_rows", -1),
        (TEXT, "max_test_rows", -1),
        (TEXT, "max_rows", 1),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(block, key, value):
    with pytest.raises(UserError, match=rf"params.yaml: tasks.mine\.{key}"):
        parse_params(block | {key: value}, TaskConfig, "params.yaml: tasks.mine")


def test_the_stage_writes_the_task_it_is_given_and_what_it_cost(root, monkeypatch):
    build(root, TEXT, {"train": OK, "dev": OK, "test": OK})
    (root / "params.yaml").write_text(yaml.safe_dump({"languages": ["kin"], "seed": 1, "tasks": {"tone": TEXT}}))
    stages.tasks.main("tone")
    assert read_task(root / "data/tasks/tone").texts("kin", "dev") == ["Ni byiza"]
    assert json.loads((root / "metrics/cost/tasks-tone.json").read_text())["rows"] == 3
