"""Tables in the forms that real writers give them: read right, or refused in one sentence that says what was found."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distil.core.errors import UserError
from distil.sources import tables
from distil.sources.local_files import read_blocks, read_rows

HEAD = "tweet\tlabel\n"
OBJECTS = [{"tweet": "Ni byiza", "label": "positive"}, {"tweet": "Si byiza", "label": "negative"}]
ROWS = [("Ni byiza", "positive"), ("Si byiza", "negative")]


def rows(path: Path, content: str | bytes, *columns: str) -> tuple[list[tuple[Any, ...]], Counter[str]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    dropped: Counter[str] = Counter()
    return list(read_rows(path, columns or ("tweet", "label"), dropped)), dropped


def refusal(path: Path, content: str | bytes) -> str:
    with pytest.raises(UserError) as found:
        rows(path, content)
    assert "\n" not in str(found.value) and len(str(found.value)) < 400 + len(str(path))
    return str(found.value)


# Quoted fields in TSV.


def test_a_quoted_field_over_several_lines_is_one_row_of_a_tsv(tmp_path: Path) -> None:
    content = (
        HEAD + 'Ni byiza\tpositive\n"Sinkunda\nna gato\npe"\tnegative\n"igice\tikindi"\tneutral\n"a ""b"""\tneutral\n'
    )
    found, dropped = rows(tmp_path / "t.tsv", content)
    assert found == [
        ("Ni byiza", "positive"), ("Sinkunda\nna gato\npe", "negative"), ("igice\tikindi", "neutral"),
        ('a "b"', "neutral"),
    ]  # fmt: skip
    assert dropped == {}


def test_a_quote_is_a_character_of_a_tsv_where_every_row_is_on_one_line(tmp_path: Path) -> None:
    content = HEAD + '"a ""b"""\tpositive\n"yego\tneutral\n""oya""\tnegative\nthree\tcells\there\n'
    found, dropped = rows(tmp_path / "t.tsv", content)
    assert found == [('"a ""b"""', "positive"), ('"yego', "neutral"), ('""oya""', "negative")]
    assert dropped == {"wrong_columns": 1}


def test_a_tsv_that_quotes_some_fields_and_has_quotes_in_others_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path / "t.tsv", HEAD + 'a\tpositive\n"two\nlines"\tnegative\n"yego" yes\tneutral\n')
    assert 't.tsv: line 3: a quoted field holds a line break or a tab, but elsewhere in the file a " is a char' in said


def test_a_row_with_too_few_cells_is_no_quoted_row(tmp_path: Path) -> None:
    found, dropped = rows(tmp_path / "t.tsv", HEAD + '"yego\nNi byiza\tpositive\n"oya\tneutral\n')
    assert found == [("Ni byiza", "positive"), ('"oya', "neutral")]
    assert dropped == {"wrong_columns": 1}


# Line ends.


@pytest.mark.parametrize(("name", "gap"), [("t.tsv", "\t"), ("t.csv", ",")])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_on_any_system(tmp_path: Path, name: str, gap: str, end: str) -> None:
    content = "".join(f"{text}{gap}{label}{end}" for text, label in [("tweet", "label"), *ROWS])
    assert rows(tmp_path / name, content)[0] == ROWS


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_objects_and_of_text_may_end_so_too(tmp_path: Path, end: str) -> None:
    assert rows(tmp_path / "t.jsonl", "".join(json.dumps(row) + end for row in OBJECTS))[0] == ROWS
    (tmp_path / "t.txt").write_bytes(f"rimwe{end}kabiri{end}gatatu".encode())
    text = b"".join(read_blocks(tmp_path / "t.txt", "text", Counter())).decode()
    assert [line.rstrip("\r") for line in text.split("\n")] == ["rimwe", "kabiri", "gatatu", ""]


def test_a_carriage_return_inside_a_line_ends_none(tmp_path: Path) -> None:
    assert rows(tmp_path / "t.tsv", HEAD + "Ni\rbyiza\tpositive\n")[0] == [("Ni\rbyiza", "positive")]


# JSON.


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(OBJECTS),
        json.dumps(OBJECTS, indent=2) + "\n",
        "\n\n" + json.dumps(OBJECTS, indent=2),
        "".join(json.dumps(row, indent=4) + "\n" for row in OBJECTS),
        ",\n".join(json.dumps(row) for row in OBJECTS).join(["[\n", "\n]\n"]),
        "\n".join(json.dumps(row) for row in OBJECTS) + "\n\n",
    ],
    ids=["array", "pretty array", "behind empty lines", "pretty objects", "an object a line in an array", "lines"],
)
def test_json_in_any_layout_gives_its_objects(tmp_path: Path, content: str) -> None:
    assert rows(tmp_path / "t.jsonl", content) == (ROWS, Counter())


def test_a_damaged_first_line_costs_no_other(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in OBJECTS)
    for first in ("{\n", '{"tweet": "a\n', "[\n", "[1]\n", "nothing\n", '"text"\n'):
        assert rows(tmp_path / "t.jsonl", first + lines) == (ROWS, Counter(not_json=1))


def test_json_without_an_object_says_what_was_found(tmp_path: Path) -> None:
    assert 'expected an object a line, such as {"tweet": ...}, found Ni byiza' in refusal(
        tmp_path / "t.jsonl", "Ni byiza\n"
    )
    assert "found ['Ni byiza', 'positive']" in refusal(tmp_path / "t.jsonl", '["Ni byiza", "positive"]\n["a", "b"]\n')
    assert "found an empty file" in refusal(tmp_path / "t.jsonl", "")
    columns = json.dumps({"data": OBJECTS})
    assert "expected columns tweet, label, found data" in refusal(tmp_path / "t.jsonl", columns)


def test_a_json_array_too_large_for_memory_names_the_command_that_converts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_JSON", 2**20)
    said = refusal(tmp_path / "t.jsonl", json.dumps(OBJECTS * 40_000, indent=1))
    assert "found one JSON value of more than 1 MiB; write a line for each object, such as with `jq -c '.[]'`" in said
    lines = "[1]\n" + "".join(json.dumps(row) + "\n" for row in OBJECTS * 40_000)
    assert rows(tmp_path / "t.jsonl", lines) == (ROWS * 40_000, Counter(not_json=1))


# Parquet.


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_binary_columns_of_parquet_are_text(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", tweet=pa.array([b"caf\xc3\xa9", b"caf\xe9"]),
                   tags=pa.array([[b"O", b"B"], [b"O"]]))  # fmt: skip
    assert list(read_rows(path, ("tweet", "tags"), Counter())) == [("café", ["O", "B"]), ("caf\udce9", ["O"])]
    assert b"".join(read_blocks(path, "tweet", Counter())) == "café\n".encode() + b"caf\xed\xb3\xa9\n"


@pytest.mark.parametrize(
    "column", [pa.array(["a", "b"]), pa.array(["a", "b"], pa.large_string()), pa.array(["a", "b"]).dictionary_encode()]
)
def test_every_kind_of_text_column_is_text(tmp_path: Path, column: pa.Array) -> None:
    assert list(read_rows(parquet(tmp_path / "t.parquet", tweet=column), ("tweet",), Counter())) == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pa.array([["a", "b"], ["c"]]), r"a list, \['a', 'b'\]"),
        (pa.array([{"text": "a"}]), r"an object, {'text': 'a'}"),
        (pa.array([1, 2]), "a number, 1"),
    ],
)
def test_a_column_without_any_text_is_no_corpus(tmp_path: Path, column: pa.Array, found: str) -> None:
    path = parquet(tmp_path / "t.parquet", tweet=column)
    with pytest.raises(
        UserError, match=f"t.parquet: expected text in the column tweet, found {found}; name another one"
    ):
        list(read_blocks(path, "tweet", Counter()))


# Headers.


def test_a_long_header_is_cut_in_the_message(tmp_path: Path) -> None:
    said = refusal(tmp_path / "t.tsv", "\t".join(f"column{number}" for number in range(100_000)) + "\n")
    assert "expected columns tweet, label, found column0, column1, " in said and "... (1,288,888 characters)" in said


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    assert "expected one column label, found 2" in refusal(tmp_path / "t.tsv", "tweet\tlabel\tlabel\na\tb\tc\n")
