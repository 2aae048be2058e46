"""The table of experiments: `dvc exp show` with the settings that differ and the scores, the best first."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from distil.core.errors import UserError
from distil.runtime.process import run_command

HEADLINE = Path("metrics/headline.json")
# Columns of files and of when an experiment was made: nothing that is compared.
DROP = "^(metrics|models|data|distil|stages)/|key|Created|State|Executor"


def command(options: list[str], headline: Path = HEADLINE) -> list[str]:
    """The `dvc exp show` that is run: experiments by the first task's score, where one was scored."""
    line = [sys.executable, "-m", "dvc", "exp", "show", "--only-changed", "--no-pager", "--drop", DROP]
    if score := score_column(headline):
        line += ["--sort-order", "desc", "--sort-by", f"{headline.as_posix()}:{score}"]
    return [*line, *options]


def score_column(headline: Path) -> str | None:
    """The first task's student score in metrics/headline.json; None before the first report."""
    try:
        tree = json.loads(headline.read_text(encoding="utf-8"))
        return next((f"{task}.student" for task, figures in tree.items() if "student" in figures), None)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def main() -> None:
    """Parse the command line and run DVC."""
    parser = argparse.ArgumentParser(
        prog="distil runs", description=(__doc__ or "").strip(),
        epilog="Other options are those of `dvc exp show`, such as -A (all commits), --csv or --md.",
    )  # fmt: skip
    _, options = parser.parse_known_args()
    if not Path(".dvc").is_dir():
        raise UserError(f"{Path.cwd()}: expected a clone of the repository (no .dvc here); run it from its root")
    done = subprocess.run(command(options), env=os.environ | {"DVC_NO_ANALYTICS": "1"})
    if done.returncode:
        raise UserError(f"distil runs: `dvc exp show` ended with {done.returncode}; its reason is above")


def run() -> NoReturn:
    """The command."""
    run_command(main)
