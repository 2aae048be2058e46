"""A sweep of five values of loss.alpha from one cache against five runs with the teacher in the loop.

    python -m benchmarks.sweep [--quick] [--precision NAME ...] [--teacher DIR] [--tokenizer DIR] [--text DIR]

Three epochs each. `speedup_vs_online`: wall time of five online runs over that of one teacher pass (cache_teacher,
writing included) and five trainings from it. Online is as toolkits do it, eager attention and scores at every token;
`speedup_vs_lean_online` is against the best online step that we can make (benchmarks/steps.py). Runs differ only in a
weight, so online runs cost the same: with --quick one of each is timed and taken five times. The three are taken in
turn, run by run, all in the same precision, and this for each --precision. `share_to_read`: of a run from the cache,
what reading and joining its batches takes, the only work that runs could share. The last line is one JSON object.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from transformers import XLMRobertaForMaskedLM

from benchmarks.cache_speed import CONFIG, LOSS
from benchmarks.machine import by_size, clock, finish, machine
from benchmarks.material import load_student, load_text, parser
from benchmarks.steps import Work, from_cache, lean_online, online
from distil.cache.format import TeacherCache
from distil.compute.batching import prefetch
from distil.compute.precision import Precision
from distil.modeling.tokenizer import teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.runtime.progress import Progress
from distil.teacher.cache_writer import FinishedShards, write_language_cache
from distil.teacher.outputs import TeacherPass
from distil.tokenization.shards import TokenizedDataset
from distil.training.data_loader import CachedDataset
from distil.training.objective import LayerPair, Objective

ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.9)
EPOCHS = 3
BATCH_TOKENS = 1024


def main() -> None:
    """Print one JSON object."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--precision", choices=("float32", "bfloat16"), nargs="+", default=["float32"])
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    teacher, eager = (load_masked_lm(options.teacher, "teacher") for _ in range(2))
    pieces = teacher_piece_ids(options.tokenizer)
    with tempfile.TemporaryDirectory() as name:
        text = load_text(options, Path(name) / "text", by_size(options, 1_000, 2_000, 10_000), EPOCHS)[0]
        found = {}
        for precision in options.precision:
            folder = Path(name) / precision
            (folder / "scratch").mkdir(parents=True)
            found[precision] = sweep(options, folder, (teacher, eager), pieces, text, precision)
    whole = {f"{kind} {precision}": each["whole"][kind] for precision, each in found.items() for kind in each["whole"]}
    finish({
        "speedup_vs_online": {precision: each["speedup"]["online"] for precision, each in found.items()},
        "speedup_vs_lean_online": {precision: each["speedup"]["lean_online"] for precision, each in found.items()},
        "share_to_read": {precision: each["share_to_read"] for precision, each in found.items()},
        "seconds": {precision: each["seconds"] for precision, each in found.items()}, "five_runs_seconds": whole,
        "alphas": ALPHAS, "epochs": EPOCHS, "tokens": text.manifest["splits"]["train"]["tokens"],
        "clock": "cpu" if options.cpu_seconds else "wall", "pieces": len(pieces),
        "teacher_parameters": sum(p.numel() for p in teacher.parameters()), "machine": machine(options.threads),
    })  # fmt: skip


def sweep(
    options: argparse.Namespace, folder: Path, teachers: tuple[XLMRobertaForMaskedLM, XLMRobertaForMaskedLM],
    pieces: np.ndarray, text: TokenizedDataset, precision: Precision,
) -> dict[str, Any]:  # fmt: skip
    """One teacher pass and five trainings from it against five online runs, all in one precision."""
    (teacher, eager), kept, now = teachers, torch.tensor(pieces, dtype=torch.int64), clock(options)
    shape = {"num_hidden_layers": teacher.config.num_hidden_layers, "max_position_embeddings": 514}
    start = now()
    outputs = TeacherPass(teacher, pieces, CONFIG.model_copy(update={"precision": precision}), 1)
    with Progress("cache", 1, "tokens") as progress:
        write_language_cache(
            text, outputs, {"teacher": shape}, folder / "cache", FinishedShards(folder / "scratch", {}), progress
        )
    seconds = {"teacher_pass": [now() - start], "from_cache": [], "online": [], "lean_online": []}
    cache = TeacherCache(folder / "cache", text)
    index = CachedDataset([cache], "train")
    for number, alpha in enumerate(ALPHAS):
        student = load_student(options, teacher)
        loss = LOSS.model_copy(update={"alpha": alpha})
        objective = Objective(student, cache, loss, [LayerPair(student=-1, teacher=-1)])
        seconds["from_cache"].append(training(from_cache(student, objective, precision), index, now))
        if number == 0 or not (options.quick or options.smallest):
            usual = online(load_student(options, teacher), eager, kept, precision)
            seconds["online"].append(training(usual, index, now))
            lean = lean_online(load_student(options, teacher), teacher, kept, precision)
            seconds["lean_online"].append(training(lean, index, now))
    reading = training(lambda batch: None, index, now)
    ours = sum(seconds["teacher_pass"]) + sum(seconds["from_cache"])
    whole = {name: sum(seconds[name]) * len(ALPHAS) / len(seconds[name]) for name in ("online", "lean_online")}
    return {
        "speedup": {name: round(value / ours, 2) for name, value in whole.items()},
        "share_to_read": round(reading / median(seconds["from_cache"]), 4),
        "seconds": {name: [round(value, 1) for value in found] for name, found in seconds.items()},
        "whole": {name: round(value, 1) for name, value in {"cache": ours, **whole}.items()},
    }


def training(work: Work, index: CachedDataset, now: Callable[[], float]) -> float:
    """Seconds of all epochs."""
    start = now()
    for epoch in range(EPOCHS):
        for _, batch, _ in prefetch(index.epoch_batches(epoch, BATCH_TOKENS, 1.0, 1), index.collate):
            work(batch)
    return now() - start


if __name__ == "__main__":
    main()
