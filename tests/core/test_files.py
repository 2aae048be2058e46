import json
from pathlib import Path

import numpy as np
import pytest

from distil.core.arrays import read_arrays, write_arrays
from distil.core.errors import UserError
from distil.core.files import (
    atomic_folder,
    atomic_path,
    read_json,
    sha256_file,
    verify_checksums,
    write_checksums,
    write_json,
)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(target) as folder:
        (folder / "a").write_text("x")
    with atomic_folder(target) as folder:
        (folder / "b").write_text("x")
    assert [path.name for path in target.iterdir()] == ["b"]  # the old one is replaced, not mixed


def test_what_a_killed_process_left_of_a_folder_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".out.abc12.tmp", ".out.more.abc12.tmp", ".other.abc12.tmp"):
        (tmp_path / name).mkdir()
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("x", encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".out.more.abc12.tmp", ".other.abc12.tmp"}


def test_a_full_disk_is_an_oserror_with_the_file_whoever_tells_of_it(tmp_path: Path) -> None:
    for atomic in (atomic_path, atomic_folder):
        with pytest.raises(OSError, match="No space left on device") as error, atomic(tmp_path / "out"):
            raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
        assert error.value.errno == 28 and error.value.filename == str(tmp_path / "out")
    with pytest.raises(RuntimeError, match="another"), atomic_path(tmp_path / "out"):
        raise RuntimeError("another")


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    write_json(target, {"old": 1})
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("{")
        raise RuntimeError
    assert json.loads(target.read_text()) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_json_has_sorted_keys_and_no_numbers_that_are_none(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1, "a": "ẹ"})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n "a": "ẹ",\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "y.json", {"a": float("nan")})


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "uint32", "uint64", "int32", "int64", "float16", "float32"]
)
def test_arrays_round_trip(tmp_path: Path, dtype: str) -> None:
    arrays = {
        "a": np.arange(12).astype(dtype).reshape(3, 4),
        "empty": np.zeros((0, 5), dtype),
        "one": np.array(7, dtype),
    }
    digest = write_arrays(tmp_path / "x.safetensors", arrays)
    found = read_arrays(tmp_path / "x.safetensors", "tokenize")
    assert digest == sha256_file(tmp_path / "x.safetensors")
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_arrays_are_read_only(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.safetensors", {"a": np.arange(3)})
    with pytest.raises(ValueError, match="read-only"):
        read_arrays(tmp_path / "x.safetensors", "tokenize")["a"][0] = 9


@pytest.mark.parametrize("content", [b"", b"\x05", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0[]", b"\x04\0\0\0\0\0\0\0{{{{"])
def test_what_is_no_safetensors_file_is_named_with_the_repair(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.safetensors: damaged .*dvc repro --force tokenize"):
        read_arrays(path, "tokenize")


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_arrays(path, {"a": np.arange(20), "b": np.ones(3, np.float16)})
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match="damaged"):
            read_arrays(path, "tokenize")


def test_json_that_is_missing_or_damaged_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file; run `dvc repro corpus`"):
        read_json(tmp_path / "x.json", "corpus")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match=r"damaged .*dvc repro --force corpus"):
        read_json(tmp_path / "x.json", "corpus")


@pytest.mark.parametrize("name", ["a.txt", "b/c.txt", "checksums.json"])
def test_a_sealed_folder_is_refused_when_a_file_of_it_is_another_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_text("one", encoding="utf-8")
    (tmp_path / "b/c.txt").write_text("two", encoding="utf-8")
    verify_checksums(tmp_path, "corpus")  # sealed by nobody
    write_checksums(tmp_path)
    verify_checksums(tmp_path, "corpus")
    (tmp_path / name).write_text("[3]", encoding="utf-8")
    with pytest.raises(UserError, match=r"`dvc repro --force corpus`") as refused:
        verify_checksums(tmp_path, "corpus")
    assert str(tmp_path / name) in str(refused.value)


def test_a_seal_covers_what_is_named_and_is_compared_where_that_is_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    write_checksums(tmp_path, "a")
    (tmp_path / "b").unlink()
    verify_checksums(tmp_path, "corpus")
    write_checksums(tmp_path)
    (tmp_path / "a").unlink()
    verify_checksums(tmp_path, "corpus", "b")
    with pytest.raises(UserError, match=r"a: no such file; run `dvc repro corpus`"):
        verify_checksums(tmp_path, "corpus")
