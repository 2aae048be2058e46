"""The teacher's outputs on a shard of text, as the arrays of the cache."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers import XLMRobertaForMaskedLM

from distil.cache.format import AttentionIndex, LogitEncoding, pack_logits, pack_states
from distil.cache.quantisation import quantise_rows, quantise_states, rotation
from distil.cache.sparse_logits import SparseLogits, sample_logits, top_k_logits
from distil.compute.batching import runs
from distil.compute.distributed import process_device
from distil.compute.precision import Precision, autocast
from distil.core.errors import UserError
from distil.core.params import Params
from distil.modeling.xlm_roberta import AttentionTap, MaskedHead, resolve_layer
from distil.runtime.machine import release_memory
from distil.tokenization.shards import Shard, masked_input

HEAD_ELEMENTS = 2**22  # positions * pieces of which distributions exist at a time on a CPU: 16 MiB


class CacheConfig(Params):
    """Section `cache_teacher:` of params.yaml."""

    logits: Literal["sampled", "top_k", "full", "hidden", "hidden4"]
    entries: int = Field(ge=1, le=1000)
    heldout_entries: int = Field(ge=1, le=1000)
    sampling_temperature: float = Field(gt=0, le=100)
    attention_layers: tuple[int, ...]
    attention: Literal["mean", "heads", "inputs"]
    attention_rows: float = Field(gt=0, le=1)
    batch_tokens: int = Field(ge=512)
    precision: Precision

    @model_validator(mode="after")
    def _inputs_are_whole(self) -> "CacheConfig":
        if self.attention == "inputs" and self.attention_rows < 1:
            raise ValueError("attention inputs: keys are made from every row, so attention_rows must be 1")
        return self


class TeacherPass:
    """The teacher with its taps: turns a shard of text into the arrays of the cache."""

    def __init__(self, model: XLMRobertaForMaskedLM, teacher_ids: np.ndarray, config: CacheConfig, seed: int) -> None:
        """`teacher_ids` (V,): the teacher's id of each of the student's pieces.

        Raises:
            UserError: an attention layer that the teacher does not have.
        """
        self.device = process_device()
        self.model = model
        self.model.to(self.device)  # type: ignore[arg-type]  # transformers hides the signature
        self.config, self.seed, self.pieces = config, seed, len(teacher_ids)
        layers = model.config.num_hidden_layers
        self.layers = [
            resolve_layer(layer, layers, "params.yaml: cache_teacher.attention_layers")
            for layer in config.attention_layers
        ]
        # Maps kept of a layer; with `inputs` the heads are recomputed from each row's D numbers.
        self.maps_per_layer = {
            "mean": 1, "heads": model.config.num_attention_heads, "inputs": model.config.num_attention_heads,
        }[config.attention]  # fmt: skip
        self._maps = len(self.layers) * self.maps_per_layer
        self._teacher_ids = torch.from_numpy(teacher_ids.astype(np.int64)).to(self.device)
        self._head = MaskedHead(model, self._teacher_ids)
        self._tap = AttentionTap(model, self.layers)
        self.waited = 0.0  # seconds for input, and for packing that was not done in time

    def logit_format(self, split: str) -> LogitEncoding:
        """How this split's distributions are stored."""
        entries = self.config.heldout_entries if split == "heldout" else self.config.entries
        return LogitEncoding(
            self.config.logits, min(entries, self.pieces), self.pieces, self.config.sampling_temperature
        )

    def projections(self) -> dict[str, np.ndarray]:
        """With `inputs`: the layers' frozen query, key and value projections, float32."""
        if self.config.attention != "inputs":
            return {}
        return {
            f"{layer}.{name}.{part}": tensor.detach().cpu().numpy()
            for layer in self.layers
            for name, module in self._tap.projections(layer).items()
            for part, tensor in module.named_parameters()
        }

    def decoder(self) -> dict[str, np.ndarray]:
        """Where states are kept: what makes scores of them, weight (V, D) and bias (V,), float32."""
        form = self.logit_format("train")
        if not form.keeps_states:
            return {}
        weight, bias = (each.detach().cpu().numpy() for each in (self._head.weight, self._head.bias))
        return {"weight": weight @ rotation(weight.shape[1]) if form.form == "hidden4" else weight, "bias": bias}

    @torch.inference_mode()
    def shard(
        self, shard: Shard, form: LogitEncoding, pad_id: int, done: Callable[[int], None]
    ) -> dict[str, np.ndarray]:
        """The arrays of the cache file for one shard of text.

        Args:
            shard: the text.
            form: how distributions are stored.
            pad_id: fills a batch up.
            done: told the tokens of each batch.
        """
        rng = np.random.default_rng([self.seed, int(shard.sha256[:15], 16)])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        queries = [_draw_rows(shard.lengths, self.config.attention_rows, rng) for _ in range(shard.variants)]
        counts = np.array([[len(rows) for rows in variant] for variant in queries])  # (V, N)
        places = AttentionIndex(shard.mask_offsets, _starts(counts), _starts(counts * shard.lengths * self._maps))
        arrays: dict[str, np.ndarray] = {}
        waiting: Future[None] | None = None
        # Packing a batch overlaps with the teacher's work on the next one; at most one waits.
        with ThreadPoolExecutor(1) as packer:
            for variant in range(shard.variants):
                for start, stop in runs(shard.lengths, self.config.batch_tokens):
                    sequences = np.arange(start, stop)
                    asked = time.monotonic()
                    batch = masked_input(shard, sequences, np.full(len(sequences), variant), pad_id)
                    self.waited += time.monotonic() - asked
                    input_ids = self._teacher_ids[torch.from_numpy(batch.input_ids).to(self.device)]
                    lengths = torch.from_numpy(batch.lengths).to(self.device)
                    mask = torch.arange(input_ids.shape[1], device=self.device) < lengths[:, None]
                    row = torch.from_numpy(batch.masked_sequence).to(self.device)
                    column = torch.from_numpy(batch.masked_position).to(self.device)
                    where = f"{shard.path}, sequences {start} to {stop - 1}"
                    with autocast(self.device, self.config.precision):
                        hidden = self.model.roberta(input_ids, attention_mask=mask).last_hidden_state
                        kept = self._kept(hidden[row, column], form, generator, where)
                    rows = [queries[variant][number] for number in sequences]
                    attention = self._attention(rows, mask)
                    if waiting:
                        asked = time.monotonic()
                        waiting.result()
                        self.waited += time.monotonic() - asked
                    waiting = packer.submit(
                        lambda *packed, at=(variant, start, stop): places.put(arrays, self._pack(*packed), *at),
                        kept, form, attention, rows, batch.lengths,
                    )  # fmt: skip
                    done(int(batch.lengths.sum()))
                    release_memory()
            if waiting:
                waiting.result()
        if self.layers:
            arrays["attention_offsets"] = places.rows.astype(np.uint32)
            if self.config.attention != "inputs":
                arrays["attention_bytes"] = places.keys.astype(np.uint64)
        return arrays

    def _kept(
        self, hidden: Tensor, form: LogitEncoding, generator: torch.Generator, where: str
    ) -> SparseLogits | Tensor:
        """What is kept at positions whose encoder output is `hidden` (P, D), on the CPU: entries, or states (P, D).

        Raises:
            UserError: not a number; names the batch, which is `where`.
        """
        if form.keeps_states:
            kept: SparseLogits | Tensor = (values := self._head.states(hidden).float().cpu())
        else:
            # (P, V) exists for some positions at a time, in pieces of one size that the C library can use again.
            rows = max(1, HEAD_ELEMENTS // self.pieces) if self.device.type == "cpu" else max(1, len(hidden))
            parts = [self._entries(part, form, generator) for part in hidden.split(rows)]
            kept = SparseLogits(*(torch.cat(columns).cpu() for columns in zip(*parts, strict=True)))
            values = kept.log_probs
        if not bool(torch.isfinite(values).all()):
            raise UserError(
                f"models/teacher: its output is not a number (NaN or infinite) for {where}; finished shards are kept; "
                "try it on a sentence by hand, and `dvc repro --force teacher` if the weights are damaged"
            )
        return kept

    def _entries(self, hidden: Tensor, form: LogitEncoding, generator: torch.Generator) -> SparseLogits:
        """Kept entries at some positions, (P, D)."""
        log_probs = self._head.logits(hidden).float().log_softmax(dim=-1)
        if form.form == "top_k":
            return top_k_logits(log_probs, form.entries)
        entries = form.pieces if form.form == "full" else form.entries
        return sample_logits(log_probs, entries, form.sampling_temperature, generator)

    def _pack(
        self, kept: SparseLogits | Tensor, form: LogitEncoding, attention: np.ndarray | None, queries: list[np.ndarray],
        lengths: np.ndarray,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """One batch's share of each array."""
        if isinstance(kept, Tensor):
            arrays = pack_states(kept.numpy(), form)
        else:
            arrays = pack_logits(kept.ids.numpy(), kept.log_probs.numpy(), kept.log_scale.numpy(), form)
        if attention is None:
            return arrays
        arrays["attention_rows"] = np.concatenate(queries).astype(np.uint16)
        if self.config.attention == "inputs":
            arrays["input_codes"], arrays["input_scales"] = quantise_states(attention)
            return arrays
        codes, arrays["attention_scales"] = quantise_rows(attention)
        keys = np.repeat(lengths, [len(rows) for rows in queries])[:, None, None]
        arrays["attention_probs"] = codes[np.broadcast_to(np.arange(codes.shape[2]) < keys, codes.shape)]
        return arrays

    def _attention(self, queries: list[np.ndarray], mask: Tensor) -> np.ndarray | None:
        """Attention rows (R, E, T), or with `inputs` the layers' inputs (R, L, D); None without layers."""
        if not self.layers:
            return None
        row = torch.from_numpy(np.repeat(np.arange(len(queries)), [len(rows) for rows in queries])).to(self.device)
        column = torch.from_numpy(np.concatenate(queries).astype(np.int64)).to(self.device)
        if self.config.attention == "inputs":
            return torch.stack([self._tap.inputs(layer)[row, column] for layer in self.layers], dim=1).cpu().numpy()
        maps = [self._tap.probs(layer, row, column, mask) for layer in self.layers]
        if self.config.attention == "mean":
            maps = [probs.mean(dim=1, keepdim=True) for probs in maps]
        return torch.cat(maps, dim=1).cpu().numpy()


def _draw_rows(lengths: np.ndarray, share: float, rng: np.random.Generator) -> list[np.ndarray]:
    """For each sequence the queries whose rows are kept: an even draw of ceil(share * length) of them, sorted."""
    if share == 1.0:
        return [np.arange(length) for length in lengths]
    return [np.sort(rng.permutation(length)[: int(np.ceil(share * length))]) for length in lengths]


def _starts(counts: np.ndarray) -> np.ndarray:
    """(V, N) counts -> (V, N + 1): where each begins, and where the variant ends, counted through all variants."""
    ends = np.cumsum(counts.reshape(-1)).reshape(counts.shape)
    first = np.concatenate([[0], ends[:-1, -1]])
    return np.concatenate([first[:, None], ends], axis=1)
