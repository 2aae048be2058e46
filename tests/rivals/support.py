"""Blocks of `rivals:` for the toy world, and what makes one there."""

from pathlib import Path
from typing import Any

from distil.core.files import read_json
from distil.evaluation.config import ALL_LABELS
from distil.evaluation.footprint import FootprintConfig
from distil.evaluation.rivals import RivalConfig
from distil.rivals.build import Rival, RivalPaths, RivalSettings
from tests.rivals.conftest import CONFIG
from tests.support import lab, toy
from tests.support.exported import CONFIG as EXPORT

FOOTPRINT = FootprintConfig(threads=1, rounds=1, short_words=2, long_words=4)
SETTINGS = RivalSettings(toy.LANGUAGES, "joint", [1], ALL_LABELS, CONFIG, EXPORT, FOOTPRINT)
TEACHER: dict[str, Any] = {"base": "models/finetuned/teacher", "layers": 0, "vocabulary": "full", "form": "dynamic"}
ENCODER = TEACHER | {"base": "models/teacher"}


def opened(**block: Any) -> Rival:
    """A rival of the fine-tuned teacher but for the keys given."""
    return Rival("r", RivalConfig.model_validate(TEACHER | block), SETTINGS)


def make(out: Path, tasks: tuple[str, ...] = ("words",), **block: Any) -> dict[str, Any]:
    """Make it below `out`; returns its figures."""
    paths = RivalPaths(out / "models", out / "predictions", out / "figures.json", out / "scratch")
    paths.scratch.mkdir(parents=True)
    opened(**block).make([lab.task_of(task) for task in tasks], paths)
    return read_json(paths.figures, "rival")
