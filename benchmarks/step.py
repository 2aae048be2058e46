"""A student's step from the cache against plain masked-LM training and against steps with the teacher in the loop.

    python -m benchmarks.step [--quick] [--teacher DIR] [--tokenizer DIR] [--text DIR] [--student DIR]

`ratio_to_mlm`: tokens/s of the step from the cache, reading included, over those of masked-LM training of the same
student on the same batches with scores at masked places only. `data_wait_share`: share of the time that the step from
the cache waits for data, which a thread reads one batch ahead, as in training.

`ratio_to_online_full` and `_trimmed`: tokens/s over those of an online step at the shapes of AfroXLMR-Large (24 layers
of 1,024; random weights, which cost the same), all 250,002 pieces or as many as --tokenizer keeps, on the same batch of
full-length sequences whose cached rows are random numbers in memory (reading is in `data_wait_share`). Online is as
toolkits do it, eager attention and scores at every token; `_lean` is the best online step that we can make. Repetitions
in turn, medians. The last line is one JSON object.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from benchmarks.cache_speed import CONFIG, LOSS
from benchmarks.machine import by_size, clock, finish, machine
from benchmarks.material import PAPER, load_student, load_text, parser
from benchmarks.scale_sim import LARGE, Shape
from benchmarks.steps import Work, from_cache, lean_online, online, plain_masked_lm
from distil.cache.format import TeacherCache
from distil.cache.sparse_logits import SparseLogits
from distil.compute.batching import prefetch
from distil.modeling.shape import build_masked_lm
from distil.modeling.tokenizer import load_tokenizer, special_ids, teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.runtime.progress import Progress
from distil.teacher.cache_writer import FinishedShards, write_language_cache
from distil.teacher.outputs import TeacherPass
from distil.training.data_loader import Batch, CachedDataset
from distil.training.objective import LayerPair, Objective

LENGTH = 128
LAYERS = [LayerPair(student=-1, teacher=-1)]


def main() -> None:
    """Print one JSON object."""
    options = parser(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(options.threads)
    repetitions, now = by_size(options, 1, 5, 5), clock(options)
    online_repetitions = by_size(options, 1, 1, repetitions)
    large = by_size(options, Shape(layers=1, hidden=64, intermediate=128, pieces=1_000), LARGE, LARGE)
    pieces = teacher_piece_ids(options.tokenizer)
    special = special_ids(load_tokenizer(options.tokenizer))
    with tempfile.TemporaryDirectory() as name:
        against_mlm = real_text(options, Path(name), repetitions, by_size(options, 1, 1, 6))
    sequences = by_size(options, 1, 1, 4)
    found: dict[str, Any] = {}
    for label, count in (("full", large.pieces), ("trimmed", len(pieces))):
        teacher = untrained(large._replace(pieces=count))
        batch = random_batch(count, sequences)
        works: dict[str, Work] = {}
        student = build_masked_lm(PAPER.shape, special, count, 514)
        works["cache"] = from_cache(student, Objective(student, bare_cache(count), LOSS, LAYERS))
        works["lean"] = lean_online(build_masked_lm(PAPER.shape, special, count, 514), teacher, None)
        lean = timed(works, batch, online_repetitions, now)
        # Eager attention is switched on in the teacher for good, so this comes last.
        works["online"] = online(build_masked_lm(PAPER.shape, special, count, 514), teacher, None)
        del works["lean"]
        usual = timed(works, batch, online_repetitions, now)
        found |= {
            f"ratio_to_online_{label}": ratio(usual, "online"), f"ratio_to_online_{label}_lean": ratio(lean, "lean"),
            f"seconds_{label}": {"cache": round(median(usual["cache"]), 3), "online": round(median(usual["online"]), 3),
                                 "online_lean": round(median(lean["lean"]), 3)},
        }  # fmt: skip
        del teacher, works, student
    finish({
        **against_mlm, **found, "repetitions": repetitions, "online_repetitions": online_repetitions,
        "clock": "cpu" if options.cpu_seconds else "wall", "online_batch": [sequences, LENGTH], "pieces": len(pieces),
        "machine": machine(options.threads),
    })  # fmt: skip


def ratio(seconds: dict[str, list[float]], other: str) -> float:
    """Median over repetitions of another step's seconds over ours."""
    return round(median(theirs / ours for theirs, ours in zip(seconds[other], seconds["cache"], strict=True)), 2)


def timed(works: dict[str, Work], batch: Batch, repetitions: int, now: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each work on the same batch, in turn; each is warmed up once."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for repetition in range(repetitions + 1):
        for name, work in works.items():
            start = now()
            work(batch)
            if repetition:
                seconds[name].append(now() - start)
    return seconds


def real_text(options: Any, folder: Path, repetitions: int, batches: int) -> dict[str, Any]:
    """The step from the cache against masked-LM training, on real text."""
    teacher = load_masked_lm(options.teacher, "teacher")
    students = [load_student(options, teacher) for _ in range(2)]
    tokens = 4096 * batches * 2
    text = load_text(options, folder / "text", tokens, 1)[0]
    outputs = TeacherPass(teacher, teacher_piece_ids(options.tokenizer), CONFIG, 1)
    (folder / "scratch").mkdir()
    shape = {"num_hidden_layers": teacher.config.num_hidden_layers, "max_position_embeddings": 514}
    identity = {"teacher": {"id": "benchmark", "revision": "", "weights_sha256": "", **shape}}
    with Progress("cache", 1, "tokens") as progress:
        write_language_cache(
            text, outputs, identity, folder / "cache", FinishedShards(folder / "scratch", {}), progress
        )
    cache = TeacherCache(folder / "cache", text)
    index = CachedDataset([cache], "train")
    ours = from_cache(students[0], Objective(students[0], cache, LOSS, LAYERS))
    theirs = plain_masked_lm(students[1])
    now = clock(options)
    plan = list(index.epoch_batches(0, 4096, 1.0, 1))[:batches]
    ratios, waits, rates = [], [], []
    for repetition in range(repetitions + 1):
        start, wait = now(), 0.0
        for _, batch, waited in prefetch(plan, index.collate):
            ours(batch)
            wait += waited
        middle = now()
        for _, batch, _ in prefetch(plan, index.collate):
            theirs(batch)
        end = now()
        if repetition:  # the first one warms up
            ratios.append((end - middle) / (middle - start))
            waits.append(wait / (middle - start))
            rates.append(sum(drawn.tokens for drawn in plan) / (middle - start))
    return {"ratio_to_mlm": round(median(ratios), 3), "ratios_to_mlm": [round(value, 3) for value in ratios],
            "data_wait_share": round(median(waits), 4), "tokens_per_second": round(median(rates))}  # fmt: skip


def untrained(shape: Shape) -> XLMRobertaForMaskedLM:
    """A masked language model of a shape with random weights."""
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=shape.pieces, hidden_size=shape.hidden, num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // (64 if shape.hidden > 512 else 32), intermediate_size=shape.intermediate,
        max_position_embeddings=514, type_vocab_size=1, tie_word_embeddings=True,
    )  # fmt: skip
    return XLMRobertaForMaskedLM(config).eval()


def bare_cache(pieces: int) -> TeacherCache:
    """A cache that has the form of a large teacher's and no files: what an Objective asks of it is in its manifest."""
    cache = TeacherCache.__new__(TeacherCache)
    logits = {"form": "sampled", "entries": CONFIG.entries, "pieces": pieces, "sampling_temperature": 2.0}
    cache.manifest = {
        "teacher": {"num_hidden_layers": 24},
        "attention": {"layers": [24], "form": "mean", "rows": CONFIG.attention_rows, "maps_per_layer": 1},
        "splits": {"train": {"logits": logits}, "heldout": {"logits": logits}},
    }
    return cache


def random_batch(pieces: int, sequences: int) -> Batch:
    """Full-length sequences with random ids and random cached rows of the default form."""
    generator = torch.Generator().manual_seed(0)
    masked, rows = sequences * round(0.15 * LENGTH), sequences * LENGTH // 2
    ids = torch.randint(5, pieces, (sequences, LENGTH), generator=generator)
    place = torch.arange(masked)
    kept = torch.rand((masked, CONFIG.entries), generator=generator).log_softmax(dim=-1)
    attention = torch.rand((rows, 1, LENGTH), generator=generator).softmax(dim=-1)
    row = torch.arange(rows)
    return Batch(
        ids, torch.ones_like(ids, dtype=torch.bool), place * sequences // masked, place % LENGTH,
        torch.randint(5, pieces, (masked,), generator=generator),
        SparseLogits(torch.randint(5, pieces, kept.shape, generator=generator), kept, torch.zeros(masked)),
        row * sequences // rows, row % LENGTH, torch.full((rows,), LENGTH), attention,
        torch.zeros(sequences, dtype=torch.int64),
    )  # fmt: skip


if __name__ == "__main__":
    main()
