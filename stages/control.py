"""Stage control@NAME: what distilling over text is compared with, a model made without the teacher's outputs.

Run as `python -m stages.control NAME`, NAME start (the student's first weights) or masked_lm (trained from there).
"""

import shutil
from pathlib import Path

from filelock import FileLock

from distil.compute.distributed import init_distributed
from distil.core.errors import UserError
from distil.core.files import atomic_folder, read_json, scratch_folder, verify_checksums, write_json
from distil.core.params import load_languages, load_params
from distil.core.pipeline import code_checksums
from distil.evaluation.controls import CONTROLS
from distil.runtime.cost import StageCost
from distil.runtime.launch import run_ranks
from distil.student.controls import make_control
from distil.student.model import StudentConfig
from distil.student.no_teacher import open_texts
from distil.training.config import RunPaths, TrainConfig
from distil.training.fingerprint import training_key


def main(name: str) -> None:
    """Write models/controls/NAME and metrics/distil/controls/NAME."""
    cost, processes = StageCost(), init_distributed()
    if name not in CONTROLS:
        raise UserError(f"stages.control: expected one of {', '.join(CONTROLS)} as NAME, found {name}")
    languages, student = load_languages(), load_params("student", StudentConfig)
    config = load_params("train", TrainConfig).model_copy(update={"patience": 0})  # not used, so not in the key
    tokenizer, teacher, final = Path("models/tokenizer"), Path("models/teacher"), Path("models/controls") / name
    verify_checksums(teacher, "teacher", "manifest.json")
    texts = open_texts(languages, Path("data/prepared"), tokenizer)
    chosen = {
        "control": name, "languages": languages, "student": student.model_dump(), "train": config.model_dump(),
        "teacher": read_json(teacher / "manifest.json", "teacher")["weights_sha256"],
    }  # fmt: skip
    key = training_key(chosen, texts, tokenizer, code_checksums("control"))
    scratch, metrics = scratch_folder("control", key), Path("metrics/distil/controls") / name
    if not processes.is_main:
        processes.barrier()
        make_control(name, texts, languages, student, config, RunPaths(teacher, tokenizer, final, metrics, scratch),
                     processes)  # fmt: skip
        return
    with FileLock(scratch / "lock"), atomic_folder(metrics) as figures, atomic_folder(final) as out:
        processes.barrier()  # the others begin when the lock is held
        paths = RunPaths(teacher, tokenizer, out, figures, scratch)
        summary, rates = make_control(name, texts, languages, student, config, paths, processes)
        write_json(figures / "summary.json", {"key": key, **summary})
    cost.write(Path(f"metrics/cost/control-{name}.json"), **rates)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    run_ranks(main, "stages.control", "NAME")
