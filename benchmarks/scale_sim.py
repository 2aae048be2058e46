"""What a corpus of any size would take: predicted from rates, and the prediction checked against real runs.

    python -m benchmarks.scale_sim [--quick] [--threads N] [--tokenizer DIR] [--text DIR]

Two parts. `check`: rates of tokenising, caching and training are measured at 50,000 and 200,000 tokens (teacher and
student of one layer of 32, so that ten million tokens end), the simulation predicts 0.1, 1 and 10 million, and real
runs stand beside it; --quick goes to 0.1 and 0.4 million. `sums`: AfroXLMR-Large over 10 million, 1 billion and 10
billion tokens. Arithmetic and bytes are counted from the shapes; rates of text come from the check; what a GPU gives
the teacher was measured once (TEACHER_FLOPS); what it gives the paper's student, a network and an hour of either is
assumed: ASSUMED below says so, with where each figure is from. The last line is one JSON object.
"""

import tempfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.machine import by_size, finish, machine
from benchmarks.material import parser
from benchmarks.scaling import SHAPE, STAGES, measure
from distil.cache.bit_packing import bits_for, row_bytes
from distil.cache.format import PROB_BITS

TINY = {**SHAPE, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
SIZES = (10_000_000, 1_000_000_000, 10_000_000_000)


class Shape(NamedTuple):
    """A masked language model, as far as its arithmetic goes."""

    layers: int
    hidden: int
    intermediate: int
    pieces: int

    def forward_flops(self, length: int, masked: float) -> float:
        """Floating-point operations a token of a sequence of `length`, with the head at the share `masked` of them.

        Multiplications and additions of the matrix products: four projections, two of the feed-forward layer, scores
        and their sums over the values; the head's dense layer and the decoder.
        """
        products = 4 * self.hidden**2 + 2 * self.hidden * self.intermediate + 2 * length * self.hidden
        head = self.hidden**2 + self.hidden * self.pieces
        return 2.0 * (self.layers * products + masked * head)

    @property
    def parameters(self) -> int:
        """Of the matrices: layers, words, the head's dense layer."""
        per_layer = 4 * self.hidden**2 + 2 * self.hidden * self.intermediate
        return self.layers * per_layer + self.hidden * self.pieces + self.hidden**2


LARGE = Shape(24, 1024, 4096, 250_002)  # AfroXLMR-Large
STUDENT = Shape(6, 256, 1024, 250_002)  # the paper's

# Of the pipeline's defaults: params.yaml.
LENGTH, MASKED, VARIANTS, ENTRIES, ROWS, BATCH_TOKENS, EPOCHS = 128, 0.15, 2, 20, 0.5, 2048, 2
# Measured, docs/internals/cache-format.md: a token and variant with every row, mean over heads, at length 128.
ATTENTION_BYTES = 132

# Operations a second of cache_teacher at AfroXLMR-Large's shape: python -m benchmarks.gpu --part cache on an NVIDIA
# H200, 2026-11-27, commit 1372fd0 (docs/internals/performance.md).
TEACHER_FLOPS = {"float32": 41.2e12, "bfloat16": 179.6e12}

ASSUMED: dict[str, tuple[float, str]] = {
    "float32_flops": (67e12, "H100 SXM, NVIDIA's data sheet; the student computes in float32"),
    "memory_bytes_per_second": (3.35e12, "the same card"),
    "student_utilisation": (0.1, "a guess at small ones"),
    "dollars_per_gpu_hour": (2.5, "a guess; take your own"),
    "network_bytes_per_second": (125e6, "1 Gbit/s"),
    "dollars_per_gigabyte_month": (0.023, "a guess at object storage; take your own"),
    "bytes_of_text_a_token": (4.0, "a guess; Swahili in the tokenizer of the check has fewer"),
}


class Rate(NamedTuple):
    """A stage's seconds: what it takes anyway, and for each token."""

    fixed: float
    per_token: float

    def seconds(self, tokens: float) -> float:
        """For a corpus of `tokens`."""
        return self.fixed + self.per_token * tokens


def fit(small: tuple[float, float], large: tuple[float, float]) -> Rate:
    """The line through two measurements (tokens, seconds); a stage takes nothing less than its tokens do."""
    per_token = (large[1] - small[1]) / (large[0] - small[0])
    if per_token <= 0:  # noise: the larger run was the faster one
        return Rate(0.0, large[1] / large[0])
    return Rate(max(0.0, small[1] - per_token * small[0]), per_token)


def cache_bytes_per_token(pieces: int) -> float:
    """Of data/teacher, for a token of text."""
    position = 2 + row_bytes(ENTRIES, bits_for(pieces)) + row_bytes(ENTRIES, PROB_BITS)
    return VARIANTS * (ROWS * ATTENTION_BYTES + MASKED * position)


def prepared_bytes_per_token(pieces: int) -> float:
    """Of data/prepared: the id, and for each masked place its position and what stands there."""
    width = 2 if pieces <= 2**16 else 4
    return width + VARIANTS * MASKED * (2 + width)


def sums(tokens: int, rates: Mapping[str, Rate], teacher: Shape = LARGE, student: Shape = STUDENT) -> dict[str, float]:
    """What a corpus of `tokens` takes with one GPU and one process for the text."""
    assumed = {name: value for name, (value, _) in ASSUMED.items()}
    teacher_flops = tokens * VARIANTS * teacher.forward_flops(LENGTH, MASKED)
    hours, bf16_hours = (teacher_flops / TEACHER_FLOPS[name] / 3600 for name in ("float32", "bfloat16"))
    # Forward and backward; and in each step AdamW reads and writes weights, gradients and moments: 8 times 4 bytes.
    trained = EPOCHS * tokens
    student_seconds = (
        3
        * trained
        * student.forward_flops(LENGTH, MASKED)
        / (assumed["float32_flops"] * assumed["student_utilisation"])
        + trained / BATCH_TOKENS * student.parameters * 32 / assumed["memory_bytes_per_second"]
    )
    cache, prepared = tokens * cache_bytes_per_token(student.pieces), tokens * prepared_bytes_per_token(student.pieces)
    text = tokens * assumed["bytes_of_text_a_token"]
    gpu_hours = hours + student_seconds / 3600
    return {
        "teacher_flops": teacher_flops,
        "teacher_gpu_hours_float32": hours,
        "teacher_gpu_hours_bf16": bf16_hours,
        "student_gpu_hours": student_seconds / 3600,
        "tokenize_hours": rates["tokenize"].seconds(tokens) / 3600,
        "text_gigabytes": text / 1e9,
        "prepared_gigabytes": prepared / 1e9,
        "cache_gigabytes": cache / 1e9,
        "disk_gigabytes": (2 * text + 2 * prepared + 3 * cache) / 1e9,  # workspace and DVC's cache, and scratch
        "network_hours": (cache + prepared) / assumed["network_bytes_per_second"] / 3600,
        "dollars_gpu": gpu_hours * assumed["dollars_per_gpu_hour"],
        "dollars_storage_month": (cache + prepared) / 1e9 * assumed["dollars_per_gigabyte_month"],
        "shards": tokens / 500_000,
        "index_gigabytes": tokens / 64 * 10 / 1e9,  # 10 bytes a sequence (training/data_loader.py) of 64 tokens
    }


def main() -> None:
    """Print one JSON object."""
    options = parser(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(options.threads)
    warm, *two = by_size(options, (1_000, 1_000, 4_000), *[(20_000, 50_000, 200_000)] * 2)
    run(options, warm)
    small, large = (run(options, size) for size in two)
    rates = {stage: fit((small[0], small[1][stage]), (large[0], large[1][stage])) for stage in STAGES}
    bytes_per_token = large[2] / large[0]
    checks = []
    for size in by_size(options, (2_000,), (100_000, 400_000), (100_000, 1_000_000, 10_000_000)):
        checks.append(compare(rates, bytes_per_token, *run(options, size)))
        print(show(checks[-1]), flush=True)
    finish({
        "check": checks,
        "rates": {stage: rate._asdict() for stage, rate in rates.items()},
        "worst_ratio": max((max(row["ratio"].values(), key=lambda r: max(r, 1 / r)) for row in checks),
                           key=lambda ratio: max(ratio, 1 / ratio)),
        "sums": {str(size): {name: float(f"{value:.3g}") for name, value in sums(size, rates).items()}
                 for size in SIZES},
        "assumed": {name: {"value": value, "source": source} for name, (value, source) in ASSUMED.items()},
        "machine": machine(options.threads),
    })  # fmt: skip


def run(options: Namespace, size: int) -> tuple[int, dict[str, float], int]:
    """`measure` in a folder of its own, with the tiny models."""
    with tempfile.TemporaryDirectory() as name:
        return measure(options, size, Path(name), TINY)


def compare(
    rates: Mapping[str, Rate], bytes_per_token: float, tokens: int, seconds: Mapping[str, float], size: int
) -> dict[str, Any]:
    """Predicted and measured figures of one run; `ratio` is measured over predicted."""
    predicted = {stage: rates[stage].seconds(tokens) for stage in rates} | {"cache_bytes": bytes_per_token * tokens}
    measured = {**seconds, "cache_bytes": float(size)}
    return {
        "tokens": tokens,
        "predicted": {name: round(value, 2) for name, value in predicted.items()},
        "measured": {name: round(measured[name], 2) for name in predicted},
        "ratio": {name: round(measured[name] / predicted[name], 3) for name in predicted},
    }


def show(row: Mapping[str, Any]) -> str:
    """One run as lines of a table."""
    names: Sequence[str] = list(row["predicted"])
    return "\n".join(
        f"{row['tokens']:>12,} tokens  {name:<18} predicted {row['predicted'][name]:>14,.1f}  "
        f"measured {row['measured'][name]:>14,.1f}  ratio {row['ratio'][name]:.2f}"
        for name in names
    )


if __name__ == "__main__":
    main()
