"""The result of the last run in a few lines; with --open the whole report in a browser."""

import argparse
import webbrowser
from pathlib import Path
from typing import NoReturn

from distil.core.errors import UserError
from distil.report.result import result_lines
from distil.runtime.process import run_command
from distil.runtime.standard_streams import write_output

PAGE = Path("metrics/report.html")


def main() -> None:
    """Print the summary and where the page is."""
    parser = argparse.ArgumentParser(prog="distil report", description=__doc__)
    parser.add_argument("--open", action="store_true", help="open metrics/report.html in a browser")
    options = parser.parse_args()
    write_output("".join(f"{line}\n" for line in result_lines(Path())).encode())
    if options.open and not PAGE.is_file():
        raise UserError(f"{PAGE}: no such file; run `dvc repro report`, or `dvc checkout {PAGE}` if it was made before")
    if options.open and not webbrowser.open(PAGE.absolute().as_uri()):
        raise UserError(f"no browser was found; open {PAGE.absolute()} yourself")


def run() -> NoReturn:
    """The command."""
    run_command(main)
