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


def changed_name(before: Mapping[str, Any], after: Mapping[str, Any], most: int = 3) -> str:
    """What differs, as a run's name: `alpha=0.9, epochs=8`; "" where nothing does.

    Args:
        before: params as dotted keys with values.
        after: likewise; only its keys count, so that it may be some of the sections.
        most: changes that are named; of further ones the number.
    """
    changed = {key: value for key, value in after.items()
               if key in before and not same_param(param_text(before[key]), param_text(value))}  # fmt: skip
    last = [key.rpartition(".")[2] for key in after]
    parts = []
    for key, value in changed.items():
        short = key.rpartition(".")[2]
        parts.append(f"{short if last.count(short) == 1 else key}={param_text(value)[:40]}")
    more = [f"{len(parts) - most} more"] if len(parts) > most else []
    return ", ".join([*parts[:most], *more])


def same_param(left: str, right: str) -> bool:
    """Whether two params are equal as text or as numbers (5e-5 and 0.00005)."""
    try:
        return left == right or float(left) == float(right)
    except ValueError:
        return False
