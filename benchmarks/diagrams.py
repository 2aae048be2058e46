"""The pictures of the pipeline in docs/, each in a light and a dark version, which need no script to show.

    python -m benchmarks.diagrams    # writes docs/images/idea-light.svg, ..., stages-dark.svg

`idea` is the pipeline in nine boxes. `stages` has the stages of dvc.yaml and their dependencies, without those that
follow from others. The same dvc.yaml gives the same bytes.
"""

import re
from html import escape
from pathlib import Path

import yaml

from benchmarks.svg import COLOURS, IMAGES
from distil.core.files import write_text
from distil.runtime.process import run_command

Edges = dict[str, set[str]]  # a box and the boxes that its arrows lead to
Places = dict[str, tuple[float, float]]  # column and row of each box

WIDTH, HEIGHT, COLUMN, ROW, EDGE = 146, 38, 154, 62, 8  # of a box, from box to box, around the picture; px

IDEA: Edges = {
    "Your text": {"Vocabulary, tokens"},
    "Teacher (XLM-R)": {"Vocabulary, tokens", "Teacher cache", "Fine-tuned teacher"},
    "Vocabulary, tokens": {"Teacher cache"},
    "Teacher cache": {"Student"},
    "Student": {"Fine-tuned student"},
    "Fine-tuned teacher": {"Fine-tuned student"},
    "Fine-tuned student": {"Report, MLflow", "ONNX, 8 bits"},
    "Report, MLflow": set(),
    "ONNX, 8 bits": set(),
}
IDEA_PLACES: Places = {
    "Your text": (0, 0), "Teacher (XLM-R)": (1.5, 0), "Vocabulary, tokens": (0, 1), "Teacher cache": (0.75, 2),
    "Student": (0.75, 3), "Fine-tuned teacher": (2, 3), "Fine-tuned student": (1.25, 4), "Report, MLflow": (0.75, 5),
    "ONNX, 8 bits": (1.75, 5),
}  # fmt: skip
STAGE_PLACES: Places = {
    "tasks": (0, 0), "teacher": (1, 0), "corpus": (3, 1), "vocabulary": (2, 2), "tokenize": (2, 3),
    "finetune_teacher": (1, 3), "mix_teachers": (1, 5), "cache_teacher": (2, 4), "no_teacher": (4, 4),
    "distil": (2, 5), "baselines": (0, 6),
    "finetune_student": (1, 6), "footprint": (2, 6), "finetune_student_plain": (3, 6), "finetune_no_teacher": (4, 6),
    "control": (5, 4), "finetune_control": (5, 6),
    "merge_student": (1, 7), "export": (1, 8), "linear_companion": (1, 9), "rival": (0, 8), "decoder": (4, 8),
    "pairs": (5, 0), "embed": (5, 7), "evaluate_embedding": (5, 9),
    "evaluate": (3, 10), "report": (2, 11), "track": (2, 12),
}  # fmt: skip


def read_stages(path: Path) -> Edges:
    """Stage -> stages that read its outputs; the stages of one task are one box."""
    stages = yaml.safe_load(re.sub(r"\$\{(?:key|item)(?:\.\w+)?\}", "TASK", path.read_text(encoding="utf-8")))["stages"]
    bodies = {name: stage.get("do", stage) for name, stage in stages.items()}
    made = {
        Path(next(iter(out)) if isinstance(out, dict) else out): name
        for name, stage in bodies.items() for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])
    }  # fmt: skip
    edges: Edges = {name: set() for name in bodies}
    for name, stage in bodies.items():
        for dependency in map(Path, stage.get("deps", [])):
            for out, maker in made.items():
                if maker != name and (out == dependency or dependency in out.parents or out in dependency.parents):
                    edges[maker].add(name)
    return edges


def reachable(edges: Edges, start: str) -> set[str]:
    """All boxes to which arrows lead from `start`."""
    found: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += edges[name]
    return found


def reduce(edges: Edges) -> Edges:
    """Without arrows that a longer way already says."""
    return {
        name: {end for end in ends if not any(end in reachable(edges, other) for other in ends - {end})}
        for name, ends in edges.items()
    }


def draw(edges: Edges, places: Places, theme: str) -> str:
    """The picture as SVG."""
    ink, muted, line, blue, _, paper = COLOURS[theme]
    middle = {
        name: (EDGE + column * COLUMN + WIDTH / 2, EDGE + row * ROW) for name, (column, row) in places.items()
    }  # fmt: skip
    width = max(x for x, _ in middle.values()) + WIDTH / 2 + EDGE
    height = max(y for _, y in middle.values()) + HEIGHT + EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        'font-family="sans-serif" font-size="12.5" text-anchor="middle">',
        f'<rect width="100%" height="100%" fill="{paper}"/>',
        '<marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{muted}"/></marker>',
    ]
    for start, ends in edges.items():
        for end in sorted(ends):
            (x, y), (to_x, to_y) = middle[start], middle[end]
            y += HEIGHT
            bend = (to_y - y) / 2
            parts.append(
                f'<path d="M{x:g} {y:g}C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}" fill="none" '
                f'stroke="{muted}" stroke-width="1.3" marker-end="url(#end)"/>'
            )
    for name in edges:
        x, y = middle[name]
        parts.append(
            f'<rect x="{x - WIDTH / 2:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{paper}" '
            f'stroke="{blue if "cache" in name else line}" stroke-width="1.6"/>'
            f'<text x="{x:g}" y="{y + HEIGHT / 2 + 4.5:g}" fill="{ink}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    """Write the four pictures."""
    stages = reduce(read_stages(Path("dvc.yaml")))
    for theme in COLOURS:
        write_text(IMAGES / f"idea-{theme}.svg", draw(IDEA, IDEA_PLACES, theme))
        write_text(IMAGES / f"stages-{theme}.svg", draw(stages, STAGE_PLACES, theme))


if __name__ == "__main__":
    run_command(main)
