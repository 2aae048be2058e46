"""The exception for faults that the user can fix, and values cut so that they fit into its one sentence."""

_LONGEST = 80


class UserError(Exception):
    """Bad input. The message says what, where, expected, found and what to do; no traceback is shown for it."""


def cut(value: object, longest: int = _LONGEST) -> str:
    """A value for a message: printable, on one line, cut after `longest` characters with the number of all of them."""
    text = str(value)
    line = " ".join(text[: longest + 1].split())
    start = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
    return start if len(text) <= longest else f"{start[:longest]}... ({len(text):,} characters)"


def described(value: object) -> str:
    """What a value is, and its beginning, for a message: a list, ['a', 'b']."""
    names = {str: "text", bytes: "bytes", list: "a list", dict: "an object", bool: "true or false", int: "a number",
             float: "a number"}  # fmt: skip
    if value is None:
        return "nothing"
    return f"{names.get(type(value), type(value).__name__)}, {cut(value if isinstance(value, str) else repr(value))}"
