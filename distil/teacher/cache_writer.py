"""Run the frozen teacher over prepared text and write its outputs (data/teacher), a shard at a time.

A finished shard is kept in scratch under a name made from everything that decides its content, so a killed stage, a
new language or more text computes only what is missing.
"""

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distil.cache.bit_packing import row_bytes
from distil.cache.format import DECODER, PROB_BITS, PROJECTIONS, LogitEncoding
from distil.compute.distributed import Processes, RoundRobin
from distil.core.arrays import write_arrays
from distil.core.errors import UserError
from distil.core.files import read_json, sha256_file, sha256_json, write_checksums, write_json
from distil.runtime.progress import Progress
from distil.teacher.outputs import TeacherPass
from distil.tokenization.shards import TokenizedDataset

log = logging.getLogger("distil")

MAX_SHARD_BYTES = 256_000_000


def write_language_cache(
    prepared: TokenizedDataset,
    outputs: TeacherPass,
    identity: dict[str, Any],
    out: Path,
    finished: "FinishedShards",
    progress: Progress,
    share: RoundRobin | None = None,
    weights: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Write the cache of one language to `out`; shards that are among `finished` are taken from there.

    Args:
        prepared: the language's text.
        outputs: the teacher.
        identity: what else decides the content (teacher, tokenizer); goes into the manifest.
        out: the language's folder.
        finished: shards of this run and of earlier ones.
        progress: counts tokens.
        share: which shards this process takes, None for all; with less than all, `out` is incomplete, but `finished`
            is complete once every process has taken its own.
        weights: of the teacher and of each model beside it in this language; None for the teacher alone.

    Returns:
        The manifest, of the shards taken.
    """
    config = outputs.config
    manifest: dict[str, Any] = {
        "format_version": outputs.logit_format("train").version,
        **{field: prepared.manifest[field] for field in ("language", "tokenizer_sha256", "pieces", "max_length",
                                                         "mask_rate")},
        **identity,
        **({"mixture": dict(weights)} if weights else {}),
        "seed": outputs.seed,
        "batch_tokens": config.batch_tokens,
        "precision": config.precision,
        "attention": {"layers": outputs.layers, "form": config.attention, "rows": config.attention_rows,
                      "maps_per_layer": outputs.maps_per_layer},
        "splits": {},
    }  # fmt: skip
    out.mkdir(parents=True)
    projections = outputs.projections()
    if projections:
        manifest["attention"]["projections_sha256"] = write_arrays(out / PROJECTIONS, projections)
    decoder = outputs.decoder()
    if decoder:
        # One for all languages; a later language writes the same bytes again.
        manifest["decoder_sha256"] = write_arrays(out.parent / DECODER, decoder)
    with ThreadPoolExecutor(1) as writer:
        for split in prepared.manifest["splits"]:
            form = outputs.logit_format(split)
            key = {**{name: value for name, value in manifest.items() if name not in ("splits", "language")},
                   "logits": form._asdict(), "torch": torch.__version__, "device": outputs.device.type}  # fmt: skip
            entries = prepared.shards(split)
            files: list[Future[dict[str, Any]]] = []
            for entry in entries:
                _check_size(entry, prepared, outputs, form, split)
                if share and not share.takes_next():
                    continue
                path = finished.path({**key, "prepared_sha256": entry["sha256"]})
                arrays = None
                if not finished.has(path):
                    arrays = outputs.shard(prepared.open(entry), form, prepared.manifest["pad_id"], progress.add,
                                           list(weights.values()) if weights else [1.0])  # fmt: skip
                else:
                    progress.skip(entry["tokens"] * prepared.manifest["splits"][split]["mask_variants"])
                if files:
                    files[-1].result()  # at most one shard waits to be written
                files.append(writer.submit(_write, entry, arrays, path, out / entry["file"]))
            shards = [file.result() for file in files]
            tokens = prepared.manifest["splits"][split]["tokens"]
            size = sum(shard["bytes"] for shard in shards)
            manifest["splits"][split] = {
                "logits": form._asdict(),
                "shards": shards,
                "tokens": tokens,
                "positions": sum(shard["positions"] for shard in shards),
                "bytes": size,
                "bytes_per_token": round(size / tokens, 1),
            }
    write_json(out / "manifest.json", manifest)
    write_checksums(out, "manifest.json")  # which names every shard by checksum
    return manifest


def compute_shards(
    texts: list[TokenizedDataset], outputs: TeacherPass, identity: dict[str, Any], finished: "FinishedShards",
    progress: Progress, processes: Processes, weights: Sequence[Mapping[str, float] | None],
) -> None:  # fmt: skip
    """Each process computes its share of the shards of `texts`; afterwards all of them are in `finished`.

    Args as of `write_language_cache`, `weights` one for each text.
    """
    share = RoundRobin(processes)
    with tempfile.TemporaryDirectory(dir=finished.folder) as unused:
        for number, text in enumerate(texts):
            folder = Path(unused) / str(number)
            write_language_cache(text, outputs, identity, folder, finished, progress, share, weights[number])
    processes.barrier()


class FinishedShards:
    """Finished shards in scratch, each named by everything that decides its content, the code included."""

    def __init__(self, folder: Path, code: Mapping[str, str]) -> None:
        """`code`: checksums of the files that make a shard (`core.pipeline.code_checksums`)."""
        self.folder, self._code = folder, dict(code)

    def path(self, key: Mapping[str, Any]) -> Path:
        """Where the shard of this key is, or will be."""
        return self.folder / f"{sha256_json({**key, 'code': self._code})[:32]}.safetensors"

    def has(self, path: Path) -> bool:
        """Whether a shard is there as it was written; a damaged one is removed and computed again."""
        note = path.with_suffix(".json")
        if not (path.is_file() and note.is_file()):
            return False
        if read_json(note, "cache_teacher")["sha256"] == sha256_file(path):
            return True
        log.warning("%s: damaged in scratch; computing it again", path)
        path.unlink()  # a hard link: the damaged bytes must not be written through
        return False

    def prune(self, wanted: set[str]) -> None:
        """Remove the shards that no manifest of this run names by checksum."""
        for note in self.folder.glob("*.json"):
            if read_json(note, "cache_teacher")["sha256"] not in wanted:
                note.with_suffix(".safetensors").unlink(missing_ok=True)
                note.unlink()


def _write(entry: dict[str, Any], arrays: dict[str, np.ndarray] | None, finished: Path, target: Path) -> dict[str, Any]:
    """Write a shard to scratch if it is new, give it its place, and return its line of the manifest."""
    if arrays is not None:
        write_json(finished.with_suffix(".json"), {"sha256": write_arrays(finished, arrays)})
    _place(finished, target)
    return {"file": entry["file"], "prepared_sha256": entry["sha256"], "positions": entry["positions"],
            "bytes": target.stat().st_size,
            "sha256": read_json(finished.with_suffix(".json"), "cache_teacher")["sha256"]}  # fmt: skip


def _place(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none: no second copy until DVC files the out as its own."""
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())


def _check_size(
    entry: dict[str, Any], prepared: TokenizedDataset, outputs: TeacherPass, form: LogitEncoding, split: str
) -> None:
    """A shard stays under 256 MB, so that it can be copied, hashed and computed again in one piece."""
    variants, longest = prepared.manifest["splits"][split]["mask_variants"], prepared.manifest["max_length"]
    layers = len(outputs.layers)
    row = (
        layers * (2 + outputs.model.config.hidden_size) if outputs.config.attention == "inputs" else
        layers * outputs.maps_per_layer * (2 + longest)
    )  # fmt: skip
    attention = entry["tokens"] * variants * outputs.config.attention_rows * (2 + row) * bool(layers)
    logits = entry["positions"] * (
        2 * form.pieces if form.form == "full" else
        2 + row_bytes(outputs.model.config.hidden_size, 4 if form.form == "hidden4" else 8) if form.keeps_states else
        2 + row_bytes(form.entries, form.id_bits) + row_bytes(form.entries, PROB_BITS)
    )  # fmt: skip
    size = attention + logits
    if size > MAX_SHARD_BYTES:
        room = int(entry["tokens"] * MAX_SHARD_BYTES / size)
        raise UserError(
            f"params.yaml: tokenize.shard_tokens: with these cache_teacher settings a shard of {entry['tokens']:,} "
            f"tokens needs up to {size / 1e6:,.0f} MB, at most {MAX_SHARD_BYTES / 1e6:,.0f} are allowed; set it to "
            f"{room:,} or less"
        )
