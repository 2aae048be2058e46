"""Does the best learning rate of a small student fit a larger one? A sweep of widths and rates from one teacher cache.

    python -m benchmarks.rates run [--widths 64 128 256] [--rates 0.0005 ...] [--rules one mup]
    python -m benchmarks.rates table                       # benchmarks/recorded/rates.json as Markdown

`run` takes a checkout whose pipeline has run as far as cache_teacher. Each student has a folder of its own in
.scratch/rates, in which the stage distil runs with that width and `train.learning_rate` and everything else as in
params.yaml; heads have 32 dimensions. A finished student is not made again. The cache does not depend on the student's
width, so none costs a teacher pass. Rules: `one` rate for all parameters; `mup`, the rates of benchmarks/mup.py.
"""

import argparse
import json
from math import isclose
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.machine import machine
from benchmarks.mup import BASE_WIDTH
from benchmarks.pages import RECORDED
from benchmarks.shared_runs import run_stages
from distil.core.errors import UserError
from distil.core.files import write_json
from distil.core.params import read_params
from distil.runtime.process import run_command

RECORD = RECORDED / "rates.json"
SCRATCH = Path(".scratch/rates")
SHARED = ("data", "models/teacher", "models/tokenizer", "distil", "stages", "benchmarks", "dvc.yaml")
WIDTHS, RATES, HEAD = (64, 128, 256), (0.0005, 0.001, 0.002, 0.004), 32
RULES = {"one": "stages.distil", "mup": "benchmarks.mup"}  # the module that trains


def heldout_kl(rule: str, width: int, rate: float) -> float:
    """KL(teacher ‖ student) on held-out text in nats, mean over the languages, of a student of this width."""
    rule = "one" if width == BASE_WIDTH else rule  # both are the same there
    folder = SCRATCH / f"{rule}-{width}-{rate:g}"
    values = {
        "student.hidden_size": width, "student.num_attention_heads": width // HEAD,
        "student.intermediate_size": 4 * width, "train.learning_rate": rate,
    }  # fmt: skip
    run_stages(folder, SHARED, values, [RULES[rule]])
    summary = json.loads((folder / "metrics/distil/summary.json").read_text(encoding="utf-8"))
    return fmean(figures["kl"] for figures in summary["heldout"].values())


def transfer(found: dict[int, dict[float, float]]) -> dict[str, Any]:
    """What each width's best rate costs the largest width.

    Args:
        found: width -> learning rate -> held-out KL in nats.

    Returns:
        {"best_rate": {width: rate}, "lost": {width: nats above the largest width's own best}, "lost_scaled": the same
        of the rate times width / largest width (None where the sweep has no such rate), "at_the_end": [widths whose
        best rate is at an end of the sweep: a better one may lie beyond it]}.
    """
    best = {width: min(by_rate, key=lambda rate: by_rate[rate]) for width, by_rate in found.items()}
    largest = found[max(found)]
    ends = {min(largest), max(largest)}
    return {
        "best_rate": {str(width): rate for width, rate in best.items()},
        "lost": {str(width): _above(largest, rate) for width, rate in best.items()},
        "lost_scaled": {str(width): _above(largest, rate * width / max(found)) for width, rate in best.items()},
        "at_the_end": [width for width, rate in best.items() if rate in ends],
    }


def _above(by_rate: dict[float, float], rate: float) -> float | None:
    """Nats by which a rate is above the best one; None if it is not in the sweep."""
    found = [kl for other, kl in by_rate.items() if isclose(other, rate)]
    return round(found[0] - min(by_rate.values()), 4) if found else None


def run(widths: list[int], rates: list[float], rules: list[str]) -> None:
    """Write benchmarks/recorded/rates.json."""
    if wrong := [width for width in widths if width < HEAD or width % HEAD]:
        raise UserError(f"--widths: expected multiples of {HEAD}, found {wrong[0]}")
    if wrong_rates := [rate for rate in rates if not 0 < rate < 1]:
        raise UserError(f"--rates: expected numbers above 0 and below 1, found {wrong_rates[0]:g}")
    params, by_rule = read_params(), {}
    for rule in rules:
        found = {
            width: {rate: heldout_kl(rule, width, rate) for rate in sorted(set(rates))} for width in sorted(set(widths))
        }
        shown = {str(width): {f"{rate:g}": round(kl, 4) for rate, kl in row.items()} for width, row in found.items()}
        by_rule[rule] = {"heldout_kl": shown, **transfer(found)}
    write_json(RECORD, {
        "rules": by_rule, "layers": params["student"]["num_hidden_layers"], "init": params["student"]["init"],
        "tokens": params["tokenize"]["max_tokens"], "teacher": params["teacher"]["path"].rpartition("/")[2],
        "machine": machine(1),
    })  # fmt: skip


def table(record: dict[str, Any]) -> str:
    """Held-out KL by rule, width and rate, the best of each width in bold, as Markdown."""
    rates = sorted(next(iter(record["rules"]["one"]["heldout_kl"].values())), key=float)
    head = ["rule", "width", *rates, "lost at the largest", "lost, times width"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    for rule in sorted(record["rules"], key=list(RULES).index):
        found = record["rules"][rule]
        for width, row in sorted(found["heldout_kl"].items(), key=lambda item: int(item[0])):
            best = f"{found['best_rate'][width]:g}"
            cells = [f"**{row[rate]:.3f}**" if rate == best else f"{row[rate]:.3f}" for rate in rates]
            lost = [found["lost"][width], found["lost_scaled"][width] if rule == "one" else None]
            cells += ["" if nats is None else f"{nats:.3f}" for nats in lost]
            lines.append("| " + " | ".join([rule, width, *cells]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run or show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="train the students and record them")
    runs.add_argument("--widths", nargs="+", type=int, default=list(WIDTHS))
    runs.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    runs.add_argument("--rules", nargs="+", choices=RULES, default=["one"])
    commands.add_parser("table", help="print what is recorded")
    chosen = parser.parse_args()
    if chosen.command == "run":
        run(chosen.widths, chosen.rates, chosen.rules)
        return
    print(table(json.loads(RECORD.read_text(encoding="utf-8"))), end="")


if __name__ == "__main__":
    run_command(main)
