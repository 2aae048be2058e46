"""Charts as SVG text to stand inside a page: matplotlib's geometry, the page's own fonts and colours.

Colours in the result are the CSS variables --ink, --muted, --rule, --paper and --c1 to --c6, so that one chart serves
light and dark; text stays text. The same input gives the same bytes. Knows nothing of reports: strings and numbers in,
SVG out. All lengths are in px of a chart WIDTH wide, which a phone shows at nearly full size.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

WIDTH = 400
FONT = 13
SMALL = 12
MAX_POINTS = 150
LOG_ABOVE = 20  # a curve that falls by more than this factor is drawn on a logarithmic scale

# Stand-ins that matplotlib accepts as colours and that become CSS variables.
_VARIABLES = {
    "ink": "#010101", "muted": "#010102", "rule": "#010103", "paper": "#010104",
    "c1": "#010111", "c2": "#010112", "c3": "#010113", "c4": "#010114", "c5": "#010115", "c6": "#010116",
}  # fmt: skip
_LINES = ("c1", "c2", "c3", "c4", "c5", "c6")
_DASHES = ("-", (0, (5, 2)), (0, (2, 1.5)))

Series = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Style:
    """How a series of dots is drawn; told apart by shape as well as by colour."""

    name: str
    colour: str
    marker: str
    size: float
    filled: bool


STYLES = {
    "student": Style("student", "c1", "o", 8, True),
    "no_teacher": Style("without a teacher", "c3", "s", 6.5, False),
    "teacher": Style("teacher", "ink", "o", 7, False),
    "tfidf": Style("TF-IDF", "c2", "D", 6, False),
}


class Mark(NamedTuple):
    """A value, with the ends of its interval where it has one."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class DotRow:
    """A row of a dot chart: marks by series, and the text at the right; a `total` stands below a line."""

    label: str
    marks: Mapping[str, Mark]
    note: str = ""
    total: bool = False


def dot_chart(
    name: str, title: str, description: str, rows: Sequence[DotRow], reference: tuple[float, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Rows of dots on one scale, each with its interval as a bar; several bars in a row lie below each other.

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
    lines = _legend_lines(legend)
    left, right, step, bottom = 98, 66 if any(row.note for row in rows) else 12, 32 if len(barred) > 1 else 30, 26
    top = 8 + 18 * len(lines) + 18 * (reference is not None)
    height = top + step * len(rows) + bottom
    figure, axes = _axes(height, left, right, top, bottom)
    marks = [mark for row in rows for mark in row.marks.values()]
    shown = [value for mark in marks for value in (mark.value, *(mark.interval or ()))]
    shown += [reference[0]] if reference else []
    pad = max((max(shown) - min(shown)) * 0.06, 1.0)
    axes.set_xlim(min(shown) - pad, max(shown) + pad)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10), min_n_ticks=3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axes.yaxis.set_major_locator(NullLocator())
    axes.grid(axis="x", color=_VARIABLES["rule"], linewidth=1)
    if reference:
        axes.axvline(reference[0], color=_VARIABLES["ink"], linewidth=1, dashes=(3, 2))
        axes.text(
            reference[0], -0.62, reference[1], ha="center", va="bottom", fontsize=SMALL, color=_VARIABLES["ink"]
        )  # fmt: skip
    for at, row in enumerate(rows):
        if row.total:
            axes.axhline(at - 0.5, color=_VARIABLES["muted"], linewidth=1)
        for key, mark in row.marks.items():
            offset = (barred.index(key) - (len(barred) - 1) / 2) * 0.38 if key in barred else 0
            if mark.interval:
                axes.plot(mark.interval, (at + offset, at + offset), color=_VARIABLES[STYLES[key].colour], linewidth=3,
                          alpha=0.4, solid_capstyle="round")  # fmt: skip
            _dot(axes, STYLES[key], mark.value, at + offset)
        weight = "bold" if row.total else "normal"
        _label(figure, height, left - 12, top + step * (at + 0.5), row.label, ha="right", weight=weight)
        _label(figure, height, WIDTH, top + step * (at + 0.5), row.note, ha="right", weight="bold")
    _draw_legend(figure, height, lines, barred)
    return _svg(figure, name, title, description, height)


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
    figure, axes = _axes(height, left, right, top, bottom)
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
    axes.grid(axis="y", color=_VARIABLES["rule"], linewidth=1)
    ends = []
    for at, (label, values) in enumerate(points.items(), start=-1 if "all" in points else 0):
        thick = label == "all"
        colour = _VARIABLES["ink" if thick else _LINES[at % len(_LINES)]]
        xs, heights = zip(*values, strict=True)
        dashes = _DASHES[max(at, 0) // len(_LINES) % 3]
        axes.plot(xs, heights, color=colour, linewidth=2.4 if thick else 1.6, linestyle=dashes,
                  marker="o" if len(xs) == 1 else None, markersize=5)  # fmt: skip
        ends.append((heights[-1], label, colour))
    axes.margins(x=0.01, y=0.06)
    axes.get_ylim()  # settles the scale that transData uses
    places = [float(axes.transData.transform((0, y))[1]) for y, _, _ in ends]  # px above the figure's bottom
    for (_, label, colour), place in zip(ends, spread(places, 14, bottom + 4, height - top), strict=True):
        _label(figure, height, WIDTH - right + 6, height - place, label, color=colour, fontsize=SMALL)
    _label(figure, height, 0, 12, y_label + (", log scale" if logarithmic else ""), color=_VARIABLES["muted"])
    _label(figure, height, (left + WIDTH - right) / 2, height - 8, x_label, ha="center", color=_VARIABLES["muted"])
    return _svg(figure, name, title, description, height)


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
    figure, axes = _axes(height, 0, 0, 0, 0)
    axes.set_axis_off()
    axes.set_ylim(height, 0)
    axes.set_xlim(0, WIDTH)
    scale = WIDTH / max(embedding + body for _, embedding, body, _ in sizes)
    for at, (label, embedding, body, note) in enumerate(sizes):
        y = top + step * at
        _label(figure, height, 0, y + 10, label, weight="bold")
        _label(figure, height, WIDTH, y + 10, note, ha="right")
        widths = (max(embedding * scale, 1), max(body * scale, 1))
        axes.barh(y + 20 + bar / 2, widths[0], bar, color=_VARIABLES["c1"])
        axes.barh(y + 20 + bar / 2, widths[1], bar, left=widths[0], color=_VARIABLES["c5"])
    for x, colour, text in ((0, "c1", "embedding table"), (134, "c5", "body (layers and head)")):
        axes.barh(height - 9, 10, 10, left=x, color=_VARIABLES[colour])
        _label(figure, height, x + 15, height - 9, text, fontsize=SMALL, color=_VARIABLES["muted"])
    return _svg(figure, name, title, description, height)


def thin(values: Sequence[tuple[float, float]], most: int = MAX_POINTS) -> list[tuple[float, float]]:
    """At most `most` points: the means of equal runs of neighbours, the last point among them."""
    run = math.ceil(len(values) / most)
    groups = [values[start : start + run] for start in range(0, len(values), run)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved as little as needed to lie `gap` apart and, where they all fit, between `low` and `high`."""
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


def _axes(height: float, left: float, right: float, top: float, bottom: float) -> tuple[Figure, Axes]:
    """A figure of one px a point, and axes without a frame at the given distances from its edges."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
    )
    axes.set_frame_on(False)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6, labelsize=SMALL, labelcolor=_VARIABLES["muted"])
    return figure, axes


def _dot(axes: Axes, style: Style, x: float, y: float) -> None:
    colour = _VARIABLES[style.colour]
    face = colour if style.filled else _VARIABLES["paper"]
    axes.plot(
        [x], [y], linestyle="none", marker=style.marker, markersize=style.size, markeredgewidth=1.6,
        markeredgecolor=colour, markerfacecolor=face, clip_on=False, zorder=4 if style.name == "student" else 3,
    )  # fmt: skip


def _label(figure: Figure, height: float, x: float, y: float, text: str, **how: object) -> None:
    """Text at px from the left and the top."""
    style = {"fontsize": FONT, "color": _VARIABLES["ink"], "va": "center_baseline"} | how
    figure.text(x / WIDTH, 1 - y / height, text, parse_math=False, **style)  # type: ignore[arg-type]


_BETWEEN, _LETTER = 30, 6.4  # px between entries of a legend, and of a letter, about


def _legend_lines(entries: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The entries (series, name) in lines that fit."""
    lines: list[list[tuple[str, str]]] = [[]]
    used = 0.0
    for entry in entries:
        width = _BETWEEN + _LETTER * len(entry[1])
        if lines[-1] and used + width > WIDTH:
            lines.append([])
            used = 0.0
        lines[-1].append(entry)
        used += width
    return lines


def _draw_legend(
    figure: Figure, height: float, lines: Sequence[Sequence[tuple[str, str]]], barred: Sequence[str]
) -> None:
    """Markers with their names along the top; those of series with intervals lie on a bar."""
    axes = figure.add_axes((0, 0, 1, 1), frame_on=False)
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    for line, entries in enumerate(lines):
        x, y = 6.0, 10 + 18 * line
        for key, name in entries:
            if key in barred:
                axes.plot((x - 6, x + 6), (y, y), color=_VARIABLES[STYLES[key].colour], linewidth=3, alpha=0.4)
            _dot(axes, STYLES[key], x, y)
            _label(figure, height, x + 12, y, name, fontsize=SMALL, color=_VARIABLES["muted"])
            x += _BETWEEN + _LETTER * len(name)


def _svg(figure: Figure, name: str, title: str, description: str, height: float) -> str:
    """The figure as an <svg> element with a title and a description, its ids starting with `name`."""
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    body = stream.getvalue()
    body = body[body.index("<g id=") : body.rindex("</svg>")]
    body = re.sub(r"<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r' id="(?!m[0-9a-f]{10}"|p[0-9a-f]{10}")[^"]*"', "", body)
    body = re.sub(r'(id="|xlink:href="#|url\(#)([mp][0-9a-f]{10})', rf"\g<1>{name}-\2", body)
    body = body.replace("xlink:href", "href")
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", body)
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"\d+\.\d{3,}", _round, tag[0]), body)
    for variable, colour in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    body = re.sub(r"\s*\n\s*", " ", body).replace("> <", "><").strip()
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{name}-t" '
        f'aria-describedby="{name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>{body}</svg>'
    )


def _round(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
