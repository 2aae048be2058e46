"""The figure on the first screen of README.md, in a light and a dark version, from recorded results.

    python -m benchmarks.figure      # writes docs/images/overview-light.svg and docs/images/overview-dark.svg

Left: the student's and TF-IDF's share of the teacher's score, by language and task, with 95 % intervals
(benchmarks/recorded/all-rows/scores.json). Right: size and speed against AfroXLMR-Large's shape
(benchmarks/recorded/size_speed.json). The same records give the same bytes.
"""

import json
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.pages import RECORDED
from benchmarks.svg import IMAGES, Colours, style, svg_text, write_figures
from distil.core.languages import language
from distil.runtime.process import run_command

TASKS = {"sentiment": "AfriSenti (tweets), weighted F1", "entities": "MasakhaNER (news), entity F1"}


def shares(scores: dict[str, Any], task: str, model: str) -> dict[str, tuple[float, float, float]]:
    """Per cent of the teacher's score with the ends of its interval, by language and for the mean."""
    retention = scores[task]["compare"]["retention"][model]
    found = {language(code).name: ratio for code, ratio in retention["languages"].items()}
    return {
        name: (100 * ratio["ratio"], *(100 * end for end in ratio["interval_95"]))
        for name, ratio in {**found, f"Mean of {len(found)}": retention["mean"]}.items()
    }  # fmt: skip


def draw_shares(axes: Axes, scores: dict[str, Any], task: str, colours: Colours) -> None:
    """One panel of dots; the vertical line is the teacher."""
    ink, muted, _, student, tfidf, paper = colours
    rows = list(shares(scores, task, "student"))
    for model, colour, marker, up in (("student", student, "o", 0.13), ("tfidf", tfidf, "D", -0.17)):
        for place, name in enumerate(rows):
            value, low, high = shares(scores, task, model)[name]
            height = len(rows) - 1 - place + up
            axes.plot([low, high], [height, height], color=colour, linewidth=1.6, solid_capstyle="round")
            fill = colour if model == "student" else paper
            axes.plot([value], [height], marker, color=colour, markerfacecolor=fill, markersize=6)
    axes.axvline(100, color=ink, linewidth=1)
    axes.set_yticks(range(len(rows)), rows[::-1])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.axhline(0.5, color=muted, linewidth=0.6)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_title(TASKS[task], loc="left", fontsize=9.5, color=ink, fontweight="bold")
    axes.set_xlabel("per cent of the teacher's score", fontsize=8.5)


def draw_bars(axes: Axes, title: str, values: dict[str, float], colours: Colours) -> None:
    """Two bars on one scale, each with its value."""
    ink, muted, _, student, *_ = colours
    largest = max(values.values())
    for place, (name, value) in enumerate(values.items()):
        axes.barh([-place], [value], height=0.55, color=student if name == "Student" else muted)
        axes.text(value + largest * 0.03, -place, f"{value:,g}", va="center", fontsize=9, color=ink)
    axes.set_xlim(0, largest * 1.35)
    axes.set_yticks([0, -1], list(values))
    axes.set_xticks([])
    axes.set_title(title, loc="left", fontsize=9.5, color=ink, fontweight="bold")


def draw(scores: dict[str, Any], speed: dict[str, Any], colours: Colours) -> str:
    """The whole figure as SVG text."""
    ink, muted, rule, student, tfidf, paper = colours
    with style(colours, ytick_color=colours[0], ytick_labelsize=9):
        figure = Figure(figsize=(10.6, 3.4))
        grid = figure.add_gridspec(
            2, 3, width_ratios=(1, 1, 0.82), left=0.085, right=0.985, top=0.8, bottom=0.14, wspace=0.42, hspace=0.55
        )
        for column, task in enumerate(TASKS):
            axes = figure.add_subplot(grid[:, column])
            draw_shares(axes, scores, task, colours)
            axes.grid(axis="x", color=rule, linewidth=0.6)
            axes.set_axisbelow(True)
        models = {"Student": speed["models"]["student_int8"], "Large": speed["models"]["teacher_fp32"]}
        for row, (title, key) in enumerate(
            (("Size on disk, MB", "megabytes"), ("Tokens/s, one CPU thread", "tokens_per_second"))
        ):
            values = {name: model[key] for name, model in models.items()}
            draw_bars(figure.add_subplot(grid[row, 2]), title, values, colours)
        for axes in figure.axes:
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(length=0)
        figure.text(0.012, 0.935, "●", color=student, fontsize=11)
        figure.text(0.03, 0.935, "student, 12.2M parameters", color=ink, fontsize=9.5)
        figure.text(0.225, 0.935, "◇", color=tfidf, fontsize=12)
        figure.text(0.243, 0.935, "TF-IDF", color=ink, fontsize=9.5)
        figure.text(0.305, 0.935, "|  teacher: a 34M development model, not AfroXLMR-Large", color=ink, fontsize=9.5)
        figure.text(0.7, 0.935, "Large: AfroXLMR-Large's shape, random weights", color=muted, fontsize=8.5)
        return svg_text(figure)


def main() -> None:
    """Write both versions."""
    scores = json.loads((RECORDED / "all-rows/scores.json").read_text(encoding="utf-8"))
    speed = json.loads((RECORDED / "size_speed.json").read_text(encoding="utf-8"))
    write_figures(IMAGES, "overview", lambda colours: draw(scores, speed, colours))


if __name__ == "__main__":
    run_command(main)
