"""Sections of params.yaml that are blocks by name: `rivals:` and `decoders:`, whose names are rows of tables."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from distil.core.errors import UserError
from distil.core.params import Params, parse_params, read_params
from distil.evaluation.model_names import MODEL_TITLES

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
P = TypeVar("P", bound=Params)


def load_blocks(section: str, config: type[P], path: Path) -> dict[str, P]:
    """A section of blocks by name, in its order.

    Raises:
        UserError: it is no mapping, a name is taken or none, or a block is not a `config`.
    """
    blocks = read_params(path).get(section)
    if not isinstance(blocks, Mapping):
        raise UserError(f"{path}: {section}: expected blocks by name, or {{}} for none, found {blocks!r}")
    found = {}
    for name, block in blocks.items():
        where = f"{path}: {section}.{name}"
        if not _NAME.fullmatch(str(name)):
            raise UserError(f"{where}: expected a name of letters, digits and underscores that starts with a letter")
        if name in MODEL_TITLES:
            raise UserError(f"{where}: {name} is the name of a model that is scored anyway; choose another")
        if not isinstance(block, Mapping):
            raise UserError(f"{where}: expected the keys {', '.join(config.model_fields)}, found {block!r}")
        found[str(name)] = parse_params(block, config, where)
    return found
