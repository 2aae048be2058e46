"""Stage tasks@NAME: labelled data from the source -> rows of one shape."""

from pathlib import Path

from distil.core.params import load_languages, load_params, load_seed
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.tasks.build import write_task
from distil.tasks.config import TaskConfig
from distil.tasks.data import SPLITS


def main(name: str) -> None:
    """Write data/tasks/NAME for the block NAME of `tasks:`."""
    cost = StageCost()
    config, languages = load_params(f"tasks.{name}", TaskConfig), load_languages()
    manifest = write_task(name, config, languages, load_seed(), Path("data/tasks") / name)
    rows = sum(entry[split]["rows"] for entry in manifest["languages"].values() for split in SPLITS)
    cost.write(Path(f"metrics/cost/tasks-{name}.json"), rows=rows)


if __name__ == "__main__":
    run_stage(main, "TASK")
