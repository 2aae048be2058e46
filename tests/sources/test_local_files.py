import gzip
import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from distil.core.errors import UserError
from distil.sources.local_files import find_files, read_blocks, read_rows

ROWS = [("Muraho neza", "positive"), ('He said "no', "neutral")]


def texts(path, column="text"):
    dropped = Counter()
    text = b"".join(read_blocks(path, column, dropped)).decode(errors="surrogateescape")
    return text.split("\n")[:-1], dropped


def rows(path, columns=("tweet", "label")):
    dropped = Counter()
    return list(read_rows(path, columns, dropped)), dropped


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def pack(path, data):
    compress = {".gz": gzip.compress, ".zst": zstandard.compress}[path.suffix]
    return write(path, compress(data.encode()))


TABLES = {
    "t.tsv": 'tweet\tlabel\nMuraho neza\tpositive\nHe said "no\tneutral\n',
    "t.csv": 'tweet,label\nMuraho neza,positive\n"He said ""no",neutral\n',
    "t.jsonl": "".join(json.dumps({"tweet": text, "label": label}) + "\n" for text, label in ROWS),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_every_table_format_gives_the_same_rows_compressed_or_not(tmp_path, name, ending):
    path = tmp_path / (name + ending)
    (pack if ending else write)(path, TABLES[name])
    assert rows(path) == (ROWS, Counter())


def test_parquet_gives_the_same_rows_as_the_text_formats(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"n": [1, 2], "tweet": [r[0] for r in ROWS], "label": [r[1] for r in ROWS]}), path)
    assert rows(path) == (ROWS, Counter())


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_a_plain_text_file_gives_a_text_a_line(tmp_path, ending):
    path = tmp_path / ("kin.txt" + ending)
    (pack if ending else write)(path, "a\nb\u2028c\n\nlast")
    assert [text.rstrip("\n") for text in texts(path)[0]] == ["a", "b\u2028c", "", "last"]


def test_a_quotation_mark_is_a_character_in_tsv(tmp_path):
    path = write(tmp_path / "t.tsv", 'tweet\tlabel\n"Oya\tpositive\n"a""b"\tneutral\n')
    assert rows(path)[0] == [('"Oya', "positive"), ('"a""b"', "neutral")]


def test_byte_order_mark_and_crlf_do_not_reach_the_columns(tmp_path):
    for name, gap in (("t.tsv", "\t"), ("t.csv", ",")):
        path = write(tmp_path / name, f"\ufefftweet{gap}label\r\nMuraho{gap}positive\r\n")
        assert rows(path)[0] == [("Muraho", "positive")]


def test_columns_are_found_by_name_in_any_order(tmp_path):
    path = write(tmp_path / "t.tsv", "label\tid\ttweet\npositive\t1\tMuraho\n")
    assert rows(path)[0] == [("Muraho", "positive")]


@pytest.mark.parametrize("name", ["t.tsv", "t.csv", "t.jsonl"])
def test_a_missing_column_is_named_with_the_file_and_what_it_has(tmp_path, name):
    content = {"t.tsv": "text\tlabel\na\tb\n", "t.csv": "text,label\na,b\n", "t.jsonl": '{"text": "a", "label": "b"}\n'}
    path = write(tmp_path / name, content[name])
    with pytest.raises(UserError) as error:
        rows(path)
    assert str(path) in str(error.value)
    assert "expected columns tweet, label" in str(error.value)
    assert "text" in str(error.value).split("found")[1]


def test_a_missing_parquet_column_is_named(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="expected columns tweet, label, found text"):
        rows(tmp_path / "t.parquet")


@pytest.mark.parametrize("name", ["t.tsv", "t.csv"])
def test_an_empty_table_lacks_its_header(tmp_path, name):
    with pytest.raises(UserError, match="found an empty file"):
        rows(write(tmp_path / name, ""))


def test_rows_that_cannot_be_read_are_counted_by_reason(tmp_path):
    path = write(tmp_path / "t.tsv", "tweet\tlabel\nno label\nall\tright\ntoo\tmany\tcells\n")
    assert rows(path) == ([("all", "right")], Counter(wrong_columns=2))
    path = write(tmp_path / "t.jsonl", 'nonsense\n[1]\n{"tweet": "a", "label": "b"}\n{"tweet": "c"}\n' + "[" * 100_000)
    assert rows(path) == ([("a", "b"), ("c", None)], Counter(not_json=3))


def test_a_quote_never_closed_is_refused_instead_of_swallowing_the_rest(tmp_path):
    path = write(tmp_path / "t.csv", 'tweet,label\n"open,positive\n' + "a,neutral\n" * 3)
    with pytest.raises(UserError, match=r"t\.csv: line \d+: not valid CSV"):
        rows(path)


def test_a_text_of_several_lines_comes_as_several_texts(tmp_path):
    path = write(tmp_path / "t.jsonl", '{"text": "one\\ntwo"}\n{"text": null}\n{"text": 3}\n{"text": ""}\n')
    assert texts(path) == (["one", "two", ""], Counter(no_text=2))


def test_bytes_that_are_not_utf8_come_through_as_surrogates(tmp_path):
    assert texts(write(tmp_path / "t.txt", b"caf\xe9\nok\n"))[0] == ["caf\udce9", "ok"]
    assert rows(write(tmp_path / "t.tsv", b"tweet\tlabel\ncaf\xe9\tx\n"))[0] == [("caf\udce9", "x")]
    assert rows(write(tmp_path / "t.jsonl", b'{"tweet": "\\ud800", "label": "x"}\n'))[0] == [("\ud800", "x")]


def test_nul_and_a_line_of_a_megabyte_are_read(tmp_path):
    long = "a" * 2**20
    assert rows(write(tmp_path / "t.tsv", f"tweet\tlabel\n{long}\0\tx\n"))[0] == [(long + "\0", "x")]
    assert rows(write(tmp_path / "t.csv", f"tweet,label\n{long}\0,x\n"))[0] == [(long + "\0", "x")]


@pytest.mark.parametrize("name", ["t.txt.gz", "t.txt.zst"])
@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_compressed_file_is_refused_by_name(tmp_path, name, damage):
    path = pack(tmp_path / name, "".join(f"line {number}\n" for number in range(50_000)))
    path.write_bytes(path.read_bytes()[:-1000] if damage == "cut" else b"not compressed at all")
    with pytest.raises(UserError, match=rf"{name}: damaged"):
        texts(path)


def test_a_parquet_file_that_is_none_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"t\.parquet: damaged"):
        rows(write(tmp_path / "t.parquet", "not a table"))


FORMATS = (".txt", ".tsv", ".parquet")


def find(folder, pattern):
    return find_files(str(folder), pattern, {"lang": "kin"}, FORMATS, "params.yaml: corpus")


def test_files_are_found_by_pattern_in_the_order_of_their_names(tmp_path):
    for name in ("b_kin.txt", "a_kin.txt.gz", "swa.txt", "deep/er/c_kin.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, "")
    names = [path.relative_to(tmp_path).as_posix() for path in find(tmp_path, "**/*{lang}.txt*")]
    assert names == ["a_kin.txt.gz", "b_kin.txt", "deep/er/c_kin.txt"]


def test_a_folder_that_the_pattern_names_stands_for_its_readable_files(tmp_path):
    for name in ("kin/b.txt.zst", "kin/deep/a.parquet", "kin/README.md", "kin/.hidden.txt", "swa/a.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, "")
    for pattern in ("{lang}", "{lang}*", "*in/**"):  # the last one matches the folder and each folder in it
        names = [path.relative_to(tmp_path).as_posix() for path in find(tmp_path, pattern)]
        assert names == ["kin/b.txt.zst", "kin/deep/a.parquet"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{lang}.tsv", "no file matches kin.tsv below .*, which holds kin.docx, kin.parquet.gz, kin.txt; mend either"),
        ("{lang}.docx", "kin.docx: expected a name that ends in .txt, .tsv, .parquet .*, found .docx"),
        ("{lang}.parquet.gz", r"kin.parquet.gz: expected a name .*, found .parquet.gz"),
        ("**{lang}", "no pattern"),
    ],
)
def test_a_pattern_that_finds_nothing_usable_says_what_there_is(tmp_path, pattern, message):
    for name in ("kin.txt", "kin.docx", "kin.parquet.gz"):
        write(tmp_path / name, "")
    with pytest.raises(UserError, match=message):
        find(tmp_path, pattern)


def test_a_missing_folder_says_from_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="corpus.path: expected a folder at no/where, found nothing") as error:
        find("no/where", "{lang}.txt")
    assert str(tmp_path) in str(error.value)
    with pytest.raises(UserError, match="found a file"):
        find(write(tmp_path / "kin.txt", ""), "{lang}.txt")
