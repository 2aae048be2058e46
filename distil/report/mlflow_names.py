"""Names and values as MLflow takes them: curves as points, params as dotted text."""

import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A value of a curve."""

    name: str
    step: int
    value: float
    milliseconds: int  # since 1970


def curve_points(step: int, row: Mapping[str, Any]) -> list[Point]:
    """A row of a curve, FILE/COLUMN by value, as points; what is no finite number (an empty cell) is left out."""
    now = int(time.time() * 1000)
    return [
        Point(curve_name(column), step, float(value), now)
        for column, value in row.items()
        if value not in (None, "") and math.isfinite(float(value))
    ]


def curve_name(column: str) -> str:
    """`train/kin.attention` -> `train/kin/attention`; `heldout/kin.kl` -> `train/heldout/kin/kl`.

    Names that start with `heldout/` are left to the results of the finished student.
    """
    return valid_name(("train/" if column.startswith("heldout/") else "") + column.replace(".", "/"))


def flatten(tree: Mapping[str, Any], prefix: str = "", separator: str = ".") -> dict[str, Any]:
    """Nested mappings as one: {"loss": {"alpha": 1}} becomes {"loss.alpha": 1}. Lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}{separator}", separator)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def valid_name(text: str) -> str:
    """`text` with every character that MLflow refuses in a name as an underscore."""
    return re.sub(r"[^\w\-. :/]", "_", text, flags=re.ASCII)


def param_text(value: Any) -> str:
    """A param as text; 2 and 2.0 give the same, since params.yaml and the checked config differ there."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return format(value, ".12g")
    return json.dumps(value, ensure_ascii=False)


def same_param(left: str, right: str) -> bool:
    """Whether two params are equal as text or as numbers (5e-5 and 0.00005)."""
    try:
        return left == right or float(left) == float(right)
    except ValueError:
        return False
