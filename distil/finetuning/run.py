"""Fine-tune one model on one task, once for every seed (and language), for finetuning/saved_models.py to read."""

import os
import shutil
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from filelock import FileLock

from distil.core.errors import UserError
from distil.core.files import atomic_folder, check_seal, read_json, seal, sha256_file, sha256_json, write_json
from distil.finetuning.encoding import Encoded, Encoder, join
from distil.finetuning.saved_models import finetune_stage, groups
from distil.finetuning.soft_labels import Targets
from distil.finetuning.trainer import FinetuneConfig, Recipe, Rows, finetune
from distil.tasks.data import Task

# Model -> the masked language model that it starts from, and the stage that writes that.
STARTS = {
    "teacher": (Path("models/teacher"), "teacher"),
    "student": (Path("models/student"), "distil"),
    "student_plain": (Path("models/student"), "distil"),
    "no_teacher": (Path("models/no_teacher"), "no_teacher"),
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model")


def finetune_task(
    model: str, task: Task, languages: list[str], mode: str, seeds: list[int], config: FinetuneConfig,
    targets: Targets | None, out: Path, scratch: Path,
) -> dict[str, Any]:  # fmt: skip
    """Fine-tune `model` once for each seed and group of languages, and write them to `out`.

    Finished classifiers and a checkpoint of the one at work lie in `scratch`, under a key of all that decides them; a
    killed run goes on from there.

    Args:
        model: teacher, student, student_plain or no_teacher.
        task: its rows.
        languages: in the order of tables.
        mode: joint or separate.
        seeds: one classifier (or one a language) for each.
        config: section `finetune:`.
        targets: the fine-tuned teacher's distributions, for a model that learns from them.
        out: models/finetuned/MODEL/TASK.
        scratch: folder for unfinished work.

    Returns:
        What it cost: `rows_per_second` and `rows` trained on in this process.

    Raises:
        UserError: see `finetune` and `Targets`.
    """
    start, made_by = STARTS[model]
    check_seal(start, made_by)
    recipe = config.recipe(model, task.kind)
    encoder = Encoder(start, config.max_length, made_by)
    numbers = {language: number for number, language in enumerate(languages)}
    train = {language: _train_rows(encoder, task, language, number, targets) for language, number in numbers.items()}
    dev = {language: encoder.split(task, language, number, "dev") for language, number in numbers.items()}
    what = _inputs(start, made_by, task, languages, mode, config.max_length, recipe, targets)
    unfinished = scratch / sha256_json(what)
    unfinished.mkdir(parents=True, exist_ok=True)
    runs, seconds, trained = {}, 0.0, 0
    with FileLock(unfinished / "lock"), atomic_folder(out) as folder:
        for seed, group in product(seeds, groups(mode, languages)):
            run, done = group.run(seed), unfinished / group.run(seed)
            if not (done / "run.json").is_file():
                began = time.monotonic()
                rows = Rows(task.kind, task.labels, languages, join([train[language] for language in group.languages]),
                            {language: dev[language] for language in group.languages}, encoder.pad_id)  # fmt: skip
                title = f"fine-tune {model} on {task.name}, {' '.join(group.languages)}, seed {seed}"
                trained += _finetune_into(done, start, made_by, rows, config.max_length, recipe, seed, title)
                seconds += time.monotonic() - began
            runs[run] = read_json(done / "run.json", finetune_stage(model, task.name))
            shutil.copytree(done, folder / run, copy_function=_link, ignore=shutil.ignore_patterns("run.json"))
        write_json(folder / "manifest.json", {
            "model": model, "task": task.name, "kind": task.kind, "labels": task.labels,
            "normalised": task.manifest.get("normalised", False), "max_length": config.max_length,
            "languages_mode": mode, "seeds": seeds, "languages": languages,
            "start": {"folder": start.as_posix(), "weights_sha256": what["weights"]},
            "task_distillation": targets is not None, "recipe": recipe._asdict(),
            "rows": {language: _row_counts(train[language]) for language in languages},
            **{name: {run: entry[name] for run, entry in runs.items()} for name in ("best_epoch", "dev", "history")},
        })  # fmt: skip
        seal(folder)
    shutil.rmtree(unfinished)
    return {"rows": trained, "rows_per_second": round(trained / seconds, 1)} if trained else {}


def _train_rows(encoder: Encoder, task: Task, language: str, number: int, targets: Targets | None) -> Encoded:
    """Labelled rows, and with a teacher its distributions on them and on the rows without a label."""
    labelled = encoder.split(task, language, number, "train")
    if targets is None:
        return labelled
    unlabelled = encoder.unlabelled(task, language, number)
    found = targets.read(language, len(labelled.gold), len(unlabelled.gold))
    return join([labelled._replace(teacher=found["train"]), unlabelled._replace(teacher=found["unlabelled"])])


def _row_counts(rows: Encoded) -> dict[str, int]:
    """Rows with and without a label, and the units (words) that were cut off."""
    first = rows.gold[rows.starts[:-1]] if len(rows.ids) else np.empty(0, np.int64)
    return {
        "labelled": int((first >= 0).sum()), "unlabelled": int((first < 0).sum()),
        "units_cut_off": int((rows.places < 0).sum()),
    }  # fmt: skip


def _finetune_into(
    done: Path, start: Path, made_by: str, rows: Rows, max_length: int, recipe: Recipe, seed: int, title: str
) -> int:
    """One classifier as a Hugging Face folder, with run.json beside its weights; returns the rows trained on now."""
    checkpoint = done.parent / f".{done.name}.checkpoint.safetensors"
    result = finetune(start, made_by, rows, max_length, recipe, seed, title, checkpoint)
    with atomic_folder(done) as folder:
        result.model.cpu().save_pretrained(folder)
        for name in TOKENIZER_FILES:
            if (start / name).is_file():
                shutil.copyfile(start / name, folder / name)
        best = result.history[result.best_epoch - 1]
        dev = {language: best[language] for language in rows.dev}
        write_json(folder / "run.json", {"best_epoch": result.best_epoch, "dev": dev, "history": result.history})
    return result.rows


def _inputs(
    start: Path, made_by: str, task: Task, languages: list[str], mode: str, max_length: int, recipe: Recipe,
    targets: Targets | None,
) -> dict[str, Any]:  # fmt: skip
    """What decides a classifier beside its seed."""
    weights = start / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{weights}: no such file; run `dvc repro --force {made_by}`")
    block = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]["finetune_student"]["do"]
    return {
        "weights": sha256_file(weights), "config": read_json(start / "config.json", made_by),
        "tokenizer": sha256_file(start / "tokenizer.json"), "languages": languages, "mode": mode,
        "max_length": max_length, "recipe": recipe._asdict(), "kind": task.kind, "labels": task.labels,
        "rows": {f"{language}/{split}": sha256_file(task.folder / language / f"{split}.jsonl")
                 for language in languages for split in ("train", "dev")},
        "targets": targets.sha256 if targets else None,
        "code": {dep: sha256_file(Path(dep)) for dep in block["deps"] if dep.endswith(".py")},
        "torch": torch.__version__, "device": "cuda" if torch.cuda.is_available() else "cpu",
    }  # fmt: skip


def _link(source: str, target: str) -> None:
    """A hard link: the copy in scratch goes when the stage has ended."""
    os.link(source, target)
