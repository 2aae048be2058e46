"""Text -> token ids and masks (writes data/prepared)."""

import hashlib
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator
from tokenizers import Tokenizer

from distil.core.errors import UserError
from distil.core.files import line_batches, sha256_file, write_checksums, write_json
from distil.core.params import Params
from distil.modeling.tokenizer import SpecialTokenIds, load_tokenizer, special_ids
from distil.runtime.progress import Progress
from distil.tokenization.masking import draw_masks, is_held_out
from distil.tokenization.shards import FORMAT_VERSION, TEXT_SPLITS, write_shard

log = logging.getLogger("distil")

LINES_AT_ONCE = 2000


class TokenizeConfig(Params):
    """Section `tokenize:` of params.yaml."""

    max_length: int = Field(ge=8, le=512)
    min_length: int = Field(ge=3)
    max_tokens: int = Field(ge=0)
    heldout_fraction: float = Field(gt=0, le=0.5)
    mask_rate: float = Field(gt=0, le=0.5)
    mask_variants: int = Field(ge=1, le=100)
    shard_tokens: int = Field(ge=1000, le=4_000_000)

    @model_validator(mode="after")
    def _lengths_fit(self) -> "TokenizeConfig":
        if self.min_length > self.max_length:
            raise ValueError(f"min_length is {self.min_length}, above max_length {self.max_length}")
        return self


def prepare_language(
    language: str,
    text: Path,
    tokenizer_folder: Path,
    config: TokenizeConfig,
    seed: int,
    out: Path,
    script: str = "keep",
) -> dict[str, Any]:
    """Tokenise one language and draw its masks; returns the manifest that it wrote to `out`.

    A text longer than `max_length` becomes several sequences. Whether a text is held out is decided by a hash of its
    words, so that more text never moves one from one side to the other.

    The manifest repeats `script`, that of the text.

    Raises:
        UserError: there is no text, or nothing is left of the language or of its held-out part.
    """
    if not text.is_file():
        raise UserError(f"{text}: no such file; run `dvc repro corpus`")
    tokenizer = load_tokenizer(tokenizer_folder)
    special = special_ids(tokenizer)
    writer = _Writer(out, config, special, tokenizer.get_vocab_size(), seed)
    dropped: Counter[str] = Counter()
    lines = texts = 0
    cap = config.max_tokens or None
    with Progress(f"tokenize {language}", text.stat().st_size, "B") as progress:
        for batch in line_batches(text, LINES_AT_ONCE):
            if cap is not None and writer.tokens["train"] >= cap:
                dropped["over_cap"] += len(batch)
                lines += len(batch)
                continue
            for line, ids in zip(batch, _encode(tokenizer, batch), strict=True):
                lines += 1
                if cap is not None and writer.tokens["train"] >= cap:
                    dropped["over_cap"] += 1
                elif len(ids) + 2 < config.min_length:
                    dropped["too_short"] += 1
                else:
                    texts += 1
                    writer.add("heldout" if is_held_out(line, config.heldout_fraction) else "train", ids)
            progress.add(sum(len(line.encode()) + 1 for line in batch))
    shards = writer.finish()
    for split in TEXT_SPLITS:
        if not shards[split]:
            raise UserError(
                f"{text}: {language}: no sequence left for the {split} split of {lines:,} lines "
                f"({dict(dropped)}); give more text, or change tokenize.min_length or tokenize.heldout_fraction"
            )
    manifest = {
        "format_version": FORMAT_VERSION,
        "language": language,
        "tokenizer_sha256": sha256_file(tokenizer_folder / "tokenizer.json"),
        "pieces": tokenizer.get_vocab_size(),
        "pad_id": special.pad,
        "mask_id": special.mask,
        "max_length": config.max_length,
        "mask_rate": config.mask_rate,
        "seed": seed,
        **({"script": script} if script != "keep" else {}),
        "lines_read": lines,
        "texts": texts,
        "dropped": dict(sorted(dropped.items())),
        "splits": {
            split: {
                "mask_variants": config.mask_variants if split == "train" else 1,
                "sequences": sum(entry["sequences"] for entry in shards[split]),
                "tokens": sum(entry["tokens"] for entry in shards[split]),
                "shards": shards[split],
            }
            for split in TEXT_SPLITS
        },
    }
    write_json(out / "manifest.json", manifest)
    write_checksums(out, "manifest.json")  # which names every shard by checksum
    return manifest


def _encode(tokenizer: Tokenizer, batch: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False)]


class _Writer:
    """Collects sequences of both splits and writes a shard whenever one is full."""

    def __init__(self, out: Path, config: TokenizeConfig, special: SpecialTokenIds, pieces: int, seed: int) -> None:
        self.out, self.config, self.special, self.seed = out, config, special, seed
        self.tokens = dict.fromkeys(TEXT_SPLITS, 0)
        self._open: dict[str, list[np.ndarray]] = {split: [] for split in TEXT_SPLITS}
        self._open_tokens = dict.fromkeys(TEXT_SPLITS, 0)
        self._shards: dict[str, list[dict[str, Any]]] = {split: [] for split in TEXT_SPLITS}
        self._dtype: type[np.unsignedinteger] = np.uint16 if pieces <= 2**16 else np.uint32
        self._candidates = np.setdiff1d(np.arange(pieces), np.array(list(special)))

    def add(self, split: str, ids: list[int]) -> None:
        """One text's ids, cut into sequences of at most `max_length` with <s> and </s>."""
        room = self.config.max_length - 2
        for start in range(0, len(ids), room):
            piece = ids[start : start + room]
            if len(piece) + 2 < self.config.min_length:
                break  # the short end of a long text
            sequence = np.array([self.special.bos, *piece, self.special.eos], np.int64)
            self._open[split].append(sequence)
            self._open_tokens[split] += len(sequence)
            self.tokens[split] += len(sequence)
        if self._open_tokens[split] >= self.config.shard_tokens:
            self._flush(split)

    def finish(self) -> dict[str, list[dict[str, Any]]]:
        """Write what is open and return the manifest's lines by split."""
        for split in TEXT_SPLITS:
            if self._open[split]:
                self._flush(split)
        return self._shards

    def _flush(self, split: str) -> None:
        sequences = sorted(self._open[split], key=len)
        self._open[split], self._open_tokens[split] = [], 0
        ids = np.concatenate(sequences)
        offsets = np.cumsum([0, *map(len, sequences)])
        content = int.from_bytes(hashlib.sha256(ids.astype("<u4").tobytes()).digest()[:8], "big")
        masks = draw_masks(
            ids, offsets, self.config.mask_rate, self.config.mask_variants if split == "train" else 1,
            self.special.mask, self._candidates, np.random.default_rng([self.seed, content]),
        )  # fmt: skip
        arrays = {"ids": ids, "offsets": offsets, "mask_offsets": masks.offsets, "mask_positions": masks.positions,
                  "mask_inputs": masks.inputs}  # fmt: skip
        name = f"{split}-{len(self._shards[split]):05d}.safetensors"
        self._shards[split].append(write_shard(self.out / name, arrays, self._dtype))
