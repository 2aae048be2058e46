"""Reading data/pairs/NAME, as the stage `pairs` wrote it."""

import json
from pathlib import Path
from typing import NamedTuple

from distil.core.errors import UserError
from distil.core.files import read_json, verify_checksums


class Pair(NamedTuple):
    """A sentence and its translation."""

    pivot: str
    text: str


class Pairs(NamedTuple):
    """data/pairs/NAME, open for reading."""

    pivot: str
    train: dict[str, list[Pair]]  # by language
    test: dict[str, list[str]]  # by language, the pivot first; sentence n is the same in all


def read_pairs(folder: Path, name: str, languages: list[str]) -> Pairs:
    """What `write_pairs` wrote.

    Raises:
        UserError: missing, damaged, or of other languages.
    """
    stage = f"pairs@{name}"
    manifest = read_json(folder / "manifest.json", stage)
    verify_checksums(folder, stage)
    if list(manifest["languages"]) != sorted(languages):
        raise UserError(f"{folder}: pairs of {', '.join(manifest['languages'])}, expected {', '.join(languages)}; run "
                        f"`dvc repro {stage}`")  # fmt: skip
    sentences = _objects(folder / "test.jsonl")
    return Pairs(
        manifest["pivot"],
        {code: [Pair(**row) for row in _objects(folder / f"{code}.jsonl")] for code in languages},
        {code: [row[code] for row in sentences] for code in [manifest["pivot"], *languages]},
    )


def _objects(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
