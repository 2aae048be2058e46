"""Stage no_teacher: the student's shape trained on the same text without a teacher; what one is worth."""

import shutil
from pathlib import Path

from filelock import FileLock

from distil.compute.distributed import init_distributed
from distil.core.files import atomic_folder, scratch_folder, write_json
from distil.core.params import load_languages, load_params
from distil.core.pipeline import code_checksums
from distil.runtime.cost import StageCost
from distil.runtime.launch import run_ranks
from distil.student.model import StudentConfig
from distil.student.no_teacher import open_texts, train_without_teacher
from distil.training.config import RunPaths, TrainConfig
from distil.training.fingerprint import training_key


def main() -> None:
    """Write models/no_teacher and metrics/no_teacher."""
    cost, processes = StageCost(), init_distributed()
    languages = load_languages()
    # What is not used is set to one value, so that it does not change the key of the checkpoint.
    shape = load_params("student", StudentConfig).model_copy(update={"init": "random", "init_layers": ()})
    config = load_params("train", TrainConfig).model_copy(update={"patience": 0})
    tokenizer, metrics = Path("models/tokenizer"), Path("metrics/no_teacher")
    texts = open_texts(languages, Path("data/prepared"), tokenizer)
    chosen = {"languages": languages, "student": shape.model_dump(), "train": config.model_dump()}
    key = training_key(chosen, texts, tokenizer, code_checksums("no_teacher"))
    scratch = scratch_folder("no_teacher", key)
    paths = RunPaths(Path("models/teacher"), tokenizer, Path("models/no_teacher"), metrics, scratch)
    if not processes.is_main:
        processes.barrier()
        train_without_teacher(texts, languages, shape, config, paths, processes)
        return
    with FileLock(scratch / "lock"), atomic_folder(Path("models/no_teacher")) as out:
        processes.barrier()  # the others begin when the lock is held
        summary, outcome = train_without_teacher(texts, languages, shape, config, paths._replace(out=out), processes)
    write_json(metrics / "summary.json", {"key": key, **summary})
    cost.write(Path("metrics/cost/no_teacher.json"), **outcome.cost)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    run_ranks(main, "stages.no_teacher")
