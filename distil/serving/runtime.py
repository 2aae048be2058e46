"""From token ids to logits by ONNX Runtime, in padded batches of like length that are computed side by side.

torch is imported only for a folder that has nothing but model.safetensors. Legend: B rows, T tokens, C labels or
pieces.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import onnxruntime

from distil.compute.batching import BATCH_TOKENS, by_length
from distil.core.errors import UserError
from distil.serving.model_info import GRAPHS, Card, check_sha256

BATCH_LOGITS = 2**23  # 32 MiB: a masked language model gives a number for each piece at each token
# The fused kernel takes nine times as long as the addition and the normalisation it replaces (docs/internals/log.md).
SLOW_FUSIONS = ["SkipLayerNormFusion"]
LANGUAGE_INPUT = "language"  # of a graph with language experts, optional: (1,) the number of all texts' language
NGRAMS_KEY = "ngrams"  # in the metadata of a graph that has an n-gram table in it


class PaddedBatch(NamedTuple):
    """Padded rows."""

    input_ids: np.ndarray  # (B, T) int64
    attention_mask: np.ndarray  # (B, T) int64, 1 for a token


class Runtime(Protocol):
    """What computes logits."""

    workers: int  # batches that are computed side by side

    def logits(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """From (B, T) int64 ids and mask (1 for a token), float32: (B, C) of a text classifier, (B, D) vectors of a
        sentence encoder, else (B, T, C).
        """


def session_options() -> onnxruntime.SessionOptions:
    """One thread, and no memory kept: shapes differ from batch to batch, so an arena would keep room for each."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return options


class OnnxRuntime:
    """model.onnx or model.ort on the CPU."""

    def __init__(self, path: Path, threads: int = 0, language: int | None = None) -> None:
        """Open `path` for `threads` batches at a time, 0 for one a core; each is computed by one thread.

        `language`: of a graph with language experts, the number of all texts' language; None: its gate decides.

        Threads that share a batch wait for each other in every operator of so small a model: 10,000 tweets take two
        cores 11 s so, and 9 s with a batch each.

        Raises:
            UserError: ONNX Runtime does not read it, or a language is given and the graph has no input for it.
        """
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), session_options(), providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS
            )
        except Exception as error:  # onnxruntime raises a dozen classes with no common base but this
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: damaged ({reason}); export or download the folder again") from None
        self.workers = threads or os.cpu_count() or 1
        names = {node.name for node in self._session.get_inputs()}
        if names != {"input_ids", "attention_mask"}:
            raise UserError(
                f"{path}: expected the inputs input_ids and attention_mask, found {', '.join(sorted(names))}; export "
                "it with `dvc repro export`"
            )
        self._more: dict[str, np.ndarray] = {}
        if language is not None:
            if LANGUAGE_INPUT not in [node.name for node in self._session.get_overridable_initializers()]:
                raise UserError(
                    f"{path}: expected a graph with language experts, which the model in this folder has, found none "
                    "in it; export it with `dvc repro --force export`"
                )
            self._more = {LANGUAGE_INPUT: np.array([language], np.int64)}
        self._outputs = [node.name for node in self._session.get_outputs()]
        self.ngrams = NGRAMS_KEY in self._session.get_modelmeta().custom_metadata_map

    def logits(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """As `Runtime.logits`."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, **self._more}
        return self._session.run(self._outputs, inputs)[0]


def open_runtime(folder: Path, card: Card, threads: int = 0, language: str | None = None) -> Runtime:
    """model.onnx or model.ort, where the folder has one, else model.safetensors through torch.

    `language` is that of all texts; a model with language experts takes its expert, others do not read it.

    Raises:
        UserError: damaged, not the file that the manifest was written for, or without the n-gram table that the model
            has.
    """
    number = card.gated.index(language) if language in card.gated else None
    path = next((folder / name for name in GRAPHS if (folder / name).is_file()), None)
    if path is None:
        from distil.serving.torch_runtime import TorchRuntime

        return TorchRuntime(folder, card.kind, threads, language=number)
    check_sha256(folder, card, path.name)
    runtime = OnnxRuntime(path, threads, number)
    if card.ngrams and not runtime.ngrams:
        raise UserError(
            f"{path}: expected a graph with an n-gram table, which the model in this folder has, found none in it; "
            "export it with `dvc repro --force export`"
        )
    return runtime


def each_batch(runtime: Runtime, batches: Iterable[PaddedBatch]) -> Iterator[np.ndarray]:
    """The logits of each batch, in order; as many at a time as the runtime has workers."""
    with ThreadPoolExecutor(runtime.workers) as pool:
        waiting: deque[Future[np.ndarray]] = deque()
        for batch in batches:
            waiting.append(pool.submit(runtime.logits, *batch))
            if len(waiting) > runtime.workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def plan_batches(rows: Sequence[Sequence[int]], outputs: int) -> Iterator[np.ndarray]:
    """Numbers of the rows of each batch: like lengths together, so that there is little padding.

    Args:
        rows: token ids.
        outputs: C, which bounds what a masked language model gives at once.
    """
    lengths = np.array([len(row) for row in rows], np.int64)
    return by_length(lengths, min(BATCH_TOKENS["cpu"], BATCH_LOGITS // outputs))


def pad_rows(rows: Sequence[Sequence[int]], pad_id: int) -> PaddedBatch:
    """Rows of token ids as one batch."""
    lengths = np.array([len(row) for row in rows], np.int64)
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, np.int64)
    ids[mask] = np.concatenate([np.asarray(row) for row in rows])
    return PaddedBatch(ids, mask.astype(np.int64))


def each_row(
    runtime: Runtime, rows: Sequence[Sequence[int]], pad_id: int, outputs: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(row, its logits) of token ids, in batches of like length: (C,) of a text classifier, else (T, C)."""
    plan = list(plan_batches(rows, outputs))
    padded = (pad_rows([rows[row] for row in batch], pad_id) for batch in plan)
    # Starting the threads takes as long as half of a short text.
    computed = each_batch(runtime, padded) if len(plan) > 1 else (runtime.logits(*batch) for batch in padded)
    for batch, logits in zip(plan, computed, strict=True):
        for row, found in zip(batch.tolist(), logits, strict=True):
            yield row, found if found.ndim == 1 else found[: len(rows[row])]
