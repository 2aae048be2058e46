"""data/prepared: token ids and masks on disk, in shards of whole sequences (docs/internals/cache-format.md).

A folder for each language with `manifest.json` and, for each split (train, heldout), shards SPLIT-00000.safetensors,
...: ids (tokens,) uint16 or uint32; offsets (N + 1,) uint32; mask_offsets (V, N + 1) uint32; mask_positions (M,)
uint16; mask_inputs (M,) like ids. Inside a shard sequences are sorted by length.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distil.core.arrays import read_arrays, write_arrays
from distil.core.errors import UserError
from distil.core.files import read_json, sha256_file, verify_checksums

FORMAT_VERSION = 1
TEXT_SPLITS = ("train", "heldout")
MADE_BY = "tokenize"


class Shard(NamedTuple):
    """The arrays of one file (see the top of this module) and how to refer to it."""

    path: Path
    sha256: str
    ids: np.ndarray
    offsets: np.ndarray
    mask_offsets: np.ndarray
    mask_positions: np.ndarray
    mask_inputs: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """(N,) int64 tokens of each sequence."""
        return np.diff(self.offsets).astype(np.int64)

    @property
    def variants(self) -> int:
        """Mask variants of each sequence."""
        return len(self.mask_offsets)


def ragged_indices(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Indices of the pieces [start, start + length) one after another: (sum of lengths,) int64."""
    lengths = lengths.astype(np.int64)
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts.astype(np.int64) - before, lengths) + np.arange(int(lengths.sum()))


class MaskedInput(NamedTuple):
    """Some sequences of a shard as the models see them."""

    input_ids: np.ndarray  # (B, T) int64, padded with pad_id, masked places filled
    lengths: np.ndarray  # (B,) int64
    masked_sequence: np.ndarray  # (P,) int64, row of input_ids
    masked_position: np.ndarray  # (P,) int64, column of input_ids
    gold: np.ndarray  # (P,) int64, true ids there
    cached_rows: np.ndarray  # (P,) int64, rows of the shard's mask arrays and of its cached targets


def masked_input(shard: Shard, sequences: np.ndarray, variants: np.ndarray, pad_id: int) -> MaskedInput:
    """Assemble sequences with the chosen mask variants.

    Args:
        shard: the shard that holds them.
        sequences: (B,) numbers in the shard.
        variants: (B,) mask variant of each.
        pad_id: fills the rows up to the longest sequence.
    """
    starts, lengths = shard.offsets[sequences].astype(np.int64), shard.lengths[sequences]
    input_ids = np.full((len(sequences), int(lengths.max())), pad_id, np.int64)
    flat = ragged_indices(np.arange(len(sequences)) * input_ids.shape[1], lengths)
    input_ids.reshape(-1)[flat] = shard.ids[ragged_indices(starts, lengths)]
    first = shard.mask_offsets[variants, sequences].astype(np.int64)
    count = shard.mask_offsets[variants, sequences + 1].astype(np.int64) - first
    rows = ragged_indices(first, count)
    row = np.repeat(np.arange(len(sequences)), count)
    column = shard.mask_positions[rows].astype(np.int64)
    gold = input_ids[row, column]
    input_ids[row, column] = shard.mask_inputs[rows]
    return MaskedInput(input_ids, lengths, row, column, gold, rows)


def write_shard(path: Path, arrays: dict[str, np.ndarray], ids_dtype: type[np.unsignedinteger]) -> dict[str, Any]:
    """Write one shard and return its line of the manifest."""
    sha256 = write_arrays(
        path,
        {
            "ids": arrays["ids"].astype(ids_dtype),
            "offsets": arrays["offsets"].astype(np.uint32),
            "mask_offsets": arrays["mask_offsets"].astype(np.uint32),
            "mask_positions": arrays["mask_positions"].astype(np.uint16),
            "mask_inputs": arrays["mask_inputs"].astype(ids_dtype),
        },
    )
    return {
        "file": path.name,
        "sequences": len(arrays["offsets"]) - 1,
        "tokens": len(arrays["ids"]),
        "positions": len(arrays["mask_positions"]),
        "sha256": sha256,
    }


class TokenizedDataset:
    """A language's folder, open for reading."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        verify_checksums(folder, MADE_BY)
        self.manifest: dict[str, Any] = read_json(folder / "manifest.json", MADE_BY)
        found = self.manifest.get("format_version")
        if found != FORMAT_VERSION:
            raise UserError(
                f"{folder}/manifest.json: format_version: expected {FORMAT_VERSION}, found {found}; "
                f"run `dvc repro --force {MADE_BY}`"
            )

    def check_tokenizer(self, folder: Path) -> None:
        """Compare with the tokenizer in `folder`.

        Raises:
            UserError: the ids are those of another one.
        """
        path = folder / "tokenizer.json"
        expected = sha256_file(path) if path.is_file() else "no such file"
        found = self.manifest["tokenizer_sha256"]
        if found != expected:
            raise UserError(
                f"{self.folder}/manifest.json: tokenizer_sha256: expected {expected[:12]} ({path}), found "
                f"{found[:12]}; run `dvc repro {MADE_BY}`"
            )

    def shards(self, split: str) -> list[dict[str, Any]]:
        """The manifest's lines of a split, in order."""
        return self.manifest["splits"][split]["shards"]

    def open(self, entry: dict[str, Any]) -> Shard:
        """Open one shard.

        Raises:
            UserError: its bytes are not those that the manifest names.
        """
        path = self.folder / entry["file"]
        arrays = read_arrays(path, MADE_BY)
        found = sha256_file(path)
        if found != entry["sha256"]:
            raise UserError(
                f"{path}: sha256: expected {entry['sha256'][:12]}, found {found[:12]}; the file is damaged or of "
                f"another run; `dvc repro --force {MADE_BY}` makes it again"
            )
        return Shard(path, found, **arrays)
