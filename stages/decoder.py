"""Stages decoder@NAME: labels scored by a causal language model of `decoders:`. `python -m stages.decoder NAME`."""

import shutil
from pathlib import Path

from filelock import FileLock

from distil.core.errors import UserError
from distil.core.files import atomic_folder, scratch_folder
from distil.core.params import load_languages
from distil.decoders.run import run_decoder
from distil.evaluation.config import load_evaluate
from distil.evaluation.decoders import load_decoders
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.tasks.data import read_task


def main(name: str) -> None:
    """Write data/decoder_targets/NAME and metrics/predictions/NAME."""
    cost, decoders, scoring = StageCost(), load_decoders(), load_evaluate()
    if name not in decoders:
        raise UserError(f"stages.decoder: expected one of {', '.join(decoders) or 'none'} as NAME, found {name}")
    tasks = [read_task(Path("data/tasks") / task) for task in scoring.tasks]
    scratch = scratch_folder("decoder", name)
    with (
        FileLock(scratch / "lock"),
        atomic_folder(Path("data/decoder_targets") / name) as soft_labels,
        atomic_folder(Path("metrics/predictions") / name) as predictions,
    ):
        figures = run_decoder(name, decoders[name], tasks, load_languages(), scoring.few_labels, soft_labels,
                              predictions, scratch)  # fmt: skip
    cost.write(Path(f"metrics/cost/decoder-{name}.json"), **figures)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    run_stage(main, "NAME")
