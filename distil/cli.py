"""The command `distil`: `distil COMMAND ...`, in a clone also `python -m distil COMMAND ...`.

Each command is a module of its own that is imported when it is asked for: `distil predict` needs neither torch nor DVC.
"""

import importlib
import sys
from difflib import get_close_matches
from typing import NamedTuple, NoReturn


class Command(NamedTuple):
    """A command: the module whose `run()` reads sys.argv and ends the process, and a line of help."""

    module: str
    help: str


COMMANDS = {
    "predict": Command("distil.serving.cli", "texts on standard input, one per line, to predictions as JSON lines"),
    "demo": Command("distil.web.demo", "a static web page on which a student answers, offline too"),
    "web": Command("distil.web.folder", "an exported student as a folder for transformers.js"),
    "shrink": Command("distil.serving.shrink", "an exported model for fewer languages, or in the format for phones"),
    "preset": Command("distil.runtime.preset_command", "write a preset into params.yaml; `preset --list` lists them"),
    "runs": Command("distil.runtime.runs_command", "the table of experiments with their scores"),
    "report": Command("distil.report.result_command", "the result of the last run in a few lines; `--open` the page"),
    "publish": Command("distil.publish", "upload a model with its card to the Hugging Face Hub"),
    "doctor": Command("distil.runtime.doctor", "check the installation: packages, DVC, Git, memory, disk, GPU"),
}
EXTRA = {"publish": "hub"}  # which part of the package a command needs; else `pipeline`


def main() -> NoReturn:
    """Hand over to the command that is named first."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        sys.stdout.write(usage())
        sys.exit(0)
    if name == "--version":
        sys.stdout.write(version() + "\n")
        sys.exit(0)
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean `{close[0]}`?" if close else "`distil --help` lists the commands"
        sys.stderr.write(f"error: distil: unknown command {name[:80]!r}, expected {', '.join(COMMANDS)}; {hint}\n")
        sys.exit(1)
    sys.argv = [f"distil {name}", *sys.argv[2:]]
    try:
        module = importlib.import_module(COMMANDS[name].module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "distil":
            raise
        extra = EXTRA.get(name, "pipeline")
        sys.stderr.write(
            f"error: distil {name}: the package {error.name} is not installed; run `pip install 'distil[{extra}]'`\n"
        )
        sys.exit(1)
    module.run()
    sys.exit(0)


def usage() -> str:
    """The help of the command itself."""
    lines = [f"  {name:<9} {command.help}" for name, command in COMMANDS.items()]
    first, last = "usage: distil COMMAND [options]", "`distil COMMAND --help` shows its options."
    return "\n".join([first, "", *lines, "", last, ""])


def version() -> str:
    """The installed version, or that of a clone."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return f"distil {installed('distil')}"
    except PackageNotFoundError:
        return "distil (a clone, not installed)"
