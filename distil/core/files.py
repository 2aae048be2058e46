"""Atomic writes, checksums, and tensors on disk in safetensors.

Arrays are kept as safetensors: eight bytes of header length (little-endian), a JSON header with dtype, shape and
byte range of each array, then the raw bytes. Nothing is unpickled, and reading is one memory map.
"""

import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from distil.core.errors import UserError

_DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
    "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_MAX_HEADER = 16 * 2**20
CHECKSUMS = "checksums.json"


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    """Turn what safetensors and tokenizers raise on a full disk, classes of their own, into the OSError that it is."""
    try:
        yield
    except Exception as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if isinstance(error, OSError) or not found:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it when the block ends well, removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _os_errors(path):
            yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well.

    One process at a time writes a folder. What a killed one left of its temporary folder is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if left.is_dir() and "." not in left.name[len(path.name) + 2 : -len(".tmp")]:
            shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        with _os_errors(path):
            yield temporary
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with LF line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, so that the same value gives the same bytes and git diff shows one line a change."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, made_by: str) -> Any:
    """The value in a JSON file that the stage `made_by` wrote.

    Raises:
        UserError: missing or damaged; names the command that makes it again.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro {made_by}`") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: damaged ({error}); run `dvc repro --force {made_by}`") from None


def _raw(array: np.ndarray) -> Any:  # a buffer, for which Python 3.11 has no name
    """The bytes of an array, in order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write named arrays as one safetensors file, with no second copy of them in memory.

    Returns:
        The sha256 of the file's bytes.

    Raises:
        OSError: with `path` as its file name.
    """
    # The widest numbers first: every array then begins at a multiple of its number's size, as the format wants.
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    header, position = {}, 0
    for name, array in ordered:
        header[name] = {"dtype": _NAMES[array.dtype], "shape": array.shape,
                        "data_offsets": [position, position + array.nbytes]}  # fmt: skip
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        for piece in chain((len(text).to_bytes(8, "little"), text), (_raw(array) for _, array in ordered)):
            digest.update(piece)
            try:
                stream.write(piece)
            except OSError as error:  # a full disk: a failed write does not know its file's name
                error.filename = str(path)
                raise
    return digest.hexdigest()


def read_arrays(path: Path, made_by: str) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, read-only and memory-mapped: only what is touched is read.

    Raises:
        UserError: missing, truncated or not safetensors; names the command that makes it again.
    """
    repair = f"run `dvc repro --force {made_by}`"
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > _MAX_HEADER:
                raise ValueError(f"header of {length} bytes")
            header = json.loads(stream.read(length))
        data = np.memmap(path, np.uint8, mode="r", offset=8 + length) if path.stat().st_size > 8 + length else None
        arrays = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = entry["data_offsets"]
            dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
            size = 0 if data is None else len(data)
            if end > size or end - start != dtype.itemsize * int(np.prod(shape)):
                raise ValueError(f"array {name} needs bytes {start} to {end} of {size}")
            raw = np.empty(0, np.uint8) if data is None or start == end else data[start:end]
            arrays[name] = raw.view(dtype).reshape(shape)
        return arrays
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro {made_by}`") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error}); {repair}") from None


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def write_checksums(folder: Path, *names: str) -> None:
    """Write checksums.json: the sha256 of every file below `folder`, or of those named only, for `verify_checksums`."""
    files = [folder / name for name in names] or [path for path in sorted(folder.rglob("*")) if path.is_file()]
    sums = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files if path.name != CHECKSUMS}
    write_json(folder / CHECKSUMS, sums)


def verify_checksums(folder: Path, made_by: str, *names: str) -> None:
    """Compare a folder's files, or those named only, with the checksums that the stage `made_by` wrote with them.

    A folder that no stage wrote has none, and nothing is compared.

    Raises:
        UserError: names the first file that is missing or not as it was written, and the command that makes it again.
    """
    if not (folder / CHECKSUMS).is_file():
        return
    sums = read_json(folder / CHECKSUMS, made_by)
    if not isinstance(sums, dict):
        raise UserError(f"{folder / CHECKSUMS}: damaged (no mapping); run `dvc repro --force {made_by}`")
    for name, expected in sums.items():
        path = folder / name
        if names and name not in names:
            continue
        if not path.is_file():
            raise UserError(f"{path}: no such file; run `dvc repro {made_by}`")
        if (found := sha256_file(path)) != expected:
            raise UserError(
                f"{path}: sha256: expected {str(expected)[:12]}, found {found[:12]}; the file is damaged or of another "
                f"run; `dvc repro --force {made_by}` makes it again"
            )


def scratch_folder(*parts: str) -> Path:
    """A folder for unfinished work that outlives a killed run: `.scratch/PARTS` in the main repository.

    DVC_ROOT names the main repository also where DVC runs an experiment in a temporary copy.
    """
    folder = Path(os.environ.get("DVC_ROOT", "."), ".scratch", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
