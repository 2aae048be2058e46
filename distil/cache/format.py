"""data/teacher: teacher outputs on disk. The format, its writer and its reader; numpy and json, no torch.

A folder for each language with `manifest.json` and one safetensors file for each shard of data/prepared, of the same
name; docs/internals/cache-format.md specifies both and reads them with numpy alone. P masked positions of the shard in
the order of its mask arrays, K entries, V variants, N sequences, R attention rows, L cached layers, H cached maps a
layer, E = L * H:

    logit_ids          (P, row_bytes(K, id_bits)) uint8, bit-packed ids, the most probable piece first
    logit_log_probs    (P, row_bytes(K, PROB_BITS)) uint8, bit-packed codes of the teacher's log-probability at T = 1
    logit_log_scales   (P,) float16, only `sampled`: c in targets.SparseLogits
    logit_full         (P, pieces) float16 log-probabilities, only `full`, instead of the three above
    logit_states       (P, D) int8 and
    logit_state_scales (P,) float16, only `hidden`, instead of all above: the head's last hidden state, round(127 *
                       number / scale). decoder.safetensors beside the language folders makes every score from it
    logit_states       (P, ceil(D / 2)) uint8 and
    logit_state_scales (P,) float16, only `hidden4`, likewise: the state turned by `rotation`, two numbers a byte, each
                       the nearest of 16 levels times the scale, its root mean square; the decoder is turned as well
    attention_offsets  (V, N + 1) uint32, where the rows of a variant and sequence begin
    attention_rows     (R,) uint16, the query's position in its sequence
    attention_scales   (R, E) float16, the largest probability of the row
    attention_bytes    (V, N + 1) uint64, where the bytes of a variant and sequence begin in
    attention_probs    (bytes,) uint8, for each row and map one byte a key: round(255 * probability / scale)
    input_scales       (R, L) float16 and
    input_codes        (R, L, D) int8, only attention form `inputs`, instead of scales, bytes and probs: what goes into
                       the layer at each token, round(127 * number / scale). From it and the frozen query, key and
                       value projections in projections.safetensors every head's attention is recomputed

Ids stay the student's; log-probabilities are normalised over the kept pieces. Padding is never stored.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distil.cache.bit_packing import bits_for, pack_rows, unpack_rows
from distil.cache.quantisation import quantise_states, quantise_states_4, restore_states, restore_states_4, rotation
from distil.core.arrays import read_arrays
from distil.core.errors import UserError
from distil.core.files import read_json, sha256_file, verify_checksums
from distil.tokenization.shards import Shard, TokenizedDataset, ragged_indices

FORMAT_VERSION = 1
HIDDEN4_VERSION = 2  # of a cache with `hidden4`, which readers of version 1 do not know; the others stay as they were
MADE_BY = "cache_teacher"
PROJECTIONS = "projections.safetensors"
DECODER = "decoder.safetensors"  # beside the folders of the languages
PROB_BITS = 10
LOWEST_LOG_PROB = -32.0  # nats; less is stored as this
_MAX_CODE = 2**PROB_BITS - 1


def encode_log_probs(log_probs: np.ndarray) -> np.ndarray:
    """Codes 0 to 1023 of log-probabilities (…), nats: on the scale of their square root, finest near probability 1."""
    share = np.clip(log_probs / LOWEST_LOG_PROB, 0.0, 1.0)
    return np.rint(np.sqrt(share) * _MAX_CODE).astype(np.int64)


def decode_log_probs(codes: np.ndarray) -> np.ndarray:
    """The inverse of `encode_log_probs`: (…) float32 nats. At probability 0.5 a step is 0.9 %, at 0.001 it is 2.9 %."""
    return (LOWEST_LOG_PROB * np.square(codes.astype(np.float32) / _MAX_CODE)).astype(np.float32)


class LogitEncoding(NamedTuple):
    """How distributions are stored; part of the manifest."""

    form: str  # sampled, top_k, full, hidden or hidden4
    entries: int  # K
    pieces: int
    sampling_temperature: float

    @property
    def keeps_states(self) -> bool:
        """Whether states are stored from which all scores are made."""
        return self.form in ("hidden", "hidden4")

    @property
    def version(self) -> int:
        """Format version of a cache with such distributions."""
        return HIDDEN4_VERSION if self.form == "hidden4" else FORMAT_VERSION

    @property
    def id_bits(self) -> int:
        """Bits of a piece's id."""
        return bits_for(self.pieces)


def pack_logits(
    ids: np.ndarray, log_probs: np.ndarray, log_scales: np.ndarray, form: LogitEncoding
) -> dict[str, np.ndarray]:
    """Arrays of a shard from kept entries: ids (P, K), log_probs (P, K) nats, log_scales (P,)."""
    if form.form == "full":
        dense = np.empty((len(ids), form.pieces), np.float16)
        np.put_along_axis(dense, ids, log_probs.astype(np.float16), axis=1)
        return {"logit_full": dense}
    arrays = {
        "logit_ids": pack_rows(ids, form.id_bits),
        "logit_log_probs": pack_rows(encode_log_probs(log_probs), PROB_BITS),
    }
    if form.form == "sampled":
        arrays["logit_log_scales"] = np.clip(log_scales, -6e4, 6e4).astype(np.float16)
    return arrays


def pack_states(states: np.ndarray, form: LogitEncoding) -> dict[str, np.ndarray]:
    """Arrays of a shard from the head's last hidden states (P, D) float32."""
    four = form.form == "hidden4"
    codes, scales = quantise_states_4(states @ rotation(states.shape[1])) if four else quantise_states(states)
    return {"logit_states": codes, "logit_state_scales": scales}


class AttentionIndex(NamedTuple):
    """Where in each array of a shard the part of variant v and sequence i begins: [v, i]; it ends at [v, i + 1]."""

    positions: np.ndarray  # (V, N + 1)
    rows: np.ndarray  # (V, N + 1) attention rows
    keys: np.ndarray  # (V, N + 1) bytes of attention_probs

    def put(
        self, arrays: dict[str, np.ndarray], part: dict[str, np.ndarray], variant: int, start: int, stop: int
    ) -> None:
        """Copy the part of sequences [start, stop) to its place; an array is made, whole, with its first part.

        So nothing small outlives a batch, between whose tensors it would hold the C library's memory in pieces.
        """
        for name, values in part.items():
            place = self.keys if name == "attention_probs" else self.positions if "logit" in name else self.rows
            if name not in arrays:
                arrays[name] = np.empty((int(place[-1, -1]), *values.shape[1:]), values.dtype)
            arrays[name][int(place[variant, start]) : int(place[variant, stop])] = values


class AttentionBatch(NamedTuple):
    """Cached attention of some sequences: R rows, in the order of the sequences asked for."""

    sequence: np.ndarray  # (R,) int64, which of the sequences asked for
    query: np.ndarray  # (R,) int64, position in it
    lengths: np.ndarray  # (R,) int64 keys
    values: np.ndarray  # (R, E, T) float32 probabilities, 0 at padding; or, form `inputs`, (R, L, D) float32 states


class CachedShard:
    """One file of the cache, open for reading; its rows are numbered as the shard of data/prepared is."""

    def __init__(
        self, path: Path, shard: Shard, form: LogitEncoding, maps: int, decoder: dict[str, np.ndarray]
    ) -> None:
        """`maps` E: cached maps of a row; `decoder`: only where states are kept, see `TeacherCache.decoder`."""
        self._shard, self._form, self._maps, self._decoder = shard, form, maps, decoder
        self._arrays = read_arrays(path, MADE_BY)

    def logits(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Kept entries at masked positions.

        Args:
            rows: (P,) from `prepared.masked_input`.

        Returns:
            ids (P, K) int64, log-probabilities (P, K) float32 nats, log_scales (P,) float32 (0 where none are kept).
        """
        form = self._form
        if form.form == "full":
            log_probs = self._arrays["logit_full"][rows].astype(np.float32)
            ids = np.broadcast_to(np.arange(form.pieces), log_probs.shape)
            return ids, log_probs, np.zeros(len(rows), np.float32)
        if form.keeps_states:
            codes, scales = self._arrays["logit_states"][rows], self._arrays["logit_state_scales"][rows]
            width = self._decoder["weight"].shape[1]
            four = form.form == "hidden4"
            states = restore_states_4(codes, scales, width) if four else restore_states(codes, scales)
            scores = states @ self._decoder["weight"].T
            scores += self._decoder["bias"]
            scores -= scores.max(axis=1, keepdims=True)
            scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
            return np.broadcast_to(np.arange(form.pieces), scores.shape), scores, np.zeros(len(rows), np.float32)
        ids = unpack_rows(self._arrays["logit_ids"][rows], form.entries, form.id_bits)
        codes = unpack_rows(self._arrays["logit_log_probs"][rows], form.entries, PROB_BITS)
        scales = self._arrays.get("logit_log_scales")
        log_scales = np.zeros(len(rows), np.float32) if scales is None else scales[rows].astype(np.float32)
        return ids, decode_log_probs(codes), log_scales

    def attention(self, sequences: np.ndarray, variants: np.ndarray) -> AttentionBatch:
        """Cached rows of sequences (B,) with mask variants (B,); T is the longest of these sequences."""
        lengths = self._shard.lengths[sequences]
        first = self._arrays["attention_offsets"][variants, sequences].astype(np.int64)
        count = self._arrays["attention_offsets"][variants, sequences + 1].astype(np.int64) - first
        rows = ragged_indices(first, count)
        row_lengths = np.repeat(lengths, count)
        queries = self._arrays["attention_rows"][rows].astype(np.int64)
        if "input_codes" in self._arrays:
            states = restore_states(self._arrays["input_codes"][rows], self._arrays["input_scales"][rows])
            return AttentionBatch(np.repeat(np.arange(len(sequences)), count), queries, row_lengths, states)
        start = self._arrays["attention_bytes"][variants, sequences].astype(np.int64)
        codes = self._arrays["attention_probs"][ragged_indices(start, count * self._maps * lengths)]
        probs = np.zeros((len(rows), self._maps, int(lengths.max())), np.float32)
        line = np.arange(len(rows) * self._maps) * probs.shape[2]
        probs.reshape(-1)[ragged_indices(line, np.repeat(row_lengths, self._maps))] = codes
        scales = self._arrays["attention_scales"][rows].astype(np.float32)
        probs *= (scales / 255.0)[:, :, None]
        return AttentionBatch(np.repeat(np.arange(len(sequences)), count), queries, row_lengths, probs)


class TeacherCache:
    """The cache of one language, open for reading and checked against the text that it was made from."""

    def __init__(self, folder: Path, prepared: TokenizedDataset) -> None:
        """Open and check.

        Raises:
            UserError: names the first field or file that does not fit, what was expected and what was found.
        """
        self.folder, self.prepared = folder, prepared
        verify_checksums(folder, MADE_BY)
        self.manifest: dict[str, Any] = read_json(folder / "manifest.json", MADE_BY)
        # A manifest without splits is one of another version.
        forms = {split["logits"]["form"] for split in self.manifest.get("splits", {}).values()}
        version = HIDDEN4_VERSION if "hidden4" in forms else FORMAT_VERSION
        self._check("format_version", version, self.manifest.get("format_version"))
        for field in ("language", "tokenizer_sha256", "pieces", "max_length", "mask_rate"):
            self._check(field, prepared.manifest[field], self.manifest.get(field))
        for split in prepared.manifest["splits"]:
            expected = [entry["sha256"] for entry in prepared.shards(split)]
            found = [entry["prepared_sha256"] for entry in self.manifest["splits"][split]["shards"]]
            self._check(f"splits.{split}.shards: number", len(expected), len(found))
            for number, pair in enumerate(zip(expected, found, strict=True)):
                self._check(f"splits.{split}.shards.{number}.prepared_sha256", *pair)

    def _check(self, field: str, expected: Any, found: Any) -> None:
        if expected != found:
            raise UserError(
                f"{self.folder}/manifest.json: {field}: expected {expected}, found {found}; the cache was made from "
                f"other text or by another version: `dvc repro --force {MADE_BY}` makes it again"
            )

    @property
    def layers(self) -> list[int]:
        """Teacher layers whose attention is kept, counted from 1."""
        return self.manifest["attention"]["layers"]

    @property
    def heads(self) -> int:
        """Maps of each layer: 1 for the mean, the teacher's heads otherwise."""
        return self.manifest["attention"]["maps_per_layer"]

    @property
    def attention_form(self) -> str:
        """mean, heads or inputs."""
        return self.manifest["attention"]["form"]

    def projections(self) -> dict[str, np.ndarray]:
        """Form `inputs`: LAYER.{query,key,value}.{weight,bias} of the cached layers, float32; else nothing."""
        return read_arrays(self.folder / PROJECTIONS, MADE_BY) if self.attention_form == "inputs" else {}

    def decoder(self) -> dict[str, np.ndarray]:
        """Where states are kept: weight (pieces, D) and bias (pieces,) that make scores of them; else nothing."""
        hidden = "decoder_sha256" in self.manifest
        return read_arrays(self.folder.parent / DECODER, MADE_BY) if hidden else {}

    def logit_format(self, split: str) -> LogitEncoding:
        """How a split's distributions are stored."""
        return LogitEncoding(**self.manifest["splits"][split]["logits"])

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            UserError: names the first file that is missing or not as it was written.
        """
        files = [entry for split in self.manifest["splits"].values() for entry in split["shards"]]
        if self.attention_form == "inputs":
            files.append({"file": PROJECTIONS, "sha256": self.manifest["attention"]["projections_sha256"]})
        if "decoder_sha256" in self.manifest:
            files.append({"file": f"../{DECODER}", "sha256": self.manifest["decoder_sha256"]})
        for entry in files:
            path = self.folder / entry["file"]
            found = sha256_file(path) if path.is_file() else "no file"
            if found != entry["sha256"]:
                raise UserError(
                    f"{path}: sha256: expected {entry['sha256'][:12]}, found {found[:12]}; the file is damaged "
                    "or of "
                    f"another run: `dvc repro --force {MADE_BY}` makes it again"
                )

    def open(self, split: str, number: int) -> tuple[Shard, CachedShard]:
        """Shard `number` of a split: the text and what is cached of it."""
        shard = self.prepared.open(self.prepared.shards(split)[number])
        path = self.folder / self.manifest["splits"][split]["shards"][number]["file"]
        maps = len(self.layers) * self.heads
        return shard, CachedShard(path, shard, self.logit_format(split), maps, self.decoder())
