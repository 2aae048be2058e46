"""A sweep of five values of loss.alpha from one cache against five runs with the teacher in the loop.

    python -m benchmarks.sweep [--quick] [--teacher DIR] [--tokenizer DIR] [--text DIR]

Three epochs each. `speedup_vs_online`: wall time of five online runs over that of one teacher pass (cache_teacher,
writing included) and five trainings from it. Online is as toolkits do it, eager attention and scores at every token;
`speedup_vs_lean_online` is against the best online step that we can make (benchmarks/steps.py). Runs differ only in a
weight, so online runs cost the same: with --quick one of each is timed and taken five times. The three are taken in
turn, run by run. The last line is one JSON object.
"""

import tempfile
import time
from pathlib import Path

import torch

from benchmarks.cache_speed import CONFIG, LOSS
from benchmarks.machine import by_size, finish, machine
from benchmarks.material import load_student, load_text, parser
from benchmarks.steps import Work, from_cache, lean_online, online
from distil.cache.format import TeacherCache
from distil.compute.batching import prefetch
from distil.modeling.tokenizer import teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.runtime.progress import Progress
from distil.teacher.cache_writer import FinishedShards, write_language_cache
from distil.teacher.outputs import TeacherPass
from distil.training.data_loader import CachedDataset
from distil.training.objective import LayerPair, Objective

ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.9)
EPOCHS = 3
BATCH_TOKENS = 1024


def main() -> None:
    """Print one JSON object."""
    options = parser(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(options.threads)
    teacher, eager = (load_masked_lm(options.teacher, "teacher") for _ in range(2))
    pieces = teacher_piece_ids(options.tokenizer)
    kept = torch.tensor(pieces, dtype=torch.int64)
    with tempfile.TemporaryDirectory() as name, Progress("cache", 1, "tokens") as progress:
        folder = Path(name)
        text = load_text(options, folder / "text", by_size(options, 1_000, 2_000, 10_000), EPOCHS)[0]
        (folder / "scratch").mkdir()
        shape = {"num_hidden_layers": teacher.config.num_hidden_layers, "max_position_embeddings": 514}
        start = time.perf_counter()
        outputs = TeacherPass(teacher, pieces, CONFIG, 1)
        write_language_cache(
            text, outputs, {"teacher": shape}, folder / "cache", FinishedShards(folder / "scratch", {}), progress
        )
        seconds = {"teacher_pass": [time.perf_counter() - start], "from_cache": [], "online": [], "lean_online": []}
        cache = TeacherCache(folder / "cache", text)
        index = CachedDataset([cache], "train")
        for number, alpha in enumerate(ALPHAS):
            student = load_student(options, teacher)
            loss = LOSS.model_copy(update={"alpha": alpha})
            objective = Objective(student, cache, loss, [LayerPair(student=-1, teacher=-1)])
            seconds["from_cache"].append(training(from_cache(student, objective), index))
            if number == 0 or not (options.quick or options.smallest):
                seconds["online"].append(training(online(load_student(options, teacher), eager, kept), index))
                lean = lean_online(load_student(options, teacher), teacher, kept)
                seconds["lean_online"].append(training(lean, index))
    ours = sum(seconds["teacher_pass"]) + sum(seconds["from_cache"])
    whole = {name: sum(seconds[name]) * len(ALPHAS) / len(seconds[name]) for name in ("online", "lean_online")}
    finish({
        "speedup_vs_online": round(whole["online"] / ours, 2),
        "speedup_vs_lean_online": round(whole["lean_online"] / ours, 2),
        "seconds": {name: [round(value, 1) for value in found] for name, found in seconds.items()},
        "alphas": ALPHAS, "epochs": EPOCHS, "tokens": int(index.length.sum()), "pieces": len(pieces),
        "teacher_parameters": sum(p.numel() for p in teacher.parameters()), "machine": machine(options.threads),
    })  # fmt: skip


def training(work: Work, index: CachedDataset) -> float:
    """Wall seconds of all epochs."""
    start = time.perf_counter()
    for epoch in range(EPOCHS):
        for _, batch, _ in prefetch(index.epoch_batches(epoch, BATCH_TOKENS, 1.0, 1), index.collate):
            work(batch)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
