"""Any text, any table, any params.yaml: no crash, and every row that was read is used or counted under a reason.

A refusal in one sentence (UserError) is no crash. Few examples in `make test`, thousands in `make test-faults`.
"""

import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distil.core.errors import UserError
from distil.core.files import write_text
from distil.corpus.build import CorpusConfig, write_corpus
from distil.serving.line_stream import read_windows
from distil.serving.predictor import Predictor
from distil.tasks import text_classification, token_classification
from distil.tasks.account import RowAccount
from distil.tasks.config import TaskConfig
from distil.tasks.data import Row, TextRow
from distil.text.encoding import marked_encoding
from tests.pipeline.test_bad_params import LEAVES, PARAMS, READERS
from tests.support import lab
from tests.support.bad_input import parent

NASTY = [
    "", " ", "\t", "\x00", "a\x00b", "\x01\x02\x1f\x7f", "\u200b\u200c\u200d\ufeff", "\u202e\u2066evil\u2069\u202c",
    "\u2028\u2029\x85\x0b\x0c", "👩🏾‍🚀🇳🇬", "a\u0301\u0302" * 40, "Ünïcödé مرحبا 你好 Привет",
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">', "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", '"', "'", '""', "\\", "\\u0000",
    "%s %d {0}", "null", "NaN", "ẹ́ ọ̀ ṣ ɗ ƙ ŋ", "x" * 70_000, "\ud800", "\udfff\ud800", "é", "e\u0301", "\ufffe\uffff",
    "{}", "[]", "-DOCSTART- O", "a b", "a\tb\tc",
]  # fmt: skip
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=60), st.text(alphabet=st.characters(), max_size=30),
                  st.lists(st.sampled_from(NASTY[:-1]), max_size=4).map("".join),
                  st.text("aeiouklmn ", min_size=12, max_size=60))  # fmt: skip
raw_lines = st.one_of(texts.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=40),
                      st.just(b"\xff\xfe\x00a"), st.just(b"habari ya asubuhi rafiki yangu mzuri"))  # fmt: skip
ends = st.sampled_from([b"\n", b"\r\n"])
files = st.tuples(st.sampled_from([b"", b"\xef\xbb\xbf"]), st.lists(st.tuples(raw_lines, ends), max_size=8))


def examples(many: int) -> Callable:
    """Settings: so many examples, the same ones on every run."""

    def wrap(test: Callable) -> Callable:
        quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
        return settings(max_examples=many, deadline=None, database=None, derandomize=True,
                        suppress_health_check=quiet)(test)  # fmt: skip

    return wrap


@contextmanager
def counted(counts: Counter[str]) -> Iterator[None]:
    """One more bad input; a refusal in a sentence is no crash, everything else is one."""
    counts["bad_inputs"] += 1
    try:
        yield
    except UserError as error:
        assert "\n" not in str(error).strip()
    except AssertionError:
        raise
    except Exception:
        counts["crashes"] += 1
        raise


def account_for(counts: Counter[str], read: int, used: int, dropped: int) -> None:
    """Rows in are rows used and rows dropped."""
    if read != used + dropped:
        counts["rows_unaccounted"] += abs(read - used - dropped)
    assert read == used + dropped, (read, used, dropped)


CORPUS = CorpusConfig.model_validate({**PARAMS["corpus"], "source": "files", "path": "in", "workers": 1,
                                      "pattern": "{lang}.txt", "language_check": "none"})  # fmt: skip


def task_config(kind: str, **more: Any) -> TaskConfig:
    name = "words" if kind == "text_classification" else "names"
    place = {"path": "in", "unlabelled_path": "in", "pattern": "{lang}/{split}.tsv"}
    return TaskConfig(kind=kind, labels=lab.LABELS[name], **(place | lab.TASK | more))


def check_corpus(counts: Counter[str], content: bytes) -> None:
    """A text file through the stage's own function."""
    with tempfile.TemporaryDirectory() as folder, counted(counts):
        root = Path(folder)
        (root / "in").mkdir()
        (root / "in/swa.txt").write_bytes(content)
        write_text(root / "tasks/t/manifest.json",
                   json.dumps({"task": "t", "kind": "text_classification", "labels": [], "languages": {}}))  # fmt: skip
        config = CORPUS.model_copy(update={"path": str(root / "in")})
        entry = write_corpus(config, ["swa"], root / "tasks", root / "out")["languages"]["swa"]
        encoding, mark = marked_encoding(content)  # what is marked as UTF-16 or UTF-32 is decoded, or was refused above
        body = content[mark:]
        if encoding != "UTF-8":
            body = body.decode(encoding, "replace").encode("utf-8")
        lines = body.count(b"\n") + (not body.endswith(b"\n") and body != b"")
        account_for(counts, lines, entry["lines"], sum(entry["dropped"].values()))
        kept = (root / "out/swa.txt").read_bytes()
        assert kept.count(b"\n") == entry["lines"] and kept.decode("utf-8") is not None


def check_rows(counts: Counter[str], name: str, content: bytes, rows: int | None, config: TaskConfig) -> None:
    """A table through the reader of its kind; `rows` None where what a row is cannot be told from outside."""
    account = RowAccount()
    with tempfile.TemporaryDirectory() as folder, counted(counts):
        path = Path(folder, name)
        path.write_bytes(content)
        used: list[Row] = list(
            text_classification.read_file(path, config, account) if config.kind == "text_classification"
            else token_classification.read_file(path, config, account, "params.yaml: tasks.t")
        )  # fmt: skip
        if rows is not None:
            account_for(counts, rows, len(used), account.dropped.total())
        for row in used:  # what is used is text that can be written and read again
            words = [row.text] if isinstance(row, TextRow) else row.tokens
            assert all(words) and "".join(words).encode("utf-8") and not any("\n" in word for word in words)


@given(content=files)
@examples(25)
def test_any_text_file_is_cleaned_or_refused(content: tuple, counts: Counter[str]) -> None:
    check_corpus(counts, content[0] + b"".join(line.replace(b"\n", b"") + end for line, end in content[1]))


@pytest.mark.faults
@given(content=files)
@examples(700)
def test_any_text_file_is_cleaned_or_refused_at_length(content: tuple, counts: Counter[str]) -> None:
    check_corpus(counts, content[0] + b"".join(line.replace(b"\n", b"") + end for line, end in content[1]))


@pytest.mark.faults
@pytest.mark.parametrize(
    "line",
    [b"a" * 1_000_000, b"\xff" * 1_000_000, b"\x00" * 1_000_000, "\u200b".encode() * 300_000, b"a b " * 250_000],
    ids=["letters", "no UTF-8", "NUL", "zero width", "words"],
)
def test_a_line_of_a_megabyte_is_counted(line: bytes, counts: Counter[str]) -> None:
    check_corpus(counts, b"habari ya asubuhi rafiki yangu\n" + line + b"\nkesho tutaonana tena mjini\n")


labels = st.one_of(st.sampled_from(["good", "bad", "", "Good", "=good", "\ud800", "good\x00"]), st.text(max_size=5))


@pytest.mark.faults
@given(rows=st.lists(st.tuples(texts, labels), max_size=8), end=ends, mark=st.sampled_from([b"", b"\xef\xbb\xbf"]))
@examples(400)
def test_any_tsv_row_is_used_or_counted(rows: list, end: bytes, mark: bytes, counts: Counter[str]) -> None:
    def cell(text: str) -> bytes:
        return text.replace("\t", " ").replace("\n", " ").replace("\r", " ").encode("utf-8", "surrogatepass")

    # A row of nothing at all is an empty line, which is no row.
    lines = [cell(text) + b"\t" + cell(label) for text, label in rows]
    check_rows(counts, "train.tsv", mark + end.join([b"text\tlabel", *lines]) + end, len(rows),
               task_config("text_classification", normalise=True))  # fmt: skip


@pytest.mark.faults
@given(
    content=st.lists(raw_lines, max_size=6).map(b"\n".join), ending=st.sampled_from(["tsv", "csv", "jsonl", "parquet"])
)
@examples(300)
def test_any_bytes_as_a_table_are_read_or_refused(content: bytes, ending: str, counts: Counter[str]) -> None:
    check_rows(counts, f"train.{ending}", content, None, task_config("text_classification"))


values = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, labels),
                      lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=2)),
                      max_leaves=5)  # fmt: skip


@pytest.mark.faults
@given(rows=st.lists(st.tuples(values, values), max_size=6),
       kind=st.sampled_from(["text_classification", "token_classification"]))  # fmt: skip
@examples(400)
def test_any_jsonl_row_is_used_or_counted(rows: list, kind: str, counts: Counter[str]) -> None:
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    check_rows(counts, "train.jsonl", "".join(f"{line}\n" for line in lines).encode(), len(rows), task_config(kind))


clean_texts = texts.map(lambda text: text.encode("utf-8", "replace").decode())


@pytest.mark.faults
@given(
    rows=st.lists(st.tuples(st.none() | clean_texts, st.none() | st.sampled_from(["good", "bad", "", "x"])), max_size=6)
)
@examples(150)
def test_any_parquet_row_is_used_or_counted(rows: list, counts: Counter[str]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": pa.array([row[0] for row in rows], pa.string()),
                             "label": pa.array([row[1] for row in rows], pa.string())}), sink)  # fmt: skip
    check_rows(counts, "train.parquet", sink.getvalue().to_pybytes(), len(rows), task_config("text_classification"))


words = texts.map(lambda text: "".join(text.split()) or "a").filter(
    # No part of a sentence: a document's start, a comment, a line that shows nothing.
    lambda word: not word.startswith(("-DOCSTART-", "\ufeff", "#")) and word.strip("\u200b\u2060\ufeff") != ""
)


@pytest.mark.faults
@given(sentences=st.lists(st.lists(st.tuples(words, st.sampled_from(["O", "B-PER", "I-PER", "X", ""])), min_size=1,
                                   max_size=5), max_size=5),
       gap=st.sampled_from([" ", "\t", "  \t"]), end=ends)  # fmt: skip
@examples(400)
def test_any_conll_sentence_is_used_or_counted(sentences: list, gap: str, end: bytes, counts: Counter[str]) -> None:
    lines = [b"".join((f"{word}{gap}{tag}" if tag else word).encode("utf-8", "surrogatepass") + end
                      for word, tag in sentence) for sentence in sentences]  # fmt: skip
    config = task_config("token_classification", pattern="{lang}/{split}.txt")
    check_rows(counts, "train.txt", end.join(lines), len(sentences), config)


@pytest.mark.faults
@given(content=files)
@examples(200)
def test_every_line_is_predicted_or_told_why_not(content: tuple, exports: Path, counts: Counter[str]) -> None:
    predictor = _predictor(exports / "models/onnx/words/int8")
    body = b"".join(line.replace(b"\n", b"") + end for line, end in content[1])
    with counted(counts):
        reading, writing = os.pipe()

        def feed() -> None:
            with os.fdopen(writing, "wb") as stream:
                stream.write(body)

        thread = threading.Thread(target=feed)
        thread.start()
        lines = results = 0
        for window in read_windows(reading):
            lines += len(window)
            usable = [line.text for line in window if line.error is None]
            results += len(predictor(usable)) + sum(line.error is not None for line in window)
        thread.join()
        os.close(reading)
        assert lines == body.count(b"\n")
        account_for(counts, lines, results, 0)


_open: dict[Path, Predictor] = {}


def _predictor(folder: Path) -> Predictor:
    if folder not in _open:
        _open[folder] = Predictor(folder, 1)
    return _open[folder]


@pytest.mark.faults
@given(key=st.sampled_from(sorted(LEAVES)), value=values)
@examples(300)
def test_any_value_of_any_parameter_is_read_or_refused(key: str, value: Any, counts: Counter[str]) -> None:
    tree = yaml.safe_load(yaml.safe_dump(PARAMS))
    node, last = parent(tree, key)
    node[last] = value
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, counted(counts):
        try:
            text = yaml.safe_dump(tree, allow_unicode=True)
        except (UnicodeError, yaml.YAMLError):
            text = yaml.safe_dump(tree)
        Path(folder, "params.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        os.chdir(folder)
        try:
            READERS[key.split(".")[0]]()
        finally:
            os.chdir(before)
