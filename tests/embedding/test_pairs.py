"""Parallel text: what is kept, what is dropped and counted, and one sentence for a file that is none."""

from pathlib import Path

import pytest
import yaml

from distil.core.errors import UserError
from distil.core.files import read_json
from distil.embedding.config import PairsConfig, load_embedding
from distil.embedding.data import Pair, read_pairs
from distil.embedding.pairs import write_pairs
from tests.support import ROOT
from tests.support.bad_input import change

CONFIG = {
    "path": "in", "patterns": ["{lang}/*.tsv"], "test": "test.tsv", "pivot": "eng", "text_column": "text",
    "languages": [], "max_pairs": 0, "max_characters": 60, "max_length_ratio": 2.0,
}  # fmt: skip
BLOCK = {
    "pairs": CONFIG, "teacher": "models/teacher", "bootstrap_resamples": 100,
    "training": {
        "seed": 1, "steps": 8, "batch_size": 8, "max_length": 24, "learning_rate": 0.001, "warmup_fraction": 0.1,
        "ranking_weight": 1.0, "ranking_scale": 20.0, "checkpoint_every": 4, "precision": "float32",
    },
}  # fmt: skip


def write_table(path: Path, *rows: tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files of Swahili, one of Yoruba, and two test sentences."""
    monkeypatch.chdir(tmp_path)
    write_table(Path("in/swa/a.tsv"), ("eng", "text"), ("good day to you", "siku njema kwako"), ("water", "maji"))
    write_table(Path("in/swa/b.tsv"), ("text", "eng"), ("moto", "fire"))
    write_table(Path("in/yor/a.tsv"), ("eng", "text"), ("water", "omi"))
    write_table(Path("in/test.tsv"), ("id", "eng", "swa", "yor"), ("1", "the sun is up here", "jua liko juu hapa", "o"),
                ("2", "rain", "mvua", "ojo"))  # fmt: skip
    return tmp_path


def write(**changes: object) -> dict[str, dict[str, dict[str, int]]]:
    config = PairsConfig.model_validate(CONFIG | changes)
    return write_pairs("mine", config, ["swa", "yor"], 1, Path("out"))


def test_files_of_a_language_are_read_together_whatever_the_order_of_their_columns(folder) -> None:
    manifest = write()
    pairs = read_pairs(Path("out"), "mine", ["swa", "yor"])
    assert sorted(pairs.train["swa"]) == [
        Pair("fire", "moto"), Pair("good day to you", "siku njema kwako"), Pair("water", "maji"),
    ]  # fmt: skip
    assert pairs.train["yor"] == [Pair("water", "omi")]
    assert pairs.test == {"eng": ["the sun is up here", "rain"], "swa": ["jua liko juu hapa", "mvua"],
                          "yor": ["o", "ojo"]}  # fmt: skip
    assert manifest == read_json(Path("out/manifest.json"), "pairs@mine")


def test_what_is_dropped_is_counted_by_its_reason(folder) -> None:
    write_table(
        Path("in/swa/c.tsv"), ("eng", "text"),
        ("WATER!", "Maji."),  # duplicate: the same letters
        ("water", "maji ya"),  # another translation stays
        ("a word", "neno neno neno neno"),  # length_ratio
        ("long " * 13, "refu " * 13),  # too_long
        ("\u200b", "tupu"),  # empty
        ("one", "moja", "1"),  # wrong_columns
        ("Today The Sun is up here.", "leo jua liko juu"),  # test, by the pivot
        ("it rains a lot", "leo jua liko juu hapa"),  # test, by the text
        ("rain", "mvuua"),  # test, whole
    )  # fmt: skip
    with Path("in/swa/c.tsv").open("ab") as stream:
        stream.write(b"caf\xe9\tkahawa\n")  # not_utf8
    entry = write()["languages"]["swa"]
    assert entry == {"read": 13, "usable": 4, "pairs": 4, "dropped": {
        "duplicate": 1, "length_ratio": 1, "too_long": 1, "empty": 1, "wrong_columns": 1, "test": 3, "not_utf8": 1,
    }}  # fmt: skip


def test_the_same_pairs_are_kept_again_and_max_pairs_bounds_them(folder) -> None:
    rows = [(f"word {chr(97 + n // 26)}{chr(97 + n % 26)}", f"neno {chr(97 + n // 26)}{chr(97 + n % 26)}")
            for n in range(200)]  # fmt: skip
    write_table(Path("in/swa/a.tsv"), ("eng", "text"), *rows)
    assert write(max_pairs=50)["languages"]["swa"]["pairs"] == 50
    first = Path("out/swa.jsonl").read_bytes()
    write(max_pairs=50)
    assert Path("out/swa.jsonl").read_bytes() == first
    kept = {pair.pivot for pair in read_pairs(Path("out"), "mine", ["swa", "yor"]).train["swa"]}
    assert kept - {row[0] for row in rows[:50]}  # not the first ones of the file


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda: Path("in/yor/a.tsv").unlink(), "embeddings.mine.pairs.patterns: yor: .*leave yor out of embeddings"),
        (lambda: write_table(Path("in/yor/a.tsv"), ("english", "text"), ("a", "b")), "columns eng, text, found en"),
        (lambda: write_table(Path("in/yor/a.tsv"), ("eng", "text"), ("", "b")), r"yor: no usable pair .*\(empty 1\)"),
        (lambda: write_table(Path("in/test.tsv"), ("eng", "swa"), ("a", "b")), "columns eng, swa, yor, found eng, swa"),
        (lambda: write_table(Path("in/test.tsv"), ("eng", "swa", "yor"), ("a", "b", "c"), ("a", "", "c")),
         "row 2: expected a sentence in every language, found none in swa"),
        (lambda: write_table(Path("in/test.tsv"), ("eng", "swa", "yor"), ("a", "b", "c")), "expected two or more rows"),
    ],
)  # fmt: skip
def test_a_faulty_file_is_one_sentence_and_writes_nothing(folder, damage, message) -> None:
    damage()
    with pytest.raises(UserError, match=message) as error:
        write()
    assert "\n" not in str(error.value) and not Path("out").exists()


def test_pairs_of_other_languages_are_refused(folder) -> None:
    write()
    with pytest.raises(UserError, match="run `dvc repro pairs@mine`"):
        read_pairs(Path("out"), "mine", ["swa"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embeddings.mine.pairs.languages": ["swa", "zul"]}, "expected languages of `languages:` .*, found zul"),
        ({"embeddings.mine.pairs.pivot": "swa", "embeddings.mine.pairs.languages": ["swa"]}, "besides the pivot swa"),
        ({"embeddings.mine.pairs.patterns": ["a.tsv"]}, "relative paths with {lang}"),
        ({"embeddings.mine.pairs.test": "{lang}.tsv"}, "one table with a column for each language"),
        ({"embeddings.mine.training.steps": 0}, "embeddings.mine.training.steps: input should be greater"),
        ({"embeddings.mine.training.stepz": 2}, "stepz: unknown key; did you mean `steps`"),
        ({"embeddings.other": BLOCK, "embeddings.mine": None}, "embeddings.mine: expected a section"),
    ],
)
def test_a_faulty_block_is_refused_by_its_key(tmp_path, monkeypatch, changes, message) -> None:
    monkeypatch.chdir(tmp_path)
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    Path("params.yaml").write_text(yaml.safe_dump({**tree, "embeddings": {"mine": BLOCK}}), encoding="utf-8")
    assert load_embedding("mine")[1] == tree["languages"]
    change(Path("params.yaml"), changes)
    with pytest.raises(UserError, match=message):
        load_embedding("mine")


def test_a_block_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="embeddings: expected the block mine, found none"):
        load_embedding("mine", ROOT / "params.yaml")
