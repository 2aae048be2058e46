"""Choose a preset. A tool beside the pipeline, not a stage of it: it only writes params.yaml, or nothing at all.

python -m stages.preset --list
python -m stages.preset small --set corpus.path=/data/corpus
dvc exp run $(python -m stages.preset comet --args)
"""

import argparse
import logging

from distil.core.params import PARAMS_FILE
from distil.runtime.presets import apply_values, changed_values, describe, experiment_args, missing_paths, preset_values
from distil.runtime.process import run
from distil.runtime.standard_streams import write_output

log = logging.getLogger("distil")


def main() -> None:
    """Parse the command line and act."""
    parser = argparse.ArgumentParser(prog="python -m stages.preset", description="Choose the values of params.yaml.")
    parser.add_argument("name", nargs="?", help="a preset; `sample` gives back the values as committed")
    parser.add_argument("--list", action="store_true", help="what there is, one line each")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one more value; repeatable")
    parser.add_argument("--args", action="store_true", help="print options for `dvc exp run`, leave params.yaml alone")
    options = parser.parse_args()
    if options.list:
        write_output("".join(f"{name:<12}{line}\n" for name, line in describe().items()).encode())
        return
    if options.name is None:
        parser.error("name a preset, or --list")
    values = preset_values(options.name, options.set)
    for key, path in missing_paths(values).items():
        log.warning(
            "%s: there is no %s, and `dvc repro` will stop at it; give --set %s=PATH%s", key, path, key, _without(key)
        )
    if options.args:
        write_output(f"{experiment_args(changed_values(values, PARAMS_FILE))}\n".encode())
        return
    changed = apply_values(values, PARAMS_FILE)
    log.info("%s: preset %s, %d values changed; `git diff %s`", PARAMS_FILE, options.name, len(changed), PARAMS_FILE)


def _without(key: str) -> str:
    """How to do without a task's path."""
    section = key.rpartition(".")[0]
    if not section.startswith("tasks."):
        return ""
    if key.endswith(".unlabelled_path"):
        return f", or --set {section}.path=PATH alone if there is no unlabelled text"
    return f", or leave the task out with --set {section}.source=none"


if __name__ == "__main__":
    run(main)
