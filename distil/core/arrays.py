"""Arrays on disk as safetensors, memory-mapped.

Eight bytes of header length (little-endian), a JSON header with dtype, shape and byte range of each array, then the raw
bytes. Nothing is unpickled, reading is one memory map, and writing gives the checksum in the same pass; safetensors'
own numpy functions do neither of the last two.
"""

import hashlib
import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from distil.core.errors import UserError
from distil.core.files import atomic_path

_DTYPES = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "U32": np.uint32,
    "I32": np.int32, "U64": np.uint64, "I64": np.int64, "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_MAX_HEADER = 16 * 2**20


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
