"""Measuring a model at work: tokens a second side by side, and the memory of a process that serves it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from distil.serving import cli
from distil.serving.runtime import PaddedBatch, Runtime, each_batch, pad_rows, plan_batches


def thread_counts() -> list[int]:
    """1, and the number of cores where there are more."""
    return sorted({1, os.cpu_count() or 1})


def batches_of(rows: Sequence[Sequence[int]], pad_id: int) -> list[PaddedBatch]:
    """All rows in the batches in which a classifier gets them."""
    return [pad_rows([rows[row] for row in batch], pad_id) for batch in plan_batches(rows, 1)]


def tokens_per_second(
    models: Mapping[str, Runtime], batches: Sequence[PaddedBatch], threads: int, repetitions: int
) -> dict[str, float]:
    """Median tokens a second of each model, padding not counted; one after another in each repetition.

    Args:
        models: each already open with `threads` threads; of torch ones this sets it.
        batches: the same for all.
        threads: for torch.
        repetitions: after one that warms up.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        taken: dict[str, list[float]] = {name: [] for name in models}
        for repetition in range(repetitions + 1):
            for name, model in models.items():
                part = batches if repetition else batches[:1]
                start = time.perf_counter()
                for _ in each_batch(model, part):
                    pass
                if repetition:
                    taken[name].append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    tokens = sum(int(batch.attention_mask.sum()) for batch in batches)
    return {name: round(tokens / median(seconds), 1) for name, seconds in taken.items()}


def serving_cost(folder: Path, texts: Sequence[str], threads: int = 0) -> dict[str, Any]:
    """Cost of `python -m distil.predict` over `texts` in a process of its own (see `--cost` there)."""
    with tempfile.TemporaryDirectory() as name:
        lines, cost = Path(name) / "lines.txt", Path(name) / "cost.json"
        lines.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        command = [sys.executable, "-m", cli.__name__, "--model", str(folder.absolute())]
        root = Path(__file__).absolute().parents[2]
        with lines.open("rb") as stream:
            subprocess.run(
                [*command, "--threads", str(threads), "--cost", str(cost)], stdin=stream, cwd=root, check=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
        return json.loads(cost.read_text(encoding="utf-8"))
