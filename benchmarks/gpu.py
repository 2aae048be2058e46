"""What a GPU gives: tokens/s of the stages that need one, and which share of its arithmetic they use.

    python -m benchmarks.gpu [--quick] [--minutes N] [--part NAME ...]

Models have the shapes named and random weights, text is random pieces in sequences of full length, so nothing has to be
downloaded; what is timed is the stages' own code. Parts:

cache: the work of cache_teacher on a shard at AfroXLMR-Large's shape, all 250,002 pieces, beside the bare forward pass
of its encoder on the same batches.
student: a whole step of stage distil (6 layers of 256, 32,000 pieces) on batches that lie on the card.
finetune: a step of 32 rows of 40 tokens, of the student, a laptop teacher and AfroXLMR-Large.
adapt: masked-LM training as `teacher.adapt` does it, masks included, at the two teachers' shapes.

Each in bfloat16 and float32, medians of repetitions in turn. `share_of_peak`: operations counted from the shape (a
training step is three forward passes, the head at masked places only), over those of one large bfloat16 matrix product
on the same card. `peak_gpu_mib`: the most that a part held. What --minutes leave no time for, and what the card has no
memory for, is in `left_out`. Without a GPU it measures the CPU, for a try with --quick. The last line is one JSON
object.
"""

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from transformers import XLMRobertaForMaskedLM

from benchmarks.cache_speed import CONFIG, LOSS, seconds
from benchmarks.machine import finish, machine, plain_parser
from benchmarks.material import PAPER
from benchmarks.scale_sim import LARGE, LENGTH, MASKED, Shape
from benchmarks.step import LAYERS, bare_cache, random_batch, untrained
from benchmarks.steps import from_cache
from distil.compute.precision import Precision, autocast
from distil.finetuning.classifier import load_classifier
from distil.finetuning.config import FineTuningRecipe
from distil.finetuning.encoding import Encoded
from distil.finetuning.trainer import FineTuningRun, TrainingRows
from distil.modeling.shape import build_masked_lm
from distil.modeling.tokenizer import SpecialTokenIds
from distil.runtime.machine import peak_gpu_memory
from distil.runtime.progress import silence_transformers
from distil.teacher.masked_lm import MaskedLMSchedule, Sequences, train_masked_lm
from distil.teacher.outputs import TeacherPass
from distil.tokenization.shards import Shard
from distil.training.objective import Objective

T = TypeVar("T")
SPECIAL = SpecialTokenIds(bos=0, pad=1, eos=2, unk=3, mask=4)
LAPTOP = Shape(12, 384, 1536, 32_367)
STUDENT_PIECES, ROW_TOKENS, BATCH_ROWS = 32_000, 40, 32
PRECISIONS: tuple[Precision, ...] = ("bfloat16", "float32")  # what time may run out for comes last


class Budget:
    """Until when there is time, and what was not measured."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes
        self.left_out: dict[str, str] = {}

    def measure(self, name: str, work: Callable[[], T]) -> T | None:
        """What `work` gives; None, and why in `left_out`, where time or memory is not enough."""
        if time.monotonic() > self._end:
            self.left_out[name] = "no time left"
            return None
        try:
            return work()
        except torch.OutOfMemoryError:
            self.left_out[name] = "out of memory"
            return None


def device() -> torch.device:
    """The GPU, or the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def now() -> float:
    """Wall time, once the GPU has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def in_turn(works: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median seconds of each, after one call that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for repetition in range(repetitions + 1):
        for name, work in works.items():
            taken = seconds(work, now)
            if repetition:
                found[name].append(taken)
    return {name: median(each) for name, each in found.items()}


def model_of(shape: Shape) -> XLMRobertaForMaskedLM:
    """An untrained model, made where it will work."""
    with device():
        return untrained(shape)


def random_shard(pieces: int, sequences: int) -> Shard:
    """Sequences of LENGTH random pieces with one mask variant, in memory."""
    rng = np.random.default_rng(0)
    masked = round(MASKED * LENGTH)
    places = [np.sort(rng.permutation(np.arange(1, LENGTH - 1))[:masked]) for _ in range(sequences)]
    return Shard(
        Path("random"), "0" * 64, rng.integers(5, pieces, sequences * LENGTH).astype(np.uint32),
        np.arange(sequences + 1) * LENGTH, np.arange(sequences + 1)[None] * masked,
        np.concatenate(places).astype(np.uint16), np.full(sequences * masked, SPECIAL.mask, np.uint32),
    )  # fmt: skip


@functools.cache
def peak_flops(quick: bool) -> float:
    """Operations a second of one large bfloat16 matrix product."""
    size = 1024 if quick else 8192
    left, right = (torch.randn(size, size, device=device(), dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 * 10 / min(seconds(lambda: [left @ right for _ in range(10)], now) for _ in range(3))


def share(rate: float, flops: float, quick: bool) -> float:
    """Of the card's peak, at `rate` tokens a second of `flops` operations each."""
    return round(rate * flops / peak_flops(quick), 3)


def cache(quick: bool, budget: Budget) -> dict[str, Any]:
    """The teacher's pass at AfroXLMR-Large's shape."""
    shape = LARGE._replace(layers=1, hidden=64, intermediate=128, pieces=1000) if quick else LARGE
    shard, model = random_shard(shape.pieces, 32 if quick else 1024), model_of(shape)
    ids = torch.from_numpy(shard.ids.astype(np.int64)).view(-1, LENGTH).to(device())
    rows = (512 if quick else 16384) // LENGTH
    rates: dict[str, int] = {}
    for precision in PRECISIONS:
        config = CONFIG.model_copy(update={"batch_tokens": rows * LENGTH, "precision": precision})
        outputs = TeacherPass(model, np.arange(shape.pieces), config, 1)

        def ours(outputs: TeacherPass = outputs) -> None:
            outputs.shard(shard, outputs.logit_format("train"), SPECIAL.pad, lambda tokens: None)

        @torch.inference_mode()
        def bare(precision: Precision = precision) -> None:
            mask = torch.ones(rows, LENGTH, dtype=torch.bool, device=device())
            with autocast(device(), precision):
                for batch in ids.split(rows):
                    model.roberta(batch, attention_mask=mask[: len(batch)])

        works: dict[str, Callable[[], object]] = {f"cache_teacher {precision}": ours, f"encoder {precision}": bare}
        taken = budget.measure(f"cache {precision}", functools.partial(in_turn, works, 1 if quick else 3))
        rates |= {name: round(len(shard.ids) / each) for name, each in (taken or {}).items()}
    flops = {"cache_teacher": shape.forward_flops(LENGTH, MASKED), "encoder": shape.forward_flops(LENGTH, 0)}
    return {
        "tokens_per_second": rates,
        "share_of_peak": {name: share(rate, flops[name.split()[0]], quick) for name, rate in rates.items()},
        "peak_tflops": round(peak_flops(quick) / 1e12, 1), "batch_tokens": rows * LENGTH,
    }  # fmt: skip


def student(quick: bool, budget: Budget) -> dict[str, Any]:
    """A step of stage distil, by tokens in a step and precision."""
    pieces, repeats = (1000, 1) if quick else (STUDENT_PIECES, 20)
    rates: dict[str, int] = {}
    for sequences in (2,) if quick else (16, 64, 256, 1024):
        works: dict[str, Callable[[], object]] = {}
        for precision in PRECISIONS:

            def steps(precision: Precision = precision, sequences: int = sequences) -> Callable[[], object]:
                batch = random_batch(pieces, sequences).to(device())
                model = build_masked_lm(PAPER.shape, SPECIAL, pieces, LENGTH + 2).to(device())  # type: ignore[arg-type]
                objective = Objective(model, bare_cache(pieces), LOSS, LAYERS).to(device())
                step = from_cache(model, objective, precision)
                return lambda: [step(batch) for _ in range(repeats)]

            works[f"{sequences * LENGTH} {precision}"] = steps()
        taken = budget.measure(f"student {sequences * LENGTH}", functools.partial(in_turn, works, 1 if quick else 3))
        rates |= {name: round(int(name.split()[0]) * repeats / each) for name, each in (taken or {}).items()}
    flops = 3 * Shape(6, 256, 1024, pieces).forward_flops(LENGTH, MASKED)
    return {"tokens_per_second": rates, "pieces": pieces,
            "share_of_peak": {name: share(rate, flops, quick) for name, rate in rates.items()}}  # fmt: skip


def finetune(quick: bool, budget: Budget) -> dict[str, Any]:
    """A step of a text classifier, 32 rows of 40 tokens."""
    rng = np.random.default_rng(0)
    labels, rates, shares = ["a", "b", "c"], {}, {}
    shapes = {"6x256": Shape(6, 256, 1024, STUDENT_PIECES), "12x384": LAPTOP, "24x1024": LARGE}
    for name, shape in shapes.items():
        small = shape._replace(layers=1, hidden=64, intermediate=128, pieces=1000) if quick else shape
        rows = BATCH_ROWS * (2 if quick else 15 if shape is LARGE else 60)
        ids = [row.tolist() for row in rng.integers(5, 1000, (rows, ROW_TOKENS))]
        encoded = Encoded(ids, np.arange(rows + 1), np.zeros(rows, np.int64), rng.integers(0, 3, rows),
                          np.zeros(rows, np.int64))  # fmt: skip
        for precision in PRECISIONS:

            def step_seconds(
                small: Shape = small, encoded: Encoded = encoded, precision: Precision = precision
            ) -> float:
                with tempfile.TemporaryDirectory() as folder:
                    model_of(small).cpu().save_pretrained(folder)
                    model = load_classifier(Path(folder), "text_classification", labels, ROW_TOKENS, "distil")
                recipe = FineTuningRecipe(1, 1e-4, "plain", BATCH_ROWS, precision, 0.1, 0.1, 0.01, 1.0, 0.0, None)
                rows_of = TrainingRows("text_classification", labels, ["x"], encoded, {}, SPECIAL.pad)
                run = FineTuningRun(model, rows_of, recipe, 1, "benchmark", Path())
                model.train()
                return median(seconds(functools.partial(run.step, batch), now) for batch in run.rest_of(0))

            if taken := budget.measure(f"finetune {name} {precision}", step_seconds):
                rates[f"{name} {precision}"] = round(BATCH_ROWS / taken)
                flops = 3 * ROW_TOKENS * small.forward_flops(ROW_TOKENS, 0)
                shares[f"{name} {precision}"] = share(BATCH_ROWS / taken, flops, quick)
    return {"rows_per_second": rates, "share_of_peak": shares}


def adapt(quick: bool, budget: Budget) -> dict[str, Any]:
    """Masked-LM training, by shape and precision."""
    rates, shares = {}, {}
    for name, shape in (("12x384", LAPTOP), ("24x1024", LARGE)):
        small = shape._replace(layers=1, hidden=64, intermediate=128, pieces=1000) if quick else shape
        rng, rows = np.random.default_rng(0), 1000
        ids = rng.integers(5, small.pieces, rows * LENGTH).astype(np.int32)
        text = Sequences(ids, np.arange(rows + 1) * LENGTH)
        numbers = (1, 1, 3) if quick else (5, 5, 65) if shape is LAPTOP else (2, 2, 12)
        for precision in PRECISIONS:

            def rate(
                small: Shape = small, text: Sequences = text, numbers: tuple[int, ...] = numbers,
                precision: Precision = precision,
            ) -> float:  # fmt: skip
                model, taken, read = model_of(small), [], []
                schedule = MaskedLMSchedule(1, 512 if quick else 16384, 1e-4, 0.0, MASKED, 1.0, precision)
                # The difference of two trainings: what a model's way to the GPU and back takes is in both.
                for steps in numbers:
                    start = now()
                    done = train_masked_lm(model, {"x": text}, SPECIAL, schedule._replace(steps=steps), 1, "adapt")
                    read.append(done.tokens)
                    taken.append(now() - start)
                return (read[2] - read[1]) / (taken[2] - taken[1])

            if found := budget.measure(f"adapt {name} {precision}", rate):
                rates[f"{name} {precision}"] = round(found)
                flops = 3 * small.forward_flops(LENGTH, MASKED)
                shares[f"{name} {precision}"] = share(found, flops, quick)
    return {"tokens_per_second": rates, "share_of_peak": shares}


PARTS = {"cache": cache, "student": student, "finetune": finetune, "adapt": adapt}


def measured(name: str, quick: bool, budget: Budget) -> dict[str, Any]:
    """A part's figures, with its seconds and what it held of the GPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    figures = PARTS[name](quick, budget)
    held = peak_gpu_memory()
    return {**figures, "peak_gpu_mib": None if held is None else round(held / 2**20),
            "seconds": round(time.perf_counter() - start, 1)}  # fmt: skip


def main() -> None:
    """Print one JSON object."""
    options = plain_parser(__doc__.splitlines()[0])
    options.add_argument("--part", action="append", choices=PARTS, help="only this one; may be given again")
    options.add_argument("--minutes", type=float, default=7.0, help="nothing more is begun after so many")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    silence_transformers()
    budget = Budget(given.minutes)
    result = {name: measured(name, given.quick or given.smallest, budget) for name in given.part or PARTS}
    finish({**result, "left_out": budget.left_out, "machine": machine(given.threads)})


if __name__ == "__main__":
    main()
