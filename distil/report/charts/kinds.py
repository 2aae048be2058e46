"""Charts as SVG text: rows of dots, curves, sizes, and score against size.

Knows nothing of reports: strings and numbers in, SVG out; see svg.py for fonts, colours and lengths.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from distil.report.charts.svg import (
    SMALL,
    STYLES,
    VARIABLES,
    WIDTH,
    draw_dot,
    draw_label,
    draw_legend,
    legend_lines,
    make_axes,
    to_svg,
)

BAR_STEP = 12  # px between the intervals of two series in a row of dots
MAX_POINTS = 150
LOG_ABOVE = 20  # a curve that falls by more than this factor is drawn on a logarithmic scale
_LINES = ("c1", "c2", "c3", "c4", "c5", "c6")
_DASHES = ("-", (0, (5, 2)), (0, (2, 1.5)))

Series = Mapping[str, Sequence[tuple[float, float]]]


class Mark(NamedTuple):
    """A value, with the ends of its interval where it has one."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class DotRow:
    """A row of a dot chart: marks by series, and the text at the right; a `total` is below a line."""

    label: str
    marks: Mapping[str, Mark]
    note: str = ""
    total: bool = False


def dot_chart(
    name: str, title: str, description: str, rows: Sequence[DotRow], reference: tuple[float, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Rows of dots on one scale, each with its interval as a bar; several bars of one row are drawn below each other.

    Args:
        name: starts the ids inside; unique on the page.
        title: names the picture to a screen reader.
        description: says in words what the picture shows.
        rows: from top to bottom; at least one mark.
        reference: a vertical line and its name.
        names: of series in the legend where not those of STYLES.
    """
    keys = [key for key in STYLES if any(key in row.marks for row in rows)]
    barred = [key for key in keys if any(key in row.marks and row.marks[key].interval for row in rows)]
    legend = [(key, (names or {}).get(key, STYLES[key].name)) for key in keys]
    lines = legend_lines(legend)
    left, right, bottom = 98, 66 if any(row.note for row in rows) else 12, 26
    step = 30 if len(barred) < 2 else 8 + BAR_STEP * len(barred)
    top = 8 + 18 * len(lines) + 18 * (reference is not None)
    height = top + step * len(rows) + bottom
    figure, axes = make_axes(height, left, right, top, bottom)
    marks = [mark for row in rows for mark in row.marks.values()]
    shown = [value for mark in marks for value in (mark.value, *(mark.interval or ()))]
    shown += [reference[0]] if reference else []
    pad = max((max(shown) - min(shown)) * 0.06, 1.0)
    axes.set_xlim(min(shown) - pad, max(shown) + pad)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10), min_n_ticks=3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 9) + 0.0:g}".replace("-", "−")))
    axes.yaxis.set_major_locator(NullLocator())
    axes.grid(axis="x", color=VARIABLES["rule"], linewidth=1)
    if reference:
        axes.axvline(reference[0], color=VARIABLES["ink"], linewidth=1, dashes=(3, 2))
        axes.text(
            reference[0], -0.62, reference[1], ha="center", va="bottom", fontsize=SMALL, color=VARIABLES["ink"]
        )  # fmt: skip
    for at, row in enumerate(rows):
        if row.total:
            axes.axhline(at - 0.5, color=VARIABLES["muted"], linewidth=1)
        for key, mark in row.marks.items():
            offset = (barred.index(key) - (len(barred) - 1) / 2) * BAR_STEP / step if key in barred else 0
            if mark.interval:
                axes.plot(mark.interval, (at + offset, at + offset), color=VARIABLES[STYLES[key].colour], linewidth=3,
                          alpha=0.4, solid_capstyle="round")  # fmt: skip
            draw_dot(axes, STYLES[key], mark.value, at + offset)
        weight = "bold" if row.total else "normal"
        draw_label(figure, height, left - 12, top + step * (at + 0.5), row.label, ha="right", weight=weight)
        draw_label(figure, height, WIDTH, top + step * (at + 0.5), row.note, ha="right", weight="bold")
    draw_legend(figure, height, lines, barred)
    return to_svg(figure, name, title, description, height)


def line_chart(name: str, title: str, description: str, series: Series, x_label: str, y_label: str) -> str:
    """Curves named at their right ends; longer ones are averaged into MAX_POINTS pieces.

    Args:
        name: starts the ids inside; unique on the page.
        title: names the picture to a screen reader.
        description: says in words what the picture shows.
        series: points (x, y) by name; one named "all" comes first and is drawn thick.
        x_label: with its unit.
        y_label: with its unit.
    """
    left, right, top, bottom, height = 48, 92, 30, 42, 250
    figure, axes = make_axes(height, left, right, top, bottom)
    points = {label: thin(values) for label, values in series.items() if values}
    ys = [y for values in points.values() for _, y in values]
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > LOG_ABOVE
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if max(ys) / min(ys) < 100 else (1,)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="y", color=VARIABLES["rule"], linewidth=1)
    ends = []
    for at, (label, values) in enumerate(points.items(), start=-1 if "all" in points else 0):
        thick = label == "all"
        colour = VARIABLES["ink" if thick else _LINES[at % len(_LINES)]]
        xs, heights = zip(*values, strict=True)
        dashes = _DASHES[max(at, 0) // len(_LINES) % 3]
        axes.plot(xs, heights, color=colour, linewidth=2.4 if thick else 1.6, linestyle=dashes,
                  marker="o" if len(xs) == 1 else None, markersize=5)  # fmt: skip
        ends.append((heights[-1], label, colour))
    axes.margins(x=0.01, y=0.06)
    axes.get_ylim()  # settles the scale that transData uses
    places = [float(axes.transData.transform((0, y))[1]) for y, _, _ in ends]  # px above the figure's bottom
    for (_, label, colour), place in zip(ends, spread(places, 14, bottom + 4, height - top), strict=True):
        draw_label(figure, height, WIDTH - right + 6, height - place, label, color=colour, fontsize=SMALL)
    draw_label(figure, height, 0, 12, y_label + (", log scale" if logarithmic else ""), color=VARIABLES["muted"])
    draw_label(figure, height, (left + WIDTH - right) / 2, height - 8, x_label, ha="center", color=VARIABLES["muted"])
    return to_svg(figure, name, title, description, height)


def size_chart(name: str, title: str, description: str, sizes: Sequence[tuple[str, int, int, str]]) -> str:
    """A bar for each model, its embedding dark and its body light, all on one scale from zero.

    Args:
        name: starts the ids inside; unique on the page.
        title: names the picture to a screen reader.
        description: says in words what the picture shows.
        sizes: (label, embedding parameters, other parameters, note at the right) from top to bottom.
    """
    top, step, bar = 4, 50, 16
    height = top + step * len(sizes) + 22
    figure, axes = make_axes(height, 0, 0, 0, 0)
    axes.set_axis_off()
    axes.set_ylim(height, 0)
    axes.set_xlim(0, WIDTH)
    scale = WIDTH / max(embedding + body for _, embedding, body, _ in sizes)
    for at, (label, embedding, body, note) in enumerate(sizes):
        y = top + step * at
        draw_label(figure, height, 0, y + 10, label, weight="bold")
        draw_label(figure, height, WIDTH, y + 10, note, ha="right")
        widths = (max(embedding * scale, 1), max(body * scale, 1))
        axes.barh(y + 20 + bar / 2, widths[0], bar, color=VARIABLES["c1"])
        axes.barh(y + 20 + bar / 2, widths[1], bar, left=widths[0], color=VARIABLES["c5"])
    for x, colour, text in ((0, "c1", "embedding table"), (134, "c5", "body (layers and head)")):
        axes.barh(height - 9, 10, 10, left=x, color=VARIABLES[colour])
        draw_label(figure, height, x + 15, height - 9, text, fontsize=SMALL, color=VARIABLES["muted"])
    return to_svg(figure, name, title, description, height)


def thin(values: Sequence[tuple[float, float]], most: int = MAX_POINTS) -> list[tuple[float, float]]:
    """At most `most` points: the means of equal runs of neighbours, the last point among them."""
    run = math.ceil(len(values) / most)
    groups = [values[start : start + run] for start in range(0, len(values), run)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved as little as needed to be `gap` apart and, where they all fit, between `low` and `high`."""
    moved = [0.0] * len(places)
    order = sorted(range(len(places)), key=lambda at: places[at])
    floor = low
    for at in order:
        moved[at] = floor = max(places[at], floor)
        floor += gap
    ceiling = high
    for at in reversed(order):
        moved[at] = ceiling = min(moved[at], ceiling)
        ceiling -= gap
    return moved


class ScatterPoint(NamedTuple):
    """A model's score against its size; `series` is a key of STYLES, `label` text beside the dot."""

    series: str
    x: float
    mark: Mark
    label: str = ""


def scatter_chart(
    name: str, title: str, description: str, points: Sequence[ScatterPoint], levels: Mapping[str, float],
    x_label: str, y_label: str,
) -> str:  # fmt: skip
    """Dots with intervals over a logarithmic x axis; levels are horizontal lines, for models without an x.

    Args:
        name: starts the ids inside; unique on the page.
        title: names the picture to a screen reader.
        description: says in words what the picture shows.
        points: at least one; x above 0.
        levels: heights of lines by their labels.
        x_label: with its unit.
        y_label: with its unit.
    """
    lines = legend_lines([(series, STYLES[series].name) for series in dict.fromkeys(point.series for point in points)])
    left, right, bottom = 48, 12, 42
    top = 30 + 18 * len(lines)
    height = 232 + top
    figure, axes = make_axes(height, left, right, top, bottom)
    axes.set_xscale("log")
    xs = [point.x for point in points]
    axes.set_xlim(min(xs) / 1.6, max(xs) * 1.6)
    shown = [value for point in points for value in (point.mark.value, *(point.mark.interval or ()))]
    shown += levels.values()
    pad = max((max(shown) - min(shown)) * 0.1, 1.0)
    axes.set_ylim(min(shown) - pad, max(shown) + pad)
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if max(xs) / min(xs) < 50 else (1, 3)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 9) + 0.0:g}"))
    axes.grid(color=VARIABLES["rule"], linewidth=1)
    for label, level in levels.items():
        axes.axhline(level, color=VARIABLES["c2"], linewidth=1.4, dashes=(4, 2))
        place = float(axes.transData.transform((xs[0], level))[1])
        draw_label(figure, height, WIDTH - right, height - place - 8, label, ha="right", fontsize=SMALL,
                   color=VARIABLES["c2"])  # fmt: skip
    for point in points:
        style = STYLES[point.series]
        if point.mark.interval:
            axes.plot((point.x, point.x), point.mark.interval, color=VARIABLES[style.colour], linewidth=3, alpha=0.4,
                      solid_capstyle="round")  # fmt: skip
        draw_dot(axes, style, point.x, point.mark.value)
        if point.label:
            x, y = (float(each) for each in axes.transData.transform((point.x, point.mark.value)))
            left_half = x < WIDTH / 2
            draw_label(figure, height, x + (8 if left_half else -8), height - y, point.label, fontsize=SMALL,
                       ha="left" if left_half else "right", color=VARIABLES["muted"])  # fmt: skip
    draw_legend(figure, height, lines, [])
    draw_label(figure, height, 0, top - 14, y_label, color=VARIABLES["muted"])
    middle = (left + WIDTH - right) / 2
    draw_label(figure, height, middle, height - 8, x_label, ha="center", color=VARIABLES["muted"])
    return to_svg(figure, name, title, description, height)
