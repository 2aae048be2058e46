"""The teacher's outputs on a shard of text, as the arrays of the cache."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import XLMRobertaForMaskedLM

from distil.cache.format import AttentionIndex, LogitEncoding, pack_logits, pack_states
from distil.cache.quantisation import quantise_rows, quantise_states, rotation
from distil.cache.sparse_logits import SparseLogits, sample_logits, top_k_logits
from distil.compute.batching import runs
from distil.compute.distributed import process_device
from distil.compute.precision import autocast
from distil.core.errors import UserError
from distil.modeling.xlm_roberta import AttentionTap, MaskedHead, resolve_layer
from distil.runtime.machine import release_memory
from distil.teacher.cache_config import CacheConfig
from distil.tokenization.shards import MaskedInput, Shard, masked_input

HEAD_ELEMENTS = 2**22  # positions * pieces of which distributions exist at a time on a CPU: 16 MiB


class _Inputs(NamedTuple):
    """A batch on the device."""

    ids: Tensor  # (B, T) int64, the teacher's
    mask: Tensor  # (B, T) bool, true at tokens
    row: Tensor  # (P,) int64, masked places
    column: Tensor  # (P,) int64


class TeacherPass:
    """The teacher with its taps: turns a shard of text into the arrays of the cache."""

    def __init__(
        self, model: XLMRobertaForMaskedLM, teacher_ids: np.ndarray, config: CacheConfig, seed: int,
        others: Sequence[XLMRobertaForMaskedLM] = (),
    ) -> None:  # fmt: skip
        """Taps on a teacher.

        Args:
            model: the teacher, whose attention is kept.
            teacher_ids: (V,) the teacher's id of each of the student's pieces.
            config: what is kept.
            seed: of the draws.
            others: models with the same pieces; what is kept of distributions is then that of a mixture.

        Raises:
            UserError: an attention layer that the teacher does not have.
        """
        self.device = process_device()
        self.model, self._models = model, [model, *others]
        for each in self._models:
            each.to(self.device)  # type: ignore[arg-type]  # transformers hides the signature
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
        self._heads = [MaskedHead(each, self._teacher_ids) for each in self._models]
        self._named = "models/teacher" + " or a model of cache_teacher.ensemble" * bool(others)
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
        weight, bias = (each.detach().cpu().numpy() for each in (self._heads[0].weight, self._heads[0].bias))
        return {"weight": weight @ rotation(weight.shape[1]) if form.form == "hidden4" else weight, "bias": bias}

    @torch.inference_mode()
    def shard(
        self,
        shard: Shard,
        form: LogitEncoding,
        pad_id: int,
        done: Callable[[int], None],
        weights: Sequence[float] = (1.0,),
    ) -> dict[str, np.ndarray]:
        """The arrays of the cache file for one shard of text.

        Args:
            shard: the text.
            form: how distributions are stored.
            pad_id: fills a batch up.
            done: told the tokens of each batch.
            weights: (K,) of the teacher and the models beside it.
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
                    inputs = self._inputs(batch)
                    where = f"{shard.path}, sequences {start} to {stop - 1}"
                    with autocast(self.device, self.config.precision):
                        kept = self._kept(self._hidden(inputs), weights, form, generator, where)
                    rows = [queries[variant][number] for number in sequences]
                    attention = self._attention(rows, inputs.mask)
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

    @torch.inference_mode()
    def true_log_probs(self, shard: Shard, pad_id: int) -> np.ndarray:
        """(K, P) what each model gives to the true pieces at the masked places of a shard, in nats.

        Args:
            shard: the text.
            pad_id: fills a batch up.
        """
        found = []
        for variant in range(shard.variants):
            for start, stop in runs(shard.lengths, self.config.batch_tokens):
                sequences = np.arange(start, stop)
                batch = masked_input(shard, sequences, np.full(len(sequences), variant), pad_id)
                gold = torch.from_numpy(batch.gold).to(self.device)[:, None]
                with autocast(self.device, self.config.precision):
                    for part, true in zip(
                        self._parts(self._hidden(self._inputs(batch))), self._parts([gold]), strict=True
                    ):
                        each = [_log_probs(head, state).gather(1, true[0])[:, 0]
                                for head, state in zip(self._heads, part, strict=True)]  # fmt: skip
                        found.append(torch.stack(each).cpu().numpy())
        return np.concatenate(found, axis=1)

    def _inputs(self, batch: MaskedInput) -> _Inputs:
        ids = self._teacher_ids[torch.from_numpy(batch.input_ids).to(self.device)]
        lengths = torch.from_numpy(batch.lengths).to(self.device)
        mask = torch.arange(ids.shape[1], device=self.device) < lengths[:, None]
        row, column = (
            torch.from_numpy(each).to(self.device) for each in (batch.masked_sequence, batch.masked_position)
        )
        return _Inputs(ids, mask, row, column)

    def _hidden(self, inputs: _Inputs) -> list[Tensor]:
        """K states (P, D) before the heads, the models' outputs at the masked places."""
        return [
            each.roberta(inputs.ids, attention_mask=inputs.mask).last_hidden_state[inputs.row, inputs.column]
            for each in self._models
        ]

    def _kept(
        self, hidden: list[Tensor], weights: Sequence[float], form: LogitEncoding, generator: torch.Generator,
        where: str,
    ) -> SparseLogits | Tensor:  # fmt: skip
        """What is kept at positions whose encoder outputs are `hidden`, on the CPU: entries, or states (P, D).

        Raises:
            UserError: not a number; names the batch, which is `where`.
        """
        if form.keeps_states:
            kept: SparseLogits | Tensor = (values := self._heads[0].states(hidden[0]).float().cpu())
        else:
            parts = [self._entries(part, weights, form, generator) for part in self._parts(hidden)]
            kept = SparseLogits(*(torch.cat(columns).cpu() for columns in zip(*parts, strict=True)))
            values = kept.log_probs
        if not bool(torch.isfinite(values).all()):
            raise UserError(
                f"{self._named}: its output is not a number (NaN or infinite) for {where}; finished shards are kept; "
                "try it on a sentence by hand, and `dvc repro --force teacher` if the weights are damaged"
            )
        return kept

    def _entries(
        self, hidden: Sequence[Tensor], weights: Sequence[float], form: LogitEncoding, generator: torch.Generator
    ) -> SparseLogits:
        """Kept entries of the mixture of the models at some positions, K states (P, D)."""
        each = [_log_probs(head, state) for head, state in zip(self._heads, hidden, strict=True)]
        if len(each) > 1:
            each = [log_probs + math.log(weight) for log_probs, weight in zip(each, weights, strict=True)]
        log_probs = reduce(torch.logaddexp, each)
        if form.form == "top_k":
            return top_k_logits(log_probs, form.entries)
        entries = form.pieces if form.form == "full" else form.entries
        return sample_logits(log_probs, entries, form.sampling_temperature, generator)

    def _parts(self, tensors: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        """Some positions (P, ...) at a time: (P, V) of them fits, in one size that the C library can use again."""
        rows = max(1, HEAD_ELEMENTS // self.pieces) if self.device.type == "cpu" else max(1, len(tensors[0]))
        return zip(*(each.split(rows) for each in tensors), strict=True)

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


def _log_probs(head: MaskedHead, state: Tensor) -> Tensor:
    """(P, V) float32."""
    return head.logits(state).float().log_softmax(dim=-1)


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
