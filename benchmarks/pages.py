"""Tables in docs/results that a command makes: each is between two marks, which name the command."""

from pathlib import Path

from distil.core.errors import UserError
from distil.core.files import write_text

# What was measured once and is kept: predictions, scores, experiments.
RECORDED = Path("benchmarks/recorded")
RESULTS = Path("docs/results")


def marks(name: str, command: str) -> tuple[str, str]:
    """The lines before and after a table."""
    return f"<!-- {name}: made by `{command}` -->", f"<!-- end of {name} -->"


def fill_page(name: str, command: str, body: str, page: Path) -> None:
    """Replace what is between the two marks of `name`.

    Raises:
        UserError: the marks are not there.
    """
    first, last = marks(name, command)
    before, begin, rest = page.read_text(encoding="utf-8").partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise UserError(f"{page}: expected the lines {first} and {last}, found no such pair; put them in")
    write_text(page, f"{before}{begin}\n\n{body}\n\n{end}{after}")
