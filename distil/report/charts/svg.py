"""What every chart shares: figures without a frame, labels, markers, a legend, and SVG in the page's fonts and colours.

Colours in the result are the CSS variables --ink, --muted, --rule, --paper and --c1 to --c6, so that one chart serves
light and dark; text stays text. The same input gives the same bytes. All lengths are in px of a chart WIDTH wide, which
a phone shows at nearly full size.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

WIDTH = 400
FONT = 13
SMALL = 12

# Colours that matplotlib accepts and that become CSS variables.
VARIABLES = {
    "ink": "#010101", "muted": "#010102", "rule": "#010103", "paper": "#010104",
    "c1": "#010111", "c2": "#010112", "c3": "#010113", "c4": "#010114", "c5": "#010115", "c6": "#010116",
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How a series of dots is drawn; shapes differ as well as colours."""

    name: str
    colour: str
    marker: str
    size: float
    filled: bool


STYLES = {
    "student": Style("student", "c1", "o", 8, True),
    "student_start": Style("its start, not distilled", "c5", "v", 7, False),
    "student_masked_lm": Style("its start, masked-LM training", "c6", ">", 7, False),
    "no_teacher": Style("without a teacher", "c3", "s", 6.5, False),
    "teacher": Style("teacher", "ink", "o", 7, False),
    "student_plain": Style("plain fine-tuning", "c4", "^", 7, False),
    "student_int8": Style("student, 8 bits", "c1", "*", 11, True),
    "rival": Style("rival", "c6", "P", 8, False),
    "tfidf": Style("TF-IDF", "c2", "D", 6, False),
}


def make_axes(height: float, left: float, right: float, top: float, bottom: float) -> tuple[Figure, Axes]:
    """A figure of one px a point, and axes without a frame at the given distances from its edges."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
    )
    axes.set_frame_on(False)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6, labelsize=SMALL, labelcolor=VARIABLES["muted"])
    return figure, axes


def draw_dot(axes: Axes, style: Style, x: float, y: float) -> None:
    """A marker at a point of the axes."""
    colour = VARIABLES[style.colour]
    face = colour if style.filled else VARIABLES["paper"]
    axes.plot(
        [x], [y], linestyle="none", marker=style.marker, markersize=style.size, markeredgewidth=1.6,
        markeredgecolor=colour, markerfacecolor=face, clip_on=False, zorder=4 if style.name == "student" else 3,
    )  # fmt: skip


def draw_label(figure: Figure, height: float, x: float, y: float, text: str, **how: object) -> None:
    """Text at px from the left and the top."""
    style = {"fontsize": FONT, "color": VARIABLES["ink"], "va": "center_baseline"} | how
    figure.text(x / WIDTH, 1 - y / height, text, parse_math=False, **style)  # type: ignore[arg-type]


_BETWEEN, _LETTER = 30, 6.4  # px between entries of a legend, and of a letter, about


def legend_lines(entries: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
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


def draw_legend(
    figure: Figure, height: float, lines: Sequence[Sequence[tuple[str, str]]], barred: Sequence[str]
) -> None:
    """Markers with their names along the top; those of series with intervals are on a bar."""
    axes = figure.add_axes((0, 0, 1, 1), frame_on=False)
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    for line, entries in enumerate(lines):
        x, y = 6.0, 10 + 18 * line
        for key, name in entries:
            if key in barred:
                axes.plot((x - 6, x + 6), (y, y), color=VARIABLES[STYLES[key].colour], linewidth=3, alpha=0.4)
            draw_dot(axes, STYLES[key], x, y)
            draw_label(figure, height, x + 12, y, name, fontsize=SMALL, color=VARIABLES["muted"])
            x += _BETWEEN + _LETTER * len(name)


def to_svg(figure: Figure, name: str, title: str, description: str, height: float) -> str:
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
    for variable, colour in VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    body = re.sub(r"\s*\n\s*", " ", body).replace("> <", "><").strip()
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{name}-t" '
        f'aria-describedby="{name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>{body}</svg>'
    )


def _round(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
