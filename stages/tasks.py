"""Stage tasks@NAME: labelled data from the source -> rows of one shape."""

import sys
from pathlib import Path

from distil.core.errors import UserError
from distil.core.params import load_languages, load_params, load_seed, read_params
from distil.runtime.process import Cost, run
from distil.tasks.build import write_task
from distil.tasks.config import TaskConfig
from distil.tasks.data import SPLITS


def main() -> None:
    """Write data/tasks/NAME for the block NAME of `tasks:`."""
    cost = Cost()
    if len(sys.argv) != 2:
        names = ", ".join(read_params().get("tasks") or {})
        raise UserError(f"stages.tasks: expected the name of one task (params.yaml has {names}), found {sys.argv[1:]}")
    name = sys.argv[1]
    config, languages = load_params(f"tasks.{name}", TaskConfig), load_languages()
    manifest = write_task(name, config, languages, load_seed(), Path("data/tasks") / name)
    rows = sum(entry[split]["rows"] for entry in manifest["languages"].values() for split in SPLITS)
    cost.write(Path(f"metrics/cost/tasks-{name}.json"), rows=rows)


if __name__ == "__main__":
    run(main)
