"""How much faster bfloat16 is than float32 on this machine, which of the two `precision: auto` takes, and int8 beside.

    python -m benchmarks.precision --threads 1 --quick

The forward pass of a 12-layer teacher of width 384 and a training step of a 6-layer student of width 256, random
weights, 16 texts of 64 tokens. All precisions in turn, medians of several rounds. Of int8 (weights and activations, a
CPU's) there is a forward pass only; what it loses: benchmarks.fidelity. The last line is one JSON object.
"""

import argparse
from collections.abc import Callable, Sequence
from statistics import median

import torch
from transformers import XLMRobertaConfig, XLMRobertaModel

from benchmarks.machine import by_size, clock, finish, machine, plain_parser
from benchmarks.material import in_8_bits
from distil.compute.precision import autocast, fastest_precision

TEACHER, STUDENT = (12, 384), (6, 256)
TRAINED = ("float32", "bfloat16")


def main() -> None:
    """Print one JSON object."""
    options = plain_parser(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ids = torch.randint(5, 1000, (16, 64), device=device, generator=torch.Generator(device).manual_seed(0))
    teacher, student = (make_model(*shape, device) for shape in (TEACHER, STUDENT))

    coarse = in_8_bits(teacher) if device.type == "cpu" else None

    def forward(precision: str) -> None:
        with torch.inference_mode(), autocast(device, "float32" if precision == "int8" else precision):
            (coarse if coarse and precision == "int8" else teacher)(ids)

    def step(precision: str) -> None:
        with autocast(device, precision):
            loss = student(ids).last_hidden_state.square().mean()
        loss.backward()
        student.zero_grad()

    seconds = {"teacher_forward": in_turn(options, forward, device, (*TRAINED, *(["int8"] if coarse else []))),
               "student_step": in_turn(options, step, device, TRAINED)}  # fmt: skip
    finish({
        **{f"speedup_of_{name}": {part: round(each["float32"] / each[name], 3) for part, each in seconds.items()
                                  if name in each} for name in ("bfloat16", "int8")},
        "seconds": {part: {name: round(value, 4) for name, value in each.items()} for part, each in seconds.items()},
        "auto": fastest_precision(),
        "machine": machine(options.threads),
    })  # fmt: skip


def make_model(layers: int, width: int, device: torch.device) -> XLMRobertaModel:
    """Random weights, without dropout."""
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=1000, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 32,
        intermediate_size=4 * width, max_position_embeddings=130, type_vocab_size=1,
    )  # fmt: skip
    with device:
        return XLMRobertaModel(config, add_pooling_layer=False).eval()


def in_turn(
    options: argparse.Namespace, run: Callable[[str], None], device: torch.device, precisions: Sequence[str]
) -> dict[str, float]:
    """Median seconds of each precision; the first round warms up."""
    now = clock(options)
    found: dict[str, list[float]] = {name: [] for name in precisions}
    for at in range(1 + by_size(options, 1, 5, 15)):
        for name in precisions:
            start = now()
            run(name)
            if device.type == "cuda":
                torch.cuda.synchronize()
            found[name] += [now() - start] if at else []
    return {name: median(values) for name, values in found.items()}


if __name__ == "__main__":
    main()
