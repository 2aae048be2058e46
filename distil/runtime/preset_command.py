"""Choose a preset: writes params.yaml, or nothing at all.

distil preset --list
distil preset small --set corpus.path=/data/corpus
dvc exp run $(distil preset comet --args)
"""

import argparse
import logging
from collections.abc import Mapping
from typing import NoReturn

from distil.core.errors import UserError
from distil.core.params import PARAMS_FILE
from distil.runtime.presets import (
    Description,
    apply_values,
    changed_values,
    describe,
    experiment_args,
    missing_paths,
    preset_values,
)
from distil.runtime.process import program, run_command
from distil.runtime.standard_streams import write_output

log = logging.getLogger("distil")


def main() -> None:
    """Parse the command line and act."""
    parser = argparse.ArgumentParser(
        prog=program("python -m stages.preset"), description="Choose the values of params.yaml.",
    )  # fmt: skip
    parser.add_argument("name", nargs="?", help="a preset; `sample` gives back the values as committed")
    parser.add_argument("--list", action="store_true", help="all presets with the time that they take")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one more value; repeatable")
    parser.add_argument("--args", action="store_true", help="print options for `dvc exp run`, leave params.yaml alone")
    parser.add_argument("--force", action="store_true", help="write the values although a path does not exist yet")
    options = parser.parse_args()
    if options.list:
        write_output(preset_table(describe()).encode())
        return
    if options.name is None:
        parser.error("name a preset, or --list")
    values = preset_values(options.name, options.set)
    changed = changed_values(values, PARAMS_FILE)
    if missing := missing_paths(values):
        for key, path in missing.items():
            log.warning("%s: there is no %s; give --set %s=PATH%s", key, path, key, _without(key))
        # With --args a fault would leave $(...) empty, and `dvc exp run` would run something else; so DVC refuses it.
        if not options.args and not options.force:
            raise UserError(
                f"preset {options.name}: {len(missing)} of its paths, named above, do not exist, and `dvc repro` would "
                f"stop there; {PARAMS_FILE} is unchanged; set them, or add --force to write it all the same"
            )
    if options.args:
        write_output(f"{experiment_args(changed)}\n".encode())
        return
    apply_values(values, PARAMS_FILE)
    log.info("%s: preset %s, %d values changed; `git diff %s`", PARAMS_FILE, options.name, len(changed), PARAMS_FILE)


def preset_table(presets: Mapping[str, Description]) -> str:
    """A line a preset; the descriptions begin in one column, behind the longest name."""
    width = max(map(len, presets))
    return "".join(f"{name:<{width}}  {about.text}{_time(about)}\n" for name, about in presets.items())


def _time(about: Description) -> str:
    return f" Time: {about.time}" if about.time else ""


def _without(key: str) -> str:
    """How to do without a task's path."""
    section = key.rpartition(".")[0]
    if not section.startswith("tasks."):
        return ""
    if key.endswith(".unlabelled_path"):
        return f", or --set {section}.path=PATH alone if there is no unlabelled text"
    return f", or leave the task out with --set {section}.source=none"


def run() -> NoReturn:
    """The command."""
    run_command(main)
