"""The place of a stage among all of dvc.yaml."""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple


class StageNumber(NamedTuple):
    """Stage `at` of all `of`, counted from 1 in the order of dvc.yaml, which is that in which DVC runs them."""

    at: int
    of: int


def stage_number(
    stage: str, pipeline: Path = Path("dvc.yaml"), params: Path = Path("params.yaml")
) -> StageNumber | None:
    """The place of a stage such as `tasks@sentiment`; None where the files do not say, since only a log needs it."""
    import yaml  # not above: `distil publish` is installed without it

    try:
        blocks = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"]
        names = list(stage_names(blocks, yaml.safe_load(params.read_text(encoding="utf-8"))))
        return StageNumber(names.index(stage) + 1, len(names))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return None


def stage_names(blocks: Mapping[str, Mapping[str, Any]], params: Mapping[str, Any]) -> Iterator[str]:
    """The names of all stages, those of `foreach` and `matrix` as DVC names them (`baselines@sentiment`)."""
    for name, block in blocks.items():
        if "foreach" in block:
            yield from (f"{name}@{key}" for key in _values(block["foreach"], params))
        elif "matrix" in block:
            axes = [_values(axis, params) for axis in block["matrix"].values()]
            yield from (f"{name}@{'-'.join(map(str, keys))}" for keys in product(*axes))
        else:
            yield name


def _values(given: Any, params: Any) -> Any:
    """A list, a mapping (its keys) or `${dotted.key}` of params.yaml."""
    if isinstance(given, str):
        for key in given.removeprefix("${").removesuffix("}").split("."):
            params = params[key]
        return params
    return given
