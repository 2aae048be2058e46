"""What the stages rival@NAME and evaluate wrote of the rivals, checked."""

from collections.abc import Sequence
from pathlib import Path

from distil.evaluation.model_names import rival_stage
from distil.report.inputs.speed import ModelFootprint
from distil.report.inputs.stage_file import StageFile, read_stage_file


class RivalFootprint(StageFile):
    """A rival and the teacher, measured in turn."""

    models: dict[str, ModelFootprint]


class RivalDev(StageFile):
    """A language's dev score of a rival, and of the model before it was quantised; 0 to 1."""

    float32: float | None = None
    rival: float


class RivalTask(StageFile):
    """What a rival is for one task; the dev scores are the first seed's."""

    bytes: int
    dev: dict[str, RivalDev]


class RivalFigures(StageFile):
    """metrics/distil/rivals/NAME.json."""

    base: str
    layers: int
    vocabulary: str
    form: str
    machine: str
    tasks: dict[str, RivalTask]
    footprint: RivalFootprint


def read_rivals(metrics: Path, names: Sequence[str], tasks: list[str]) -> dict[str, RivalFigures]:
    """The figures of each rival; of every task, or its stage is named."""
    return {
        name: read_stage_file(metrics / f"distil/rivals/{name}.json", RivalFigures, rival_stage(name), tasks, "tasks")
        for name in names
    }
