"""A hook of mkdocs: reference/params.md, every setting with its value and its comment, from params.yaml."""

import html
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PARAMS = Path(__file__).parent.parent / "params.yaml"
HEAD = """# Settings

Every key of `params.yaml`, with the value of preset `sample` and its meaning. This page is made from the comments of
that file. To change a value, edit the file, use `dvc exp run -S KEY=VALUE` for one run, or
`python -m stages.preset NAME --set KEY=VALUE`.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those that are on disk."""
    files.append(File.generated(config, "reference/params.md", content=page(PARAMS.read_text(encoding="utf-8"))))
    return files


def page(text: str) -> str:
    """The settings as Markdown: a section for each top-level key, a table row for each key below it."""
    sections: list[tuple[str, str, list[list[str]]]] = []
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        words, depth = line.strip(), (len(line) - len(line.lstrip())) // 2
        if words.startswith("#"):
            comment.append(words.lstrip("# "))
        elif not words:
            comment = []
        elif words.startswith("- ") or (sections and sections[-1][0] == "layer_map" and depth):
            rows = sections[-1][2]
            rows[-1][1] = ", ".join(filter(None, [rows[-1][1], words.removeprefix("- ")]))
        else:
            key, _, value = words.partition(":")
            path = [*path[:depth], key]
            meaning, comment = " ".join(comment), []
            if depth == 0:
                sections.append((key, meaning, [[key, value.strip(), ""]]))
            else:
                sections[-1][2].append([".".join(path), value.strip(), meaning or "as above"])
    return HEAD + "".join(_section(*section) for section in sections)


def _section(name: str, meaning: str, rows: list[list[str]]) -> str:
    """A heading, what the section is for, and its keys; a key that only opens a block and says nothing is left out."""
    shown = [row for row in rows if row[1] or row[2] not in ("", "as above")]
    if [row[0] for row in rows] == [name]:
        return "\n".join(["", f"## {name}", "", _escaped(meaning), "", f"`{name}`: `{rows[0][1]}`", ""])
    table = [f"| `{key}` | {f'`{value}`' if value else ''} | {_escaped(words)} |" for key, value, words in shown]
    head = ["", f"## {name}", "", _escaped(meaning), "", "| key | value | meaning |", "|---|---|---|"]
    return "\n".join([*head, *table, ""])


def _escaped(text: str) -> str:
    """Text that is neither markup nor a cell's end, except for code between backticks."""
    parts = text.split("`")
    for place in range(0, len(parts), 2):
        parts[place] = html.escape(parts[place], quote=False).replace("*", "\\*").replace("_", "\\_")
    return "`".join(parts).replace("|", "\\|")
