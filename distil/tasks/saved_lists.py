"""Lists that a table holds as text: what pandas and other writers of CSV make of a column of lists. Pure."""

import ast
import json
import re
from typing import Any

_ITEM = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[0-9]+)\s*(?:,|(?<=\s)|$)""", re.DOTALL)


def as_list(value: Any) -> list[Any] | None:
    """A list, or the one that a text such as `["a", "b"]`, `['a', 'b']` or `['a' 'b']` (JSON, Python, NumPy) shows.

    Returns:
        None if it is no list.
    """
    if isinstance(value, list):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _python_list(text[1:-1])
    return found if isinstance(found, list) else None


def _python_list(text: str) -> list[Any] | None:
    # Not ast.literal_eval of the whole: it takes NumPy's ['a' 'b'] for the one text 'ab'.
    found, at, text = [], 0, text.strip()
    while at < len(text):
        item = _ITEM.match(text, at)
        if not item:
            return None
        try:
            found.append(ast.literal_eval(item[1]))
        except (ValueError, SyntaxError):
            return None
        at = item.end()
    return found
