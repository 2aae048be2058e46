"""Students of several sizes from one teacher cache: score by language, bytes in int8, and milliseconds a text.

    python -m benchmarks.sizes run [--task sentiment] [--shapes 3M 6M ...]   # into benchmarks/recorded/sizes.json
    python -m benchmarks.sizes figure                                        # docs/images/sizes-{light,dark}.svg

`run` takes a checkout whose pipeline has run as far as mix_teachers@TASK. Each shape has a folder of its own in
.scratch/sizes, in which the stages distil and finetune_student@TASK run with that shape and everything else as in
params.yaml; a shape that is finished there is not made again, and a killed one continues. Speed is measured at the
end, of all shapes in turn, on one thread.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from benchmarks.machine import machine
from benchmarks.pages import RECORDED
from benchmarks.shared_runs import run_stages
from benchmarks.svg import IMAGES, Colours, style, svg_text, write_figures
from distil.core.errors import UserError
from distil.core.files import write_json
from distil.core.params import load_languages, load_params, read_params
from distil.runtime.process import run_command

RECORD = RECORDED / "sizes.json"
SCRATCH = Path(".scratch/sizes")
SHARED = ("data", "models/teacher", "models/tokenizer", "distil", "stages", "dvc.yaml")
SPEED_TEXTS, ROUNDS = 100, 5


class Shape(NamedTuple):
    """`student:` of one size; it starts from the teacher's first layers."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int


# Named by parameters with some 21,000 pieces.
SHAPES = {
    "3M": Shape(128, 2, 4), "6M": Shape(192, 4, 6), "10M": Shape(256, 6, 8), "24M": Shape(384, 9, 12),
}  # fmt: skip


def make(name: str, task: str) -> Path:
    """The folder of a shape with its models/onnx/TASK and predictions, made where it is not finished."""
    shape, folder = SHAPES[name], SCRATCH / name
    values: dict[str, Any] = {f"student.{key}": value for key, value in shape._asdict().items()}
    values |= {"student.intermediate_size": 4 * shape.hidden_size}
    values |= {"student.init_layers": list(range(1, shape.num_hidden_layers + 1))}
    run_stages(folder, SHARED, values, ["stages.distil"], ["stages.finetune", "student", task])
    if not (folder / "models/onnx" / task).is_dir():
        _export(folder, task)
    return folder


def _export(folder: Path, task: str) -> None:
    from distil.serving.onnx_export import ExportConfig, export, find_sources

    sources = find_sources(
        folder / "models/finetuned/student", folder / "models/student", [task], [], load_languages(), False
    )
    export(sources[0], load_params("export", ExportConfig), folder / "models/onnx" / task)


def scores(folder: Path, task: str) -> dict[str, Any]:
    """The student's mean score with its interval, and by language, in points."""
    from distil.evaluation.config import load_evaluate
    from distil.evaluation.predictions import predictions_file, read_predictions
    from distil.evaluation.scores import score
    from distil.evaluation.task_predictions import predictions_from_labels
    from distil.tasks.data import read_task

    about, config = read_task(Path("data/tasks") / task), load_evaluate()
    said = read_predictions(predictions_file(folder, "student", task), f"finetune_student@{task}")
    found = {
        code: predictions_from_labels(said[code], about.labels, about.kind, "student", task)
        for code in load_languages()
    }
    scored = score("student", task, about.kind, about.labels, None, found, config.bootstrap_resamples)
    metric = scored["metric"]
    return {
        "metric": metric, "seeds": list(config.seeds), "mean": round(100 * scored["mean"][metric], 2),
        "interval_95": [round(100 * end, 2) for end in scored["mean"]["interval_95"]],
        "languages": {code: round(100 * each[metric], 2) for code, each in scored["languages"].items()},
    }  # fmt: skip


def milliseconds(folders: dict[str, Path], task: str) -> dict[str, float]:
    """Median milliseconds from a short text to its answer, one thread, one text at a time, shapes in turn."""
    from distil.serving.predictor import Predictor
    from distil.tasks.data import read_task

    about = read_task(Path("data/tasks") / task)
    texts = [text for code in load_languages() for text in about.texts(code, "test")[: SPEED_TEXTS // 5]]
    opened = {name: Predictor(folder / "models/onnx" / task / "int8", 1) for name, folder in folders.items()}
    taken: dict[str, list[float]] = {name: [] for name in opened}
    for at in range(1 + ROUNDS):
        for name, predictor in opened.items():
            for text in texts:
                start = time.perf_counter()
                predictor.predict([text])
                taken[name] += [time.perf_counter() - start] if at else []
    return {name: round(1000 * median(values), 3) for name, values in taken.items()}


def run(names: list[str], task: str) -> None:
    """Write benchmarks/recorded/sizes.json: the shapes asked for."""
    if unknown := [name for name in names if name not in SHAPES]:
        raise UserError(f"--shapes: expected some of {', '.join(SHAPES)}, found {', '.join(unknown)}")
    folders = {name: make(name, task) for name in SHAPES if name in names}
    speed = milliseconds(folders, task)
    found = {}
    for name, folder in folders.items():
        summary = json.loads((folder / "metrics/distil/summary.json").read_text(encoding="utf-8"))
        found[name] = {
            "million_parameters": round(summary["student"]["parameters"] / 1e6, 2),
            "int8_megabytes": round((folder / "models/onnx" / task / "int8/model.onnx").stat().st_size / 1e6, 2),
            "milliseconds": speed[name],
            **scores(folder, task),
        }
    write_json(RECORD, {"task": task, "teacher": read_params()["teacher"]["path"].rpartition("/")[2],
                        "students": found, "machine": machine(1)})  # fmt: skip


def draw(record: dict[str, Any], colours: Colours) -> str:
    """Score against bytes, one dot a student with its interval, as SVG text."""
    ink, muted, rule, student, _, paper = colours
    with style(colours):
        figure = Figure(figsize=(6.4, 3.2))
        axes = figure.add_axes((0.1, 0.16, 0.86, 0.72))
        rows = sorted(record["students"].values(), key=lambda row: row["million_parameters"])
        axes.plot([row["int8_megabytes"] for row in rows], [row["mean"] for row in rows], color=student, linewidth=1)
        for row in rows:
            axes.plot([row["int8_megabytes"]] * 2, row["interval_95"], color=student, linewidth=1.6)
            axes.plot([row["int8_megabytes"]], [row["mean"]], "o", color=student, markersize=6)
            label = f"{row['million_parameters']:.1f}M, {row['milliseconds']:.1f} ms"
            axes.annotate(
                label, (row["int8_megabytes"], row["mean"]), (6, -12), textcoords="offset points", fontsize=8.5
            )
        axes.set_xscale("log")
        ticks = [row["int8_megabytes"] for row in rows]
        axes.set_xticks(ticks, [f"{tick:.1f}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlim(ticks[0] / 1.3, ticks[-1] * 1.7)
        axes.set_xlabel("MB of model.onnx in int8 (log scale)", fontsize=8.5)
        axes.set_title("Score against size, mean of the languages", loc="left", fontsize=9.5, fontweight="bold")
        axes.grid(color=rule, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0)
        return svg_text(figure)


def main() -> None:
    """Run or draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="make the students and record them")
    runs.add_argument("--task", default="sentiment")
    runs.add_argument("--shapes", nargs="+", default=list(SHAPES), help="some of " + ", ".join(SHAPES))
    commands.add_parser("figure", help="draw what is recorded")
    chosen = parser.parse_args()
    if chosen.command == "run":
        run(chosen.shapes, chosen.task)
        return
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    write_figures(IMAGES, "sizes", lambda colours: draw(record, colours))


if __name__ == "__main__":
    run_command(main)
