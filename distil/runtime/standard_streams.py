"""Standard input, output and error of a command: a closed, full or wrong one is one sentence, never a traceback."""

import os
import sys

from distil.core.errors import UserError


def input_descriptor() -> int:
    """The descriptor of standard input.

    Raises:
        UserError: it is closed.
    """
    if sys.stdin is None:
        raise UserError("standard input: found it closed; give a file or a pipe (`< texts.txt`)")
    return sys.stdin.fileno()


def read_input(descriptor: int, size: int) -> bytes:
    """At most `size` bytes of standard input, as soon as there are some.

    Raises:
        UserError: it cannot be read, such as a folder.
    """
    try:
        return os.read(descriptor, size)
    except OSError as error:
        raise UserError(f"standard input: {error.strerror}; give a file or a pipe (`< texts.txt`)") from None


def check_output() -> None:
    """See that there is a standard output before work is done for it.

    Raises:
        UserError: it is closed.
    """
    if sys.stdout is None:
        raise UserError("standard output: found it closed; give a file or a pipe (`> FILE`)")


def write_output(data: bytes) -> None:
    """Write to standard output, at once.

    Raises:
        UserError: it is closed, or the disk is full.
    """
    check_output()
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # Python would try what it holds again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # nobody reads on, as with `| head`
            sys.exit(0)
        raise UserError(f"standard output: {error.strerror}; free space there or write elsewhere") from None


def say(text: str) -> None:
    """A line on standard error, where there is one."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
