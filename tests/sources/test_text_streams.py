"""Text in UTF-16 and UTF-32 is decoded or refused, in every format; zstd files of any window are read."""

import gzip
import json
import logging
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from distil.core.errors import UserError
from distil.sources import text_streams
from distil.sources.local_files import read_blocks, read_rows
from distil.sources.text_streams import open_text
from distil.tasks.conll import read_conll

WIDE = ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"]
LINES = ["Ya ce ‘na’am’", "Mutanen ƙauye \U0001f602"]
ROW = (LINES[1], "positive")
TABLES = {
    "t.tsv": f"tweet\tlabel\r\n{LINES[1]}\tpositive\r\n",
    "t.csv": f"tweet,label\r\n{LINES[1]},positive\r\n",
    "t.jsonl": json.dumps({"tweet": ROW[0], "label": ROW[1]}, ensure_ascii=False),
}


def texts(path: Path) -> list[str]:
    found = b"".join(read_blocks(path, "text", Counter())).decode(errors="surrogateescape")
    return [line.rstrip("\r") for line in found.split("\n")[:-1]]


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_marked_text_is_decoded_and_said_so(tmp_path: Path, encoding: str, ending: str, caplog) -> None:
    caplog.set_level(logging.INFO)
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[ending]
    path = tmp_path / f"kin.txt{ending}"
    path.write_bytes(pack(("\ufeff" + "\r\n".join(LINES)).encode(encoding)))
    assert texts(path) == LINES
    assert caplog.messages == [f"{path}: decoded from {encoding}, as its byte order mark says"]


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("name", TABLES)
def test_marked_tables_are_decoded(tmp_path: Path, encoding: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(("\ufeff" + TABLES[name]).encode(encoding))
    dropped: Counter[str] = Counter()
    assert (list(read_rows(path, ["tweet", "label"], dropped)), dropped) == ([ROW], Counter())


def test_marked_columns_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes("\ufeffKigali B-LOC\r\nni O\r\n\r\n".encode("UTF-16LE"))
    assert read_conll(path, "tokens", "tags", str.isupper, "params.yaml") == [(["Kigali", "ni"], ["B-LOC", "O"])]


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("name", ["kin.txt", *TABLES])
def test_unmarked_text_is_refused_with_the_command_that_converts(tmp_path: Path, encoding: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(("\r\n".join(LINES) if name == "kin.txt" else TABLES[name]).encode(encoding))
    with pytest.raises(UserError) as error:
        texts(path) if name == "kin.txt" else list(read_rows(path, ["tweet", "label"], Counter()))
    assert str(error.value) == (
        f"{path}: expected UTF-8, found {encoding} without a byte order mark; convert it: "
        f"`< FILE iconv -f {encoding} -t UTF-8 > NEW`"
    )


def test_half_a_pair_costs_its_line_and_half_a_character_the_file(tmp_path: Path) -> None:
    path = tmp_path / "kin.txt"
    path.write_bytes("\ufeffab\nc\ud83dd\nef\n".encode("UTF-16LE", "surrogatepass"))
    first, second, third = texts(path)
    assert (first, third) == ("ab", "ef") and any("\udc80" <= letter <= "\udcff" for letter in second)
    path.write_bytes("\ufeffab\n".encode("UTF-16LE") + b"c")
    with pytest.raises(UserError, match=r"kin\.txt: damaged \(.*truncated data"):
        texts(path)


def test_pieces_may_end_inside_a_character(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "kin.txt"
    for size in (5, 6, 7):
        monkeypatch.setattr(text_streams, "BLOCK_BYTES", size)
        for encoding in ("UTF-16LE", "UTF-32BE", "UTF-8"):
            path.write_bytes(("\ufeff" + "\n".join(LINES * 5)).encode(encoding))
            assert texts(path) == LINES * 5
            with open_text(path) as stream:
                assert stream.read().split("\n") == LINES * 5


def zstd(data: bytes, window_log: int) -> bytes:
    chosen = zstandard.ZstdCompressionParameters(window_log=window_log, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=chosen).compressobj()
    return packer.compress(data) + packer.flush()


def test_every_window_that_zstd_makes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kin.txt.zst"
    data = "\n".join(LINES * 100).encode()
    for window_log in (10, 27, 28, 31):
        path.write_bytes(zstd(data, window_log))
        assert zstandard.get_frame_parameters(path.read_bytes()).window_size == 2**window_log
        assert texts(path) == LINES * 100


def test_frames_and_what_is_between_them_are_read_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "kin.txt.zst"
    between = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"pzstd"
    path.write_bytes(between + zstandard.compress(b"one\n") + between + zstd(b"two\n", 31))
    assert texts(path) == ["one", "two"]
    for cut in (1, 5):
        path.write_bytes(zstandard.compress(b"one\n") + zstd(b"two\n" * 99, 31)[:-cut])
        with pytest.raises(UserError, match=r"kin\.txt\.zst: damaged \(the file ends too early\)"):
            texts(path)
    path.write_bytes(zstandard.compress(b"one\n") + b"junk that is no frame")
    with pytest.raises(UserError, match=r"damaged \(zstd decompressor error: Unknown frame descriptor\)"):
        texts(path)


def test_a_window_that_does_not_fit_is_named_with_what_to_do(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "kin.txt.zst"
    path.write_bytes(zstd(b"one\n" * 1000, 28))
    monkeypatch.setattr(text_streams, "MAX_WINDOW", 2**27)
    with pytest.raises(UserError) as error:
        texts(path)
    assert str(error.value) == (
        f"{path}: expected a zstd window of at most 128 MiB that fits into memory, found 256 MiB; unpack the "
        "file first (`zstd -d --long=31 FILE`) or pack it again without --long"
    )
