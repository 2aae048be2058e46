"""Strict reading of params.yaml: an unknown key, a missing key or a value out of range stops the stage at once.

It knows no section: a config class is beside the function that it configures. Defaults live in
params.yaml, not in Python.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from distil.core.errors import UserError

PARAMS_FILE = Path("params.yaml")


class Params(BaseModel):
    """Base of every config class: frozen, and refuses what it does not know and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_not_one(cls, value: Any, info: ValidationInfo) -> Any:
        """`epochs: yes` is a slip; text such as 1e-4, which PyYAML does not take for a number, is none."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (int, float):
            raise ValueError("input should be a number")
        return value


P = TypeVar("P", bound=Params)


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """The whole of params.yaml as nested dicts.

    Raises:
        UserError: the file is missing or is not YAML with sections.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the repository root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise UserError(f"{path}: not valid YAML ({where}); mend it or `git checkout {path}`") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected sections such as `loss:`, found {type(tree).__name__}")
    return tree


def load_params(section: str, config: type[P], path: Path = PARAMS_FILE) -> P:
    """One section of params.yaml, checked. `section` may be dotted: "tasks.sentiment".

    Raises:
        UserError: names the key at fault, what was expected and what was found.
    """
    node: Any = read_params(path)
    for name in section.split("."):
        if not isinstance(node, Mapping) or name not in node:
            raise UserError(f"{path}: section `{section}:` is missing; `git diff {path}` shows what changed")
        node = node[name]
    if not isinstance(node, Mapping):
        raise UserError(f"{path}: {section}: expected a section with keys, found {node!r}")
    return parse_params(node, config, f"{path}: {section}")


def parse_params(node: Mapping[str, Any], config: type[P], where: str) -> P:
    """A config object from a mapping; `where` begins every message."""
    try:
        return config.model_validate(dict(node))
    except ValidationError as error:
        raise UserError(explain(error, config, where)) from None


def load_languages(path: Path = PARAMS_FILE) -> list[str]:
    """The list `languages:` of params.yaml, each code known and given once."""
    from distil.core.languages import check_languages

    codes = read_params(path).get("languages")
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        raise UserError(f"{path}: languages: expected a list of ISO 639-3 codes, found {codes!r}")
    check_languages(codes)
    return codes


def load_seed(path: Path = PARAMS_FILE) -> int:
    """The number `seed:` of params.yaml, a whole number from 0 to 2³¹ - 1."""
    seed = read_params(path).get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise UserError(f"{path}: seed: expected a whole number from 0 to 2147483647, found {seed!r}")
    return seed


NO_FOLDER = "distil/lexicons"  # a folder that is always there, since DVC stops at a missing dependency


def load_trunk(path: Path = PARAMS_FILE) -> Path | None:
    """The folder `student.trunk` of params.yaml; None where it is `NO_FOLDER`, which nothing reads."""
    student = read_params(path).get("student")
    trunk = student.get("trunk") if isinstance(student, Mapping) else None
    if not isinstance(trunk, str) or not trunk:
        raise UserError(f"{path}: student.trunk: expected a folder, or {NO_FOLDER} for none, found {trunk!r}")
    return None if trunk == NO_FOLDER else Path(trunk)


def explain(error: ValidationError, config: type[BaseModel], where: str) -> str:
    """The faults of a pydantic error, one clause each, in the words of params.yaml."""
    clauses = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"])
        name = f"{where}.{key}" if key else where
        if fault["type"] == "extra_forbidden":
            known = _known_keys(config, fault["loc"])
            close = get_close_matches(str(fault["loc"][-1]), known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(known)}"
            clauses.append(f"{name}: unknown key; {hint}")
        elif fault["type"] == "missing":
            clauses.append(f"{name}: this key is missing; `git diff params.yaml` shows what changed")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            # A fault of several keys together names their values itself.
            clauses.append(f"{name}: {message}, found {fault['input']!r}" if key else f"{name}: {message}")
    return "; ".join(clauses)


def _known_keys(config: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys of the innermost section that holds the key at `place`."""
    for name in place[:-1]:
        inner = config.model_fields[str(name)].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            config = inner
    return list(config.model_fields)


def load_list(section: str, config: type[P], path: Path = PARAMS_FILE) -> list[P]:
    """A section of params.yaml that is a list of blocks, each checked."""
    node = read_params(path).get(section)
    if not isinstance(node, list) or not all(isinstance(item, Mapping) for item in node):
        raise UserError(f"{path}: {section}: expected a list of blocks, found {node!r}")
    return [parse_params(item, config, f"{path}: {section}.{number}") for number, item in enumerate(node)]
