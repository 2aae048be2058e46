"""Run the frozen teacher over prepared text and write what it says (data/teacher), a shard at a time.

A finished shard is kept in scratch under a name made from everything that decides its content, so a killed stage, a
new language or more text computes only what is missing.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from transformers import XLMRobertaForMaskedLM

from distil.bits import bits_for, row_bytes
from distil.cache import FORMAT_VERSION, PROB_BITS, LogitFormat, pack_logits, quantise_rows
from distil.errors import UserError
from distil.files import read_json, sha256_file, sha256_json, write_arrays, write_json
from distil.params import Params
from distil.prepared import Prepared, Shard, masked_input
from distil.progress import Progress
from distil.targets import sample_entries, top_entries
from distil.teacher import AttentionTap, MaskedHead, resolve_layer

log = logging.getLogger("distil")

MAX_SHARD_BYTES = 256_000_000


class CacheConfig(Params):
    """Section `cache_teacher:` of params.yaml."""

    logits: Literal["sampled", "top_k", "full"]
    entries: int = Field(ge=1, le=1000)
    heldout_entries: int = Field(ge=1, le=1000)
    sampling_temperature: float = Field(gt=0, le=100)
    attention_layers: tuple[int, ...]
    attention: Literal["mean", "heads"]
    attention_rows: float = Field(gt=0, le=1)
    batch_tokens: int = Field(ge=512)


class CachedTotals(NamedTuple):
    """What a language's cache came to."""

    tokens: int  # text tokens run through the teacher now, all variants counted
    seconds: float


class TeacherOutputs:
    """The teacher with its taps: turns a shard of text into the arrays of the cache."""

    def __init__(self, model: XLMRobertaForMaskedLM, teacher_ids: np.ndarray, config: CacheConfig, seed: int) -> None:
        """`teacher_ids` (V,): the teacher's id of each of the student's pieces.

        Raises:
            UserError: an attention layer that the teacher does not have.
        """
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model
        self.model.to(self.device)  # type: ignore[arg-type]  # transformers hides the signature
        self.config, self.seed, self.pieces = config, seed, len(teacher_ids)
        layers = model.config.num_hidden_layers
        self.layers = [
            resolve_layer(layer, layers, "params.yaml: cache_teacher.attention_layers")
            for layer in config.attention_layers
        ]
        self.maps_per_layer = 1 if config.attention == "mean" else model.config.num_attention_heads
        self._teacher_ids = torch.from_numpy(teacher_ids.astype(np.int64)).to(self.device)
        self._head = MaskedHead(model, self._teacher_ids)
        self._tap = AttentionTap(model, self.layers)

    def logit_format(self, split: str) -> LogitFormat:
        """How this split's distributions are stored."""
        entries = self.config.heldout_entries if split == "heldout" else self.config.entries
        return LogitFormat(self.config.logits, min(entries, self.pieces), self.pieces, self.config.sampling_temperature)

    @torch.inference_mode()
    def shard(self, shard: Shard, form: LogitFormat, pad_id: int, progress: Progress) -> dict[str, np.ndarray]:
        """The arrays of the cache file for one shard of text."""
        content = int(shard.sha256[:15], 16)
        rng = np.random.default_rng([self.seed, content])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        queries = [_draw_rows(shard.lengths, self.config.attention_rows, rng) for _ in range(shard.variants)]
        parts: dict[str, list[np.ndarray]] = {}
        for variant in range(shard.variants):
            for start, stop in _batches(shard.lengths, self.config.batch_tokens):
                sequences = np.arange(start, stop)
                batch = masked_input(shard, sequences, np.full(len(sequences), variant), pad_id)
                input_ids = self._teacher_ids[torch.from_numpy(batch.input_ids).to(self.device)]
                lengths = torch.from_numpy(batch.lengths).to(self.device)
                mask = torch.arange(input_ids.shape[1], device=self.device) < lengths[:, None]
                hidden = self.model.roberta(input_ids, attention_mask=mask).last_hidden_state
                row = torch.from_numpy(batch.masked_sequence).to(self.device)
                column = torch.from_numpy(batch.masked_position).to(self.device)
                found = self._logits(hidden[row, column], form, generator)
                found |= self._attention(batch.lengths, [queries[variant][s] for s in sequences], mask)
                for name, array in found.items():
                    parts.setdefault(name, []).append(array)
                progress.add(int(batch.lengths.sum()), str(shard.path.parent.name))
        arrays = {name: np.concatenate(pieces) for name, pieces in parts.items()}
        return arrays | _attention_offsets(queries, shard.lengths, len(self.layers) * self.maps_per_layer)

    def _logits(self, hidden: torch.Tensor, form: LogitFormat, generator: torch.Generator) -> dict[str, np.ndarray]:
        log_probs = self._head.logits(hidden).float().log_softmax(dim=-1)
        if form.form == "top_k":
            kept = top_entries(log_probs, form.entries)
        else:
            entries = form.pieces if form.form == "full" else form.entries
            kept = sample_entries(log_probs, entries, form.sampling_temperature, generator)
        if not bool(torch.isfinite(kept.log_probs).all()):
            raise UserError(
                "models/teacher: its output is not a number (NaN or infinite) for some of the text; try it on a "
                "sentence by hand, and `dvc repro --force teacher` if the weights are damaged"
            )
        return pack_logits(kept.ids.cpu().numpy(), kept.log_probs.cpu().numpy(), kept.log_scale.cpu().numpy(), form)

    def _attention(self, lengths: np.ndarray, queries: list[np.ndarray], mask: torch.Tensor) -> dict[str, np.ndarray]:
        counts = np.array([len(rows) for rows in queries])
        sequence = np.repeat(np.arange(len(queries)), counts)
        query = np.concatenate(queries)
        row, column = (
            torch.from_numpy(sequence).to(self.device),
            torch.from_numpy(query.astype(np.int64)).to(self.device),
        )
        maps = []
        for layer in self.layers:
            probs = self._tap.probs(layer, row, column, mask)
            maps.append(probs.mean(dim=1, keepdim=True) if self.maps_per_layer == 1 else probs)
        if not maps:
            return {}
        codes, scales = quantise_rows(torch.cat(maps, dim=1).cpu().numpy())
        keys = np.arange(codes.shape[2]) < lengths[sequence][:, None]  # (R, T)
        kept = codes[np.broadcast_to(keys[:, None, :], codes.shape)]
        return {"attention_rows": query.astype(np.uint16), "attention_scales": scales, "attention_probs": kept}


def _draw_rows(lengths: np.ndarray, share: float, rng: np.random.Generator) -> list[np.ndarray]:
    """For each sequence the queries whose rows are kept: an even draw of ceil(share * length) of them, sorted."""
    if share == 1.0:
        return [np.arange(length) for length in lengths]
    return [np.sort(rng.permutation(length)[: int(np.ceil(share * length))]) for length in lengths]


def _batches(lengths: np.ndarray, batch_tokens: int) -> Iterator[tuple[int, int]]:
    """Runs of sequences, sorted by length, whose padded size stays within `batch_tokens`."""
    start = 0
    for stop in range(1, len(lengths) + 1):
        if stop == len(lengths) or (stop + 1 - start) * lengths[stop] > batch_tokens:
            yield start, stop
            start = stop


def _attention_offsets(queries: list[list[np.ndarray]], lengths: np.ndarray, maps: int) -> dict[str, np.ndarray]:
    if not maps:
        return {}
    counts = np.array([[len(rows) for rows in variant] for variant in queries])  # (V, N)
    return {
        "attention_offsets": _starts(counts).astype(np.uint32),
        "attention_bytes": _starts(counts * lengths * maps).astype(np.uint64),
    }


def _starts(counts: np.ndarray) -> np.ndarray:
    """(V, N) counts -> (V, N + 1): where each begins, and where the variant ends, counted through all variants."""
    ends = np.cumsum(counts.reshape(-1)).reshape(counts.shape)
    first = np.concatenate([[0], ends[:-1, -1]])
    return np.concatenate([first[:, None], ends], axis=1)


def cache_language(
    prepared: Prepared, outputs: TeacherOutputs, identity: dict[str, Any], out: Path, scratch: Path, progress: Progress
) -> dict[str, Any]:
    """Write the cache of one language to `out`; shards found finished in `scratch` are taken from there.

    Args:
        prepared: the language's text.
        outputs: the teacher.
        identity: what else decides the content (teacher, tokenizer); goes into the manifest.
        out: the language's folder.
        scratch: where finished shards are kept.
        progress: counts tokens.

    Returns:
        The manifest.
    """
    config = outputs.config
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        **{field: prepared.manifest[field] for field in ("language", "tokenizer_sha256", "pieces", "max_length",
                                                         "mask_rate")},
        **identity,
        "seed": outputs.seed,
        "batch_tokens": config.batch_tokens,
        "attention": {"layers": outputs.layers, "form": config.attention, "rows": config.attention_rows,
                      "maps_per_layer": outputs.maps_per_layer},
        "splits": {},
    }  # fmt: skip
    out.mkdir(parents=True)
    for split in prepared.manifest["splits"]:
        form = outputs.logit_format(split)
        key = {**{name: value for name, value in manifest.items() if name not in ("splits", "language")},
               "logits": form._asdict(), "torch": torch.__version__, "device": outputs.device.type}  # fmt: skip
        shards = []
        for entry in prepared.shards(split):
            _check_size(entry, prepared, outputs, form, split)
            name = sha256_json({**key, "prepared_sha256": entry["sha256"]})[:32]
            finished = scratch / f"{name}.safetensors"
            if not _is_finished(finished):
                shard = prepared.open(entry)
                arrays = outputs.shard(shard, form, prepared.manifest["pad_id"], progress)
                sha256 = write_arrays(finished, arrays)
                write_json(finished.with_suffix(".json"), {"sha256": sha256})
            else:
                progress.add(entry["tokens"] * prepared.manifest["splits"][split]["mask_variants"], "already cached")
            _place(finished, out / entry["file"])
            shards.append(
                {"file": entry["file"], "prepared_sha256": entry["sha256"], "positions": entry["positions"],
                 "bytes": finished.stat().st_size, "sha256": sha256_file(finished)}
            )  # fmt: skip
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
    return manifest


def _is_finished(path: Path) -> bool:
    """Whether a shard in scratch is there as it was written; a damaged one is computed again."""
    note = path.with_suffix(".json")
    if not (path.is_file() and note.is_file()):
        return False
    if read_json(note, "cache_teacher")["sha256"] == sha256_file(path):
        return True
    log.warning("%s: damaged in scratch; computing it again", path)
    return False


def _place(source: Path, target: Path) -> None:
    """A hard link costs no second copy; where the file system has none, a copy does."""
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())


def prune(scratch: Path, wanted: set[str]) -> None:
    """Remove shards from scratch that no manifest of this run names by checksum."""
    for note in scratch.glob("*.json"):
        if read_json(note, "cache_teacher")["sha256"] not in wanted:
            note.with_suffix(".safetensors").unlink(missing_ok=True)
            note.unlink()


def _check_size(
    entry: dict[str, Any], prepared: Prepared, outputs: TeacherOutputs, form: LogitFormat, split: str
) -> None:
    """A shard stays under 256 MB, so that it can be copied, hashed and computed again in one piece."""
    variants = prepared.manifest["splits"][split]["mask_variants"]
    maps = len(outputs.layers) * outputs.maps_per_layer
    rows = outputs.config.attention_rows
    attention = entry["tokens"] * variants * rows * (2 + maps * (2 + prepared.manifest["max_length"]))
    logits = entry["positions"] * (
        2 * form.pieces if form.form == "full" else
        2 + row_bytes(form.entries, bits_for(form.pieces)) + row_bytes(form.entries, PROB_BITS)
    )  # fmt: skip
    size = attention * bool(maps) + logits
    if size > MAX_SHARD_BYTES:
        room = int(entry["tokens"] * MAX_SHARD_BYTES / size)
        raise UserError(
            f"params.yaml: tokenize.shard_tokens: with these cache_teacher settings a shard of {entry['tokens']:,} "
            f"tokens needs up to {size / 1e6:,.0f} MB, at most {MAX_SHARD_BYTES / 1e6:,.0f} are allowed; set it to "
            f"{room:,} or less"
        )
