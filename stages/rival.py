"""Stages rival@NAME: a rival of the student in ONNX, its predictions and its cost. `python -m stages.rival NAME`."""

import shutil
from pathlib import Path

from filelock import FileLock

from distil.core.errors import UserError
from distil.core.files import scratch_folder
from distil.core.params import load_languages, load_params
from distil.evaluation.config import load_evaluate
from distil.evaluation.footprint import FootprintConfig
from distil.evaluation.rivals import load_rivals
from distil.finetuning.config import FineTuningConfig
from distil.rivals.build import Rival, RivalPaths, RivalSettings
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.serving.onnx_export import ExportConfig
from distil.tasks.data import read_task


def main(name: str) -> None:
    """Write models/rivals/NAME, metrics/predictions/NAME and metrics/distil/rivals/NAME.json."""
    cost, rivals, scoring = StageCost(), load_rivals(), load_evaluate()
    if name not in rivals:
        raise UserError(f"stages.rival: expected one of {', '.join(rivals) or 'none'} as NAME, found {name}")
    settings = RivalSettings(
        load_languages(), scoring.languages, list(scoring.seeds), scoring.few_labels,
        load_params("finetune", FineTuningConfig),
        load_params("export", ExportConfig), load_params("footprint", FootprintConfig),
    )  # fmt: skip
    scratch = scratch_folder("rival", name)
    paths = RivalPaths(
        Path("models/rivals") / name, Path("metrics/predictions") / name, Path(f"metrics/distil/rivals/{name}.json"),
        scratch,
    )  # fmt: skip
    with FileLock(scratch / "lock"):
        tasks = [read_task(Path("data/tasks") / task) for task in scoring.tasks]
        figures = Rival(name, rivals[name], settings).make(tasks, paths)
    cost.write(Path(f"metrics/cost/rival-{name}.json"), **figures)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    run_stage(main, "NAME")
