"""The label-efficiency curve: DVC experiments that differ in `evaluate.few_labels.rows`, recorded and drawn.

    python -m benchmarks.few_labels record           # add this clone's experiments with few labels to the records
    python -m benchmarks.few_labels picture          # write docs/images/few-labels-{light,dark}.svg from the records
    python -m benchmarks.few_labels compare A B ...  # the student of checkouts, in one language, with paired intervals

The records are benchmarks/recorded/few-labels.json. Score, in points, is the mean over the languages with few labels;
the same records give the same bytes. `compare NAME=CHECKOUT/MODEL` names a model's predictions below a checkout.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure

from benchmarks.ablations import git, recorded_experiments
from benchmarks.pages import RECORDED
from benchmarks.svg import IMAGES, Colours, style, svg_text, write_figures
from distil.core.errors import UserError
from distil.core.files import write_json
from distil.core.languages import language
from distil.evaluation.comparison import compare_models
from distil.evaluation.counts import metric_from_counts, metric_of, per_row_counts
from distil.evaluation.predictions import predictions_file, read_predictions
from distil.evaluation.task_predictions import predictions_from_labels
from distil.runtime.process import run_command
from distil.tasks.data import read_task

RECORDS = RECORDED / "few-labels.json"
RESAMPLES = 10_000
CURVES = {"teacher": "Teacher", "student": "Student", "student_plain": "Student, labels alone", "tfidf": "TF-IDF"}


def record(before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every point of the curve by task and rows: those of this clone's experiments, others as they were recorded."""
    points = {(entry["task"], entry["rows"]): entry for entry in before}
    for reference in recorded_experiments().values():
        params = yaml.safe_load(git("show", f"{reference}:params.yaml"))
        few = params["evaluate"].get("few_labels", {})
        for task in params["evaluate"]["tasks"] if few.get("languages") else []:
            points[task, few["rows"]] = _point(reference, task, few)
    return [points[key] for key in sorted(points)]


def _point(reference: str, task: str, few: dict[str, Any]) -> dict[str, Any]:
    scores, rows, seeds = {}, 0, 0
    for model in CURVES:
        found = json.loads(git("show", f"{reference}:metrics/evaluate/{model}/{task}.json"))
        each = [found["languages"][code] for code in few["languages"]]
        shares = [(own[found["metric"]], *own["interval_95"]) for own in each]  # score, low, high
        scores[model] = [round(100 * sum(column) / len(each), 2) for column in zip(*shares, strict=True)]
        if model == "student":
            rows, seeds = sum(own["n_train"] + own.get("n_train_hidden", 0) for own in each), len(each[0]["seeds"])
    return {
        "task": task, "languages": few["languages"], "rows": few["rows"], "of": rows // len(few["languages"]),
        "seeds": seeds, "date": git("show", "-s", "--format=%as", reference).strip(),
        "commit": git("rev-parse", "--short", f"{reference}~1").strip(), "scores": scores,
    }  # fmt: skip


def draw(records: list[dict[str, Any]], colours: Colours) -> str:
    """One panel a task as SVG text: score by labelled rows, whose steps are equally far apart."""
    ink, muted, rule, student, other, paper = colours
    looks = {"teacher": (ink, "s", "-"), "student": (student, "o", "-"), "student_plain": (student, "o", "--"),
             "tfidf": (other, "D", "--")}  # fmt: skip
    tasks = sorted({entry["task"] for entry in records})
    with style(colours, xtick_color=ink):
        figure = Figure(figsize=(7.0 * len(tasks), 3.4))
        for place, task in enumerate(tasks, 1):
            rows = [entry for entry in records if entry["task"] == task]
            axes = figure.add_subplot(1, len(tasks), place)
            for model, (colour, marker, line) in looks.items():
                values, low, high = zip(*(entry["scores"][model] for entry in rows), strict=True)
                axes.plot(range(len(rows)), values, line, color=colour, marker=marker, markersize=5, linewidth=1.6,
                          markerfacecolor=colour if line == "-" else paper, label=CURVES[model])  # fmt: skip
                if model == "student":
                    axes.fill_between(range(len(rows)), low, high, color=colour, alpha=0.15, linewidth=0)
            named = " and ".join(language(code).name for code in rows[0]["languages"])
            axes.set_xticks(range(len(rows)), [_label(entry) for entry in rows])
            axes.set_xlabel(f"labelled rows of {named} (other languages have all)", fontsize=8.5)
            axes.set_title(f"{task}, score in {named}, points", loc="left", fontsize=9.5, fontweight="bold")
            axes.grid(axis="y", color=rule, linewidth=0.6)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(length=0)
            axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.tight_layout()
        return svg_text(figure)


def _label(entry: dict[str, Any]) -> str:
    return f"all {entry['of']:,}" if entry["rows"] == entry["of"] else f"{entry['rows']:,}"


def compare(named: list[str], task_folder: Path, code: str) -> str:
    """Scores in one language of models of several checkouts, and each of their paired differences, as Markdown.

    Raises:
        UserError: a name is not NAME=CHECKOUT/MODEL, or there are no such predictions.
    """
    task, found = read_task(task_folder), {}
    for text in named:
        name, equals, place = text.partition("=")
        if not equals:
            raise UserError(f"compare: expected NAME=CHECKOUT/MODEL, found {text}")
        path = predictions_file(Path(place).parent, Path(place).name, task.name)
        labels = read_predictions(path, f"finetune_student@{task.name}")[code]
        found[name] = predictions_from_labels(labels, task.labels, task.kind, Path(place).name, task.name)
    metric = metric_of(task.kind, task.labels)
    lines = ["| model | score |", "|---|--:|"]
    for name, each in found.items():
        counts = per_row_counts(each, task.labels, metric).sum(axis=0)
        lines.append(f"| {name} | {100 * float(metric_from_counts(counts, metric).mean()):.1f} |")
    lines += ["", "| difference | points | p |", "|---|--:|--:|"]
    compared = compare_models(task.name, task.kind, task.labels, {code: found}, RESAMPLES)
    for pair in compared["differences"]:
        own = pair["languages"][code]
        low, high = (100 * end for end in own["interval_95"])
        said = f"{100 * own['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
        lines.append(f"| {pair['model']} − {pair['baseline']} | {said} | {own['p']:.4f} |")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and act."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.few_labels", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("record", "picture", "compare"))
    parser.add_argument("models", nargs="*", help="with `compare`: NAME=CHECKOUT/MODEL")
    parser.add_argument("--task", type=Path, default=Path("data/tasks/entities"), help="with `compare`")
    parser.add_argument("--language", default="yor", help="with `compare`")
    options = parser.parse_args()
    if options.action == "compare":
        sys.stdout.write(f"{compare(options.models, options.task, options.language)}\n")
        return
    records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.is_file() else []
    if options.action == "record":
        write_json(RECORDS, records := record(records))
        sys.stdout.write(f"{RECORDS}: {len(records)} points\n")
        return
    if not records:
        raise UserError(f"{RECORDS}: no points; run the sweep of docs/guides/few-labels.md and `record`")
    write_figures(IMAGES, "few-labels", lambda colours: draw(records, colours))


if __name__ == "__main__":
    run_command(main)
