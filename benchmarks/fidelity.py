"""What is lost when the teacher's distribution and attention are kept in few bytes, on a real teacher and text.

    python -m benchmarks.fidelity [--quick] [--teacher DIR] [--tokenizer DIR] [--text DIR] [--student DIR]

For each form and budget: bytes, KL and total variation between the stored target and the full distribution, and the
angle and the ratio of norms between the gradients that the two give to all parameters of the student, over all
positions. The gradient of each block of positions is kept as a random projection, so that an interval can be given by
leaving out a block at a time. The last line is one JSON object.
"""

import argparse
import math
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import by_size, finish, machine
from benchmarks.material import in_8_bits, load_student, load_text, parser, shards
from benchmarks.stored_forms import (
    Form,
    Said,
    draws,
    exact,
    hidden,
    hidden_4,
    in_bfloat16,
    in_int8,
    renormalised,
    threshold,
    with_bucket,
)
from distil.cache.quantisation import quantise_rows, quantise_states
from distil.cache.sparse_logits import SoftTargets
from distil.compute.precision import autocast
from distil.losses.logits import logit_kd
from distil.modeling.tokenizer import load_tokenizer, special_ids, teacher_piece_ids
from distil.modeling.xlm_roberta import AttentionTap, MaskedHead, attention_rows, load_masked_lm
from distil.tokenization.shards import masked_input

SEQUENCES = 8  # in a block
MASK_RATE = 0.15


class Sketch:
    """A fixed random projection of all gradients together (count sketch: Charikar, Chen and Farach-Colton 2002).

    Squared lengths survive to about sqrt(2 / width), 1 %. Differences are projected, not the two gradients apart, so
    that this is 1 % of a small angle and not of the whole.
    """

    def __init__(self, parameters: Sequence[Tensor], width: int = 16384) -> None:
        generator = torch.Generator().manual_seed(7)
        self._width = width
        self._places = [torch.randint(width, (p.numel(),), generator=generator) for p in parameters]
        self._signs = [torch.randint(2, (p.numel(),), generator=generator).float() * 2 - 1 for p in parameters]

    def __call__(self, gradients: list[Tensor]) -> Tensor:
        """(width,) the projection."""
        out = torch.zeros(self._width)
        for gradient, places, signs in zip(gradients, self._places, self._signs, strict=True):
            out.index_add_(0, places, gradient.reshape(-1) * signs)
        return out


def angle_and_ratio(full: Tensor, difference: Tensor) -> tuple[float, float]:
    """Degrees between `full` and `full + difference`, and the ratio of their lengths."""
    length = float(full.norm())
    along = float(full @ difference) / length
    across = float((difference - full * (along / length)).norm())
    return math.degrees(math.atan2(across, length + along)), math.hypot(length + along, across) / length


def interval(full: Tensor, difference: Tensor) -> list[float]:
    """The 95 % interval of the angle over all blocks (N, width): jackknife, leaving one block out at a time."""
    count = len(full)
    whole, _ = angle_and_ratio(full.sum(dim=0), difference.sum(dim=0))
    without = [
        angle_and_ratio(full.sum(dim=0) - full[n], difference.sum(dim=0) - difference[n])[0] for n in range(count)
    ]
    error = math.sqrt((count - 1) / count * sum((x - float(np.mean(without))) ** 2 for x in without))
    return [round(whole - 1.96 * error, 2), round(whole + 1.96 * error, 2)]


def gradients(logits: Tensor, targets: SoftTargets, temperature: float, parameters: Sequence[Tensor]) -> list[Tensor]:
    """What the summed loss of a block gives to each parameter; zeros where it does not reach."""
    loss = logit_kd(logits, targets, temperature).sum()
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def spread(targets: SoftTargets, teacher: Tensor) -> Tensor:
    """(P, V) the stored target; a bucket is spread as the teacher itself spreads it, the best that it can mean."""
    if targets.tail is None:
        return torch.zeros_like(teacher).scatter_add(1, targets.ids, targets.probs)
    rest = teacher.scatter(1, targets.ids, 0.0)
    share = targets.tail[:, None] / rest.sum(dim=-1, keepdim=True).clamp_min(1e-9)
    return (rest * share).scatter(1, targets.ids, targets.probs)


class Material:
    """Teacher, student and text, block by block."""

    def __init__(self, options: argparse.Namespace, positions: int, scratch: Path) -> None:
        self.teacher = load_masked_lm(options.teacher, "teacher")
        self._in_8_bits = in_8_bits(self.teacher.roberta)
        self.student = load_student(options, self.teacher)
        self.pieces = torch.tensor(teacher_piece_ids(options.tokenizer), dtype=torch.int64)
        self._heads = MaskedHead(self.teacher, self.pieces), MaskedHead(self.student)
        self.pad_id = special_ids(load_tokenizer(options.tokenizer)).pad
        self._shards = list(shards(load_text(options, scratch, max(2000, positions * 4), 1)))

    def block(self, number: int) -> tuple[Tensor, Said, Tensor]:
        """Block `number`: input ids (B, T), what the teacher says, and the student's logits (P, V)."""
        shard = self._shards[number % len(self._shards)]
        order = np.random.default_rng(0).permutation(len(shard.lengths))
        first = number // len(self._shards) * SEQUENCES
        text = masked_input(shard, order[first : first + SEQUENCES], np.zeros(SEQUENCES, np.int64), self.pad_id)
        input_ids = torch.from_numpy(text.input_ids)
        mask = torch.arange(input_ids.shape[1]) < torch.from_numpy(text.lengths)[:, None]
        row, column = torch.from_numpy(text.masked_sequence), torch.from_numpy(text.masked_position)
        with torch.no_grad():
            read = self.pieces[input_ids]
            hidden = self.teacher.roberta(read, attention_mask=mask).last_hidden_state
            states = self._heads[0].states(hidden[row, column])
            log_probs = self._heads[0].logits(hidden[row, column]).log_softmax(dim=-1)

        def again(encoder: nn.Module, precision: str) -> Tensor:
            with torch.no_grad(), autocast(read.device, precision):
                hidden = encoder(read, attention_mask=mask).last_hidden_state
                return self._heads[0].logits(hidden[row, column]).float().log_softmax(dim=-1)

        hidden = self.student.roberta(input_ids, attention_mask=mask).last_hidden_state
        said = Said(log_probs, states, self._heads[0], partial(again, self.teacher.roberta, "bfloat16"),
                    partial(again, self._in_8_bits, "float32"))  # fmt: skip
        return input_ids, said, self._heads[1].logits(hidden[row, column])


def measure_targets(material: Material, forms: list[Form], temperature: float, positions: int) -> dict[str, Any]:
    """Compare every form with the full distribution over at least `positions` masked places."""
    parameters = list(material.student.parameters())
    sketch, generator = Sketch(parameters), torch.Generator().manual_seed(1)
    full: list[Tensor] = []
    differences: dict[str, list[Tensor]] = {form.name: [] for form in forms}
    kl, total_variation = dict.fromkeys(differences, 0.0), dict.fromkeys(differences, 0.0)
    seen = 0
    while seen < positions:
        _, said, logits = material.block(len(full))
        seen += len(logits)
        teacher = (said.log_probs / temperature).softmax(dim=-1)
        reference = gradients(logits, exact(said.log_probs, temperature), temperature, parameters)
        full.append(sketch(reference))
        for form in forms:
            targets = form.keep(said, temperature, generator)
            found = gradients(logits, targets, temperature, parameters)
            differences[form.name].append(sketch([a - b for a, b in zip(found, reference, strict=True)]))
            dense = spread(targets, teacher)
            kl[form.name] += float((torch.special.xlogy(dense, dense) - torch.special.xlogy(dense, teacher)).sum())
            total_variation[form.name] += float((dense - teacher).abs().sum() / 2)
    rows = []
    for form in forms:
        stacked = torch.stack(full), torch.stack(differences[form.name])
        degrees, ratio = angle_and_ratio(stacked[0].sum(dim=0), stacked[1].sum(dim=0))
        rows.append({
            "name": form.name, "temperature": temperature, "unbiased": form.unbiased,
            "bytes_per_position": round(form.bytes_per_position(len(material.pieces)), 1),
            "bytes_per_token": round(form.bytes_per_position(len(material.pieces)) * MASK_RATE, 1),
            "kl": round(kl[form.name] / seen, 4), "total_variation": round(total_variation[form.name] / seen, 4),
            "gradient_angle_deg": round(degrees, 2), "gradient_angle_interval": interval(*stacked),
            "gradient_norm_ratio": round(ratio, 4), "attention_rmse": None,
        })  # fmt: skip
    return {"positions": seen, "blocks": len(full), "forms": rows}


@torch.no_grad()
def measure_attention(material: Material, blocks: int) -> list[dict[str, Any]]:
    """The error of the last layer's attention after it was stored, mean over heads and each head."""
    layer = material.teacher.config.num_hidden_layers
    tap = AttentionTap(material.teacher, [layer])
    heads = material.teacher.config.num_attention_heads
    squares = {"attention mean": [0.0, 0], "attention heads": [0.0, 0], "attention inputs": [0.0, 0]}
    lengths = []
    for number in range(blocks):
        input_ids, _, _ = material.block(number)
        mask = input_ids != material.pad_id
        row, query = mask.nonzero(as_tuple=True)
        probs = tap.probs(layer, row, query, mask)
        lengths += mask.sum(dim=1).tolist()
        codes, scales = quantise_states(tap.inputs(layer).numpy())
        states = torch.from_numpy(codes * (scales.astype(np.float32) / 127)[..., None])
        part = tap.projections(layer)
        again = attention_rows(part["query"](states), part["key"](states), heads, row, query, mask)
        for name, maps in (("attention mean", probs.mean(dim=1, keepdim=True)), ("attention heads", probs)):
            codes, scales = quantise_rows(maps.numpy())
            error = (codes * (scales.astype(np.float32) / 255)[..., None] - maps.numpy()) ** 2
            squares[name][0] += float(error.sum())
            squares[name][1] += int(mask[row].sum()) * maps.shape[1]
        squares["attention inputs"][0] += float((again - probs).square().sum())
        squares["attention inputs"][1] += int(mask[row].sum()) * heads
    tap.close()
    mean = float(np.mean(np.square(lengths)) / np.mean(lengths))  # keys of a row, mean over rows
    width = material.teacher.config.hidden_size
    sizes = {"attention mean": (2 + 2 + mean, 132), "attention heads": (2 + heads * (2 + mean), 2 + heads * 130),
             "attention inputs": (2 + 2 + width, 4 + width)}  # fmt: skip
    return [
        {"name": name, "bytes_per_position": None, "bytes_per_token": round(size, 1), "bytes_per_token_at_128": at_128,
         "kl": None, "total_variation": None, "gradient_angle_deg": None, "gradient_norm_ratio": None,
         "attention_rmse": float(f"{math.sqrt(squares[name][0] / squares[name][1]):.3g}")}
        for name, (size, at_128) in sizes.items()
    ]  # fmt: skip


def main() -> None:
    """Print a Markdown table, then one JSON object."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--positions", type=int, default=6000, help="masked places; --quick takes 500")
    arguments.add_argument(
        "--forms", nargs="+", help='only these, by the names in the table, such as hidden4 "sampled 60"'
    )
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    positions = by_size(options, 60, 500, options.positions)
    budgets = [threshold(12), threshold(19), threshold(40), threshold(60), draws(25), with_bucket(19), renormalised(50)]
    if not (options.quick or options.smallest):
        budgets = [threshold(6), *budgets, threshold(30), draws(10), draws(50), with_bucket(8), renormalised(20)]
    with tempfile.TemporaryDirectory() as scratch:
        material = Material(options, positions, Path(scratch))
        budgets += [hidden(material.teacher.config.hidden_size), hidden_4(material.teacher.config.hidden_size),
                    in_bfloat16(), in_int8()]  # fmt: skip
        if options.forms:
            budgets = [form for form in budgets if form.name in options.forms]
        runs = [measure_targets(material, budgets, temperature, positions) for temperature in (1.0, 2.0)]
        attention = measure_attention(material, 3)
    table = ["| form | T | bytes a position | KL | total variation | gradient angle, degrees | norm ratio |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in (row for run in runs for row in run["forms"]):
        low, high = row["gradient_angle_interval"]
        table.append(f"| {row['name']} | {row['temperature']:g} | {row['bytes_per_position']} | {row['kl']} | "
                     f"{row['total_variation']} | {row['gradient_angle_deg']} [{low}, {high}] | "
                     f"{row['gradient_norm_ratio']} |")  # fmt: skip
    table += [
        "",
        "| attention | bytes a token, all rows, one variant | at length 128 | error (RMSE) |",
        "|---|---|---|---|",
    ]
    table += [f"| {row['name'].split()[1]} | {row['bytes_per_token']} | {row['bytes_per_token_at_128']} | "
              f"{row['attention_rmse']} |" for row in attention]  # fmt: skip
    print("\n".join(table))
    finish({"positions": runs[0]["positions"], "blocks": runs[0]["blocks"], "pieces": len(material.pieces),
            "forms": [*runs[0]["forms"], *runs[1]["forms"], *attention],
            "machine": machine(options.threads)})  # fmt: skip


if __name__ == "__main__":
    main()
