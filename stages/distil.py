"""Stage distil: cached teacher outputs -> a student, its curves and its figures on held-out text."""

import shutil
from pathlib import Path

from filelock import FileLock

from distil.compute.distributed import init_distributed
from distil.core.files import atomic_folder, read_json, scratch_folder, write_json, write_text
from distil.core.params import load_languages, load_list, load_params, read_params
from distil.core.pipeline import code_checksums
from distil.runtime.cost import StageCost
from distil.runtime.launch import run_ranks
from distil.student.card import short_card
from distil.student.distillation import DistillationConfig, distil_student, open_caches
from distil.student.model import StudentConfig
from distil.student.trunk import trunk_key
from distil.tracking.run import LiveRun
from distil.training.config import RunPaths, TrainConfig
from distil.training.fingerprint import training_key
from distil.training.objective import LayerPair, LossConfig

SECTIONS = ("languages", "student", "loss", "layer_map", "train")


def main() -> None:
    """Write models/student and metrics/distil."""
    cost, params, processes = StageCost(), read_params(), init_distributed()
    languages = load_languages()
    config = DistillationConfig(
        load_params("student", StudentConfig), load_params("loss", LossConfig), load_list("layer_map", LayerPair),
        load_params("train", TrainConfig),
    )  # fmt: skip
    tokenizer, metrics = Path("models/tokenizer"), Path("metrics/distil")
    caches = open_caches(languages, Path("data/prepared"), Path("data/teacher"))
    chosen = {section: params[section] for section in SECTIONS}
    key = training_key(chosen | trunk_key(config.student), caches, tokenizer, code_checksums("distil"))
    scratch = scratch_folder("distil", key)
    paths = RunPaths(Path("models/teacher"), tokenizer, Path("models/student"), metrics, scratch)
    if not processes.is_main:
        processes.barrier()
        distil_student(caches, languages, config, paths, processes=processes)
        return
    with (
        FileLock(scratch / "lock"),
        LiveRun.open(key, chosen) as live,
        atomic_folder(Path("models/student")) as out,
    ):
        processes.barrier()  # the others begin when the lock is held
        summary, outcome = distil_student(caches, languages, config, paths._replace(out=out), live.log, processes)
        teacher = read_json(Path("models/teacher/manifest.json"), "teacher")
        write_text(out / "README.md", short_card(languages, teacher, summary))
    write_json(metrics / "summary.json", {"key": key, **summary})
    cost.write(Path("metrics/cost/distil.json"), **outcome.cost)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    run_ranks(main, "stages.distil")
