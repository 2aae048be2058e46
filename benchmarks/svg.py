"""What the figures of benchmarks share: colours, style, SVG text whose bytes are the same each time, two versions."""

import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from distil.core.files import write_text

IMAGES = Path("docs/images")
Colours = tuple[str, ...]
# Ink, muted text, grid lines, student, TF-IDF, background.
COLOURS: dict[str, Colours] = {
    "light": ("#1f2328", "#59636e", "#d1d9e0", "#0067a5", "#c24e00", "#ffffff"),
    "dark": ("#f0f6fc", "#9198a1", "#3d444d", "#58a6ff", "#f0883e", "#0d1117"),
}


def style(colours: Colours, **more: Any) -> AbstractContextManager[None]:
    """The context in which a figure is drawn; `more` are settings of matplotlib, with `_` for `.`."""
    ink, muted, rule, _, _, paper = colours
    settings: Any = {
        "svg.hashsalt": "distil", "svg.fonttype": "path", "font.family": "DejaVu Sans", "text.color": ink,
        "axes.edgecolor": rule, "axes.labelcolor": muted, "xtick.color": muted, "ytick.color": muted,
        "axes.facecolor": paper, "figure.facecolor": paper, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
    }  # fmt: skip
    return matplotlib.rc_context(settings | {name.replace("_", "."): value for name, value in more.items()})


def svg_text(figure: Figure) -> str:
    """A figure as SVG, without its date; called inside `style`."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return re.sub(r"[ \t]+\n", "\n", buffer.getvalue())


def write_figures(folder: Path, name: str, draw: Callable[[Colours], str]) -> None:
    """Write NAME-light.svg and NAME-dark.svg."""
    for version, colours in COLOURS.items():
        write_text(folder / f"{name}-{version}.svg", draw(colours))
