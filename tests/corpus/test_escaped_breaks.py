"""Line breaks as a backslash and an n: split where the source has them or is said to, else counted and warned about."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from distil.corpus.build import CorpusConfig, open_source
from distil.corpus.escaped_breaks import are_split, count_lines, split_lines
from tests.corpus.test_build import BLOCK, build, root  # noqa: F401

SENTENCES = [
    "Abanyeshuri bagiye ku ishuri",
    "Uyu munsi ni mwiza cyane",
    "Umukecuru yaguze ibirayi",
]  # one is a test text
DOCUMENT = "\\n".join(SENTENCES)


def write(path: Path, texts: list[str]) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts).encode()))


def test_escaped_breaks_become_line_breaks_and_real_ones_stay() -> None:
    blocks = [b"one\\ntwo\\r\\nthree\nfour \\ five\\ r\n", b"none\n"]
    assert list(split_lines(iter(blocks))) == [b"one\ntwo\nthree\nfour \\ five\\ r\n", b"none\n"]
    assert [count_lines(block) for block in (*blocks, b"", b"a\\n\n\\nb\nc\n")] == [1, 0, 0, 2]


@pytest.mark.parametrize(
    ("setting", "dataset", "file", "split"),
    [
        ("auto", "allenai/MADLAD-400", None, True),
        ("auto", "HuggingFaceFW/fineweb-2", None, False),
        ("auto", None, "rw_clean_0000.jsonl.gz", True),
        ("auto", None, "sw_noisy_0012.jsonl", True),
        ("auto", None, "kin.jsonl.gz", False),
        ("split", "org/data", None, True),
        ("keep", "allenai/MADLAD-400", None, False),
    ],
)
def test_the_source_decides_unless_the_setting_does(setting: Any, dataset: str, file: str, split: bool) -> None:
    assert are_split(setting, dataset, file) is split


@pytest.mark.parametrize("name", ["rw_clean_0000.jsonl.gz", "kin.jsonl.gz"])
def test_documents_of_madlad_become_their_sentences_without_the_test_text(root: Path, name: str) -> None:  # noqa: F811
    (root / "text/kin").mkdir()
    write(root / "text/kin" / name, [DOCUMENT])
    setting = "split" if name == "kin.jsonl.gz" else "auto"
    entry, kept = build(root, None, pattern="{lang}", escaped_line_breaks=setting)
    assert kept.splitlines() == [SENTENCES[0], SENTENCES[2]]
    assert (entry["lines_read"], entry["dropped"], entry["escaped_line_breaks"]) == (3, {"held_out": 1}, 0)


def test_where_they_are_kept_a_warning_says_so_and_no_test_text_stays(root: Path, caplog) -> None:  # noqa: F811
    caplog.set_level(logging.WARNING)
    texts = ["Umwana arakina hanze", DOCUMENT, "Ikipe yatsinze\\numukino wa nyuma"]
    write(root / "text/kin.jsonl.gz", texts)
    entry, kept = build(root, None, pattern="{lang}.jsonl.gz")
    assert kept.splitlines() == [texts[0], texts[2]]
    assert (entry["lines_read"], entry["dropped"], entry["escaped_line_breaks"]) == (3, {"held_out": 1}, 2)
    assert caplog.messages == [
        "corpus: kin: 2 of 3 lines have a line break as a backslash and an n, so several texts are one; set "
        "params.yaml: corpus.escaped_line_breaks to split if they are line breaks"
    ]


def test_a_few_of_them_are_counted_and_no_warning(root: Path, caplog) -> None:  # noqa: F811
    caplog.set_level(logging.WARNING)
    lines = [f"umurongo wa {number:x} cyangwa" for number in range(100)]
    entry, _ = build(root, "\n".join([*lines, "reba C:\\ntaho ubu"]))
    assert (entry["lines_read"], entry["escaped_line_breaks"]) == (101, 1)
    assert caplog.messages == []


def test_a_hub_data_set_is_split_by_its_id(monkeypatch) -> None:
    monkeypatch.setattr("distil.corpus.build.hub_blocks", lambda *given: iter([DOCUMENT.encode() + b"\n"]))
    for dataset, lines in (("allenai/MADLAD-400", 3), ("HuggingFaceFW/fineweb-2", 1)):
        config = CorpusConfig(**BLOCK | {"source": "hub", "dataset": dataset})
        source = open_source(config, "kin", "c0ffee", None)  # type: ignore[arg-type]
        assert b"".join(source.blocks).count(b"\n") == lines
