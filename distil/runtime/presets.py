"""Presets: named sets of values for params.yaml, each a commented file in stages/presets.

`sample.yaml` lists every key that any preset touches, with the value that params.yaml is committed with. A preset is
`sample` with its own values on top, so choosing one after another leaves nothing of the first behind, and choosing
`sample` gives params.yaml back byte for byte. Keys that no preset touches keep what was written by hand.

Values are replaced in the text of params.yaml, so comments, order and quotes stay and `git diff` shows one line a key.
"""

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from distil.core.errors import UserError
from distil.core.files import write_text

log = logging.getLogger("distil")

_HERE = Path("stages/presets")
# Of the folder worked in, else those that were installed with the package.
PRESETS = _HERE if _HERE.is_dir() else Path(__file__).parents[2] / _HERE
DEFAULT = "sample"
ORDER = (DEFAULT, "small", "medium", "comet", "comet-trim")  # by what they need; others follow by name
# What a path names that nothing reads: a folder that is always there.
UNREAD = "distil/lexicons"


class Leaf(NamedTuple):
    """A value at a dotted key: a scalar or a whole list."""

    value: Any
    text: str  # as written, without what stands around it
    start: int  # characters from the start of the file: behind the key's colon
    end: int  # behind the last character of the value
    column: int  # spaces before the key


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


def preset_values(name: str, settings: Iterable[str] = (), folder: Path = PRESETS) -> dict[str, Leaf]:
    """The values of a preset by dotted key, with KEY=VALUE `settings` on top.

    A path that starts with ../ is made absolute: a queued experiment runs in another folder. Paths of a task that hang
    on what was set follow it, unless they are set too (`_followers`).

    Raises:
        UserError: there is no such preset, or a setting is not KEY=VALUE.
    """
    known = describe(folder)
    if name not in known:
        raise UserError(f"preset {name!r}: there is none of that name; expected one of {', '.join(known)}")
    values: dict[str, Leaf] = {}
    for each in (DEFAULT, name):
        path = folder / f"{each}.yaml"
        values |= read_leaves(path.read_text(encoding="utf-8"), path)
    given: dict[str, Leaf] = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        value = _typed(key, text)
        if not (key and text) or isinstance(value, Mapping):
            raise UserError(f"--set {setting}: expected KEY=VALUE such as corpus.path=/data/corpus")
        given[key] = Leaf(value, _scalar(value, text), 0, 0, 0)
    followers = _followers(given)
    for key, leaf in followers.items():
        log.info("%s: %s, as it was not set", key, leaf.text)
    values |= given | followers
    return {key: _absolute(key, leaf) for key, leaf in values.items()}


def missing_paths(values: Mapping[str, Leaf], folder: Path = PRESETS) -> dict[str, str]:
    """The paths that are not there, by key: DVC would refuse to begin. Those of `sample` are, or a stage makes them."""
    usual = {key: leaf.value for key, leaf in preset_values(DEFAULT, folder=folder).items()}
    return {
        key: str(leaf.value)
        for key, leaf in values.items()
        if _is_path(key) and leaf.value != usual.get(key) and not Path(leaf.value).exists()
    }


def apply_values(values: Mapping[str, Leaf], params: Path) -> list[str]:
    """Write the values into params.yaml; returns the keys that changed.

    Raises:
        UserError: a key is unknown there.
    """
    text = params.read_text(encoding="utf-8")
    changes = changed_values(values, params)
    old = read_leaves(text, params)
    for key in sorted(changes, key=lambda key: old[key].start, reverse=True):  # from the end: positions before stay
        text = text[: old[key].start] + _value_text(changes[key], old[key].column) + text[old[key].end :]
    new = read_leaves(text, params)
    expected = {key: leaf.value for key, leaf in old.items()} | {key: leaf.value for key, leaf in changes.items()}
    if {key: leaf.value for key, leaf in new.items()} != expected:
        raise UserError(f"{params}: cannot write the preset into this file; `git checkout {params}`, then again")
    write_text(params, text)
    return list(changes)


def changed_values(values: Mapping[str, Leaf], params: Path) -> dict[str, Leaf]:
    """Those of `values` that params.yaml does not have, in its order.

    Raises:
        UserError: a key is unknown there.
    """
    current = read_leaves(params.read_text(encoding="utf-8"), params)
    for key in values:
        if key not in current:
            close = get_close_matches(key, current, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"its sections: {', '.join(_sections(current))}"
            raise UserError(f"{params}: the preset sets `{key}`, which is no value there; {hint}")
    return {
        key: values[key]
        for key, leaf in current.items()
        if key in values and (values[key].value != leaf.value or type(values[key].value) is not type(leaf.value))
    }


def experiment_args(values: Mapping[str, Leaf]) -> str:
    """The values as options of `dvc exp run`, for use as $(...) without quotes.

    Raises:
        UserError: a value holds white space, at which the shell would cut it.
    """
    options = []
    for key, leaf in values.items():
        option = f"{key}={_hydra(leaf.value, leaf.text)}"
        if re.search(r"\s", option):
            raise UserError(f"{option}: white space does not survive $(...); choose the preset without --args")
        options.append(f"-S {option}")
    return " ".join(options)


def read_leaves(text: str, path: Path) -> dict[str, Leaf]:
    """Every scalar and list of a YAML file by dotted key.

    Raises:
        UserError: not YAML with sections; names `path`.
    """
    try:
        node, tree = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}: expected sections such as `loss:`, found {tree!r}")
    return dict(_leaves(text, node, tree, ""))


def _leaves(text: str, node: yaml.MappingNode, tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Leaf]]:
    for key, value in node.value:
        name = prefix + key.value
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _leaves(text, value, tree[key.value], name + ".")
        else:
            start, end = key.end_mark.index + 1, _end(value)
            written = text[value.start_mark.index : end]
            yield name, Leaf(tree[key.value], written, start, end, key.start_mark.column)


def _end(node: yaml.Node) -> int:
    """Behind a node's last character; a block list's own mark lies behind the comments that follow it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        return node.end_mark.index
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _value_text(leaf: Leaf, column: int) -> str:
    """What follows the colon of a key `column` spaces in; lists in block style without indentation, as DVC writes."""
    if not isinstance(leaf.value, list) or not leaf.value:
        return f" {leaf.text}"
    lines = yaml.safe_dump(leaf.value, sort_keys=False, allow_unicode=True, width=1000).splitlines()
    return "".join(f"\n{' ' * column}{line}" for line in lines)


def _followers(given: Mapping[str, Leaf]) -> dict[str, Leaf]:
    """Paths of tasks that would otherwise stay the preset's: of labels elsewhere, and of a task that is left out.

    DVC wants every path to be there, also that of a task without labels (`source: none`).
    """
    found: dict[str, str] = {}
    for section in dict.fromkeys(key.rpartition(".")[0] for key in given if key.startswith("tasks.")):
        left_out = f"{section}.source" in given and given[f"{section}.source"].value == "none"
        if left_out or f"{section}.path" in given:
            path = UNREAD if left_out else str(given[f"{section}.path"].value)
            found |= {f"{section}.path": path, f"{section}.unlabelled_path": path, f"{section}.unlabelled": ""}
    return {key: Leaf(value, _scalar(value, value), 0, 0, 0) for key, value in found.items() if key not in given}


def _is_path(key: str) -> bool:
    return key.rpartition(".")[2] in ("path", "unlabelled_path")


def _typed(key: str, text: str) -> Any:
    """The value that `text` stands for in YAML; a path, and what is no YAML, is text."""
    try:
        return text if _is_path(key) else yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _scalar(value: Any, text: str) -> str:
    """`text` if it stands for `value` behind a key as well, else quoted."""
    try:
        plain = yaml.safe_load(f"key: {text}") == {"key": value}
    except yaml.YAMLError:
        plain = False
    if plain:
        return text
    return f"""'{value.replace("'", "''")}'""" if value.isprintable() else json.dumps(value, ensure_ascii=False)


def _absolute(key: str, leaf: Leaf) -> Leaf:
    if not _is_path(key) or not str(leaf.value).startswith("../"):
        return leaf
    path = os.path.abspath(leaf.value)
    return leaf._replace(value=path, text=_scalar(path, path))


def _hydra(value: Any, text: str) -> str:
    """A value in the grammar of `dvc exp run -S`: what is no plain word is quoted."""
    if isinstance(value, list):
        return "[" + ",".join(_hydra(each, str(each)) for each in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_hydra(each, str(each))}" for key, each in value.items()) + "}"
    if not isinstance(value, str):
        return text
    if re.fullmatch(r"[A-Za-z/][\w/.-]*", value) and yaml.safe_load(value) == value:
        return value
    return "'" + value.replace("'", "\\'") + "'"


def _sections(leaves: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(key.partition(".")[0] for key in leaves))
