"""Presets: named sets of values for params.yaml, each a commented file in stages/presets.

`sample.yaml` lists every key that any preset touches, with the value that params.yaml is committed with. A preset is
`sample` with its own values on top, so choosing one after another leaves nothing of the first behind, and choosing
`sample` gives params.yaml back byte for byte. Keys that no preset touches keep what was written by hand.

params.yaml is read and written by ruamel.yaml, as `dvc exp run -S` does, so comments and order stay and `git diff`
shows one line a key. A file that is indented or quoted in another way is written in DVC's style.
"""

import io
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import SingleQuotedScalarString

from distil.core.errors import UserError
from distil.core.files import write_text

log = logging.getLogger("distil")

_HERE = Path("stages/presets")
# Of the folder worked in, else those that were installed with the package.
PRESETS = _HERE if _HERE.is_dir() else Path(__file__).parents[2] / _HERE
DEFAULT = "sample"
# By what they need; others follow by name.
ORDER = (DEFAULT, "sample-from-zero", "small", "medium", "comet", "comet-trim")
# What a path names that nothing reads: a folder that is always there.
UNREAD = "distil/lexicons"


class Description(NamedTuple):
    """What the first lines of a preset's file say: `# what it is`, `# Time: how long it takes`."""

    text: str
    time: str  # "" where the file does not say


def describe(folder: Path = PRESETS) -> dict[str, Description]:
    """Every preset, from the one that needs least."""
    places = {name: place for place, name in enumerate(ORDER)}
    paths = sorted(folder.glob("*.yaml"), key=lambda path: (places.get(path.stem, len(ORDER)), path.stem))
    return {path.stem: _description(path.read_text(encoding="utf-8")) for path in paths}


def _description(text: str) -> Description:
    comment = [line.lstrip("# ") for line in takewhile(lambda line: line.startswith("# "), text.splitlines())]
    time = next((line.removeprefix("Time:").strip() for line in comment if line.startswith("Time:")), "")
    return Description(" ".join(line for line in comment if not line.startswith("Time:")), time)


def preset_values(name: str, settings: Iterable[str] = (), folder: Path = PRESETS) -> dict[str, Any]:
    """The values of a preset by dotted key, with KEY=VALUE `settings` on top: scalars and whole lists.

    A path that starts with ../ is made absolute: a queued experiment runs in another folder. Paths of a task that hang
    on what was set follow it, unless they are set too (`_followers`).

    Raises:
        UserError: there is no such preset, or a setting is not KEY=VALUE.
    """
    known = describe(folder)
    if name not in known:
        raise UserError(f"preset {name!r}: there is none of that name; expected one of {', '.join(known)}")
    values: dict[str, Any] = {}
    for each in (DEFAULT, name):
        values |= read_values(folder / f"{each}.yaml")
    given: dict[str, Any] = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        value = _typed(key, text)
        if not (key and text) or isinstance(value, Mapping):
            raise UserError(f"--set {setting}: expected KEY=VALUE such as corpus.path=/data/corpus")
        given[key] = value
    followers = _followers(given)
    for key, value in followers.items():
        log.info("%s: %s, as it was not set", key, value or "''")
    values |= given | followers
    return {key: _absolute(key, value) for key, value in values.items()}


def missing_paths(values: Mapping[str, Any], folder: Path = PRESETS) -> dict[str, str]:
    """The paths that are not there, by key: DVC would refuse to begin. Those of `sample` are, or a stage makes them."""
    usual = preset_values(DEFAULT, folder=folder)
    return {
        key: str(value)
        for key, value in values.items()
        if _is_path(key) and value != usual.get(key) and not Path(value).exists()
    }


def apply_values(values: Mapping[str, Any], params: Path) -> list[str]:
    """Write the values into params.yaml; returns the keys that changed.

    Raises:
        UserError: a key is unknown there.
    """
    document = _read(params)
    changes = _changes(values, document, params)
    for key, value in changes.items():
        *sections, last = key.split(".")
        parent = document
        for section in sections:
            parent = parent[section]
        _replace(parent, last, value)
    stream = io.StringIO()
    _yaml().dump(document, stream)
    write_text(params, stream.getvalue())
    return list(changes)


def changed_values(values: Mapping[str, Any], params: Path) -> dict[str, Any]:
    """Those of `values` that params.yaml does not have, in its order.

    Raises:
        UserError: a key is unknown there.
    """
    return _changes(values, _read(params), params)


def _changes(values: Mapping[str, Any], document: CommentedMap, params: Path) -> dict[str, Any]:
    current = dict(_leaves(document, ""))
    for key in values:
        if key not in current:
            close = get_close_matches(key, current, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"its sections: {', '.join(_sections(current))}"
            raise UserError(f"{params}: the preset sets `{key}`, which is no value there; {hint}")
    # 2 and 2.0, 1 and true are equal to Python and other values in the file
    return {
        key: values[key]
        for key, value in current.items()
        if key in values and (values[key] != value or _type(values[key]) is not _type(value))
    }


def experiment_args(values: Mapping[str, Any]) -> str:
    """The values as options of `dvc exp run`, for use as $(...) without quotes.

    Raises:
        UserError: a value holds white space, at which the shell would cut it.
    """
    options = []
    for key, value in values.items():
        option = f"{key}={_hydra(value)}"
        if re.search(r"\s", option):
            raise UserError(f"{option}: white space does not survive $(...); choose the preset without --args")
        options.append(f"-S {option}")
    return " ".join(options)


def read_values(path: Path) -> dict[str, Any]:
    """Every scalar and list of a YAML file by dotted key.

    Raises:
        UserError: not YAML with sections; names `path`.
    """
    return dict(_leaves(_read(path), ""))


def _yaml() -> YAML:
    """Reads and writes as DVC does (dvc.utils.serialize), but does not fold long lines."""
    parser = YAML()
    parser.default_flow_style = False
    parser.width = 4096
    return parser


def _read(path: Path) -> CommentedMap:
    try:
        tree = _yaml().load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(tree, CommentedMap):
        raise UserError(f"{path}: expected sections such as `loss:`, found {tree!r}")
    return tree


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _type(value: Any) -> type:
    """The plain type of a value that ruamel.yaml has read."""
    return next(plain for plain in (bool, int, float, str, list, object) if isinstance(value, plain))


def _replace(parent: CommentedMap, key: str, value: Any) -> None:
    """Put a value at a key. The comment behind the old value, which hangs on its last item, goes behind the new one."""
    holder, last, slot = _end(parent, key)
    slots = holder.ca.items.get(last)
    comment = slots[slot] if slots else None
    if slots:
        slots[slot] = None
    parent[key] = _node(value)
    if comment:
        holder, last, slot = _end(parent, key)
        holder.ca.items.setdefault(last, [None] * 4)[slot] = comment


def _end(parent: CommentedMap | CommentedSeq, key: Any) -> tuple[CommentedMap | CommentedSeq, Any, int]:
    """Where ruamel.yaml keeps the comment behind the value at a key: the container, the key and the slot there."""
    child = parent[key]
    if isinstance(child, CommentedMap | CommentedSeq) and child and not child.fa.flow_style():
        return _end(child, len(child) - 1 if isinstance(child, CommentedSeq) else next(reversed(child)))
    return parent, key, 0 if isinstance(parent, CommentedSeq) else 2


def _node(value: Any) -> Any:
    """A value without the comments of the file that it comes from; text that YAML 1.1 reads as no text is quoted."""
    if isinstance(value, Mapping):
        return CommentedMap((key, _node(each)) for key, each in value.items())
    if isinstance(value, list):
        return CommentedSeq(_node(each) for each in value)
    if isinstance(value, str) and not _plain(value):
        return SingleQuotedScalarString(value)
    return value


def _plain(text: str) -> bool:
    """Whether text without quotes is text to PyYAML, which reads YAML 1.1 (`no` is false)."""
    try:
        return bool(yaml.safe_load(text) == text)
    except yaml.YAMLError:
        return True  # ruamel.yaml quotes it


def _followers(given: Mapping[str, Any]) -> dict[str, str]:
    """Paths of tasks that would otherwise stay the preset's: of labels elsewhere, and of a task that is left out.

    DVC wants every path to be there, also that of a task without labels (`source: none`).
    """
    found: dict[str, str] = {}
    for section in dict.fromkeys(key.rpartition(".")[0] for key in given if key.startswith("tasks.")):
        left_out = given.get(f"{section}.source") == "none"
        if left_out or f"{section}.path" in given:
            path = UNREAD if left_out else str(given[f"{section}.path"])
            found |= {f"{section}.path": path, f"{section}.unlabelled_path": path, f"{section}.unlabelled": ""}
    return {key: value for key, value in found.items() if key not in given}


def _is_path(key: str) -> bool:
    return key.rpartition(".")[2] in ("path", "unlabelled_path")


def _typed(key: str, text: str) -> Any:
    """The value that `text` stands for in YAML; a path, a date and what is no YAML is text."""
    try:
        value = text if _is_path(key) else _yaml().load(text)
    except YAMLError:
        return text
    return value if value is None or isinstance(value, bool | int | float | str | list | Mapping) else text


def _absolute(key: str, value: Any) -> Any:
    return os.path.abspath(value) if _is_path(key) and str(value).startswith("../") else value


def _hydra(value: Any) -> str:
    """A value in the grammar of `dvc exp run -S`: what is no plain word is quoted."""
    if isinstance(value, list):
        return "[" + ",".join(map(_hydra, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_hydra(each)}" for key, each in value.items()) + "}"
    if value is None:
        return "null"
    if not isinstance(value, str):
        return str(value).lower()  # true, false
    if re.fullmatch(r"[A-Za-z/][\w/.-]*", value) and _plain(value):
        return value
    return "'" + value.replace("'", "\\'") + "'"


def _sections(keys: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(key.partition(".")[0] for key in keys))
