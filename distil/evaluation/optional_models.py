"""Models that are scored on request, beside those of every run: `rivals:` and `decoders:` of params.yaml."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from distil.core.errors import UserError
from distil.core.params import PARAMS_FILE
from distil.evaluation.decoders import decoders_of
from distil.evaluation.rivals import rivals_of

OptionalModels = Mapping[str, Mapping[str, str]]  # by task and name the stage that predicts, as `dvc repro` takes it


def optional_models(tasks: Sequence[str], path: Path = PARAMS_FILE) -> OptionalModels:
    """The rivals and decoders of each task, in the order of tables.

    Raises:
        UserError: a section is wrong, or two models have the same name.
    """
    rivals, decoders = rivals_of(tasks, path), decoders_of(tasks, path)
    if twice := sorted(names_of(rivals).keys() & names_of(decoders).keys()):
        raise UserError(f"{path}: {twice[0]} is the name of a rival and of a decoder; rename one of them")
    return {task: {**rivals[task], **decoders[task]} for task in tasks}


def names_of(optional: OptionalModels) -> dict[str, str]:
    """Every name with its stage, whatever the task."""
    return {name: stage for models in optional.values() for name, stage in models.items()}
