"""The one exception class of our own: a fault that the user can mend, told in one sentence."""


class UserError(Exception):
    """Bad input. The message says what, where, expected, found and what to do; no traceback is shown for it."""
