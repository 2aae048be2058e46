"""Fine-tune one model on one task, once for every seed (and language), and predict the test rows."""

import logging
import os
import shutil
import time
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock

from distil.compute.guard import EVENTS_FILE, add_up
from distil.core.errors import UserError
from distil.core.files import (
    atomic_folder,
    read_json,
    sha256_file,
    sha256_json,
    verify_checksums,
    write_checksums,
    write_json,
)
from distil.core.pipeline import code_checksums
from distil.evaluation.config import ALL_LABELS, FewLabelsConfig
from distil.evaluation.controls import CONTROLS, control_model, finetune_stage
from distil.evaluation.few_labels import chooses, few_labels_entry, known_rows
from distil.evaluation.predictions import write_predictions
from distil.finetuning.config import FineTuningConfig, FineTuningRecipe
from distil.finetuning.encoding import Encoded, Encoder, join
from distil.finetuning.row_predictions import score_splits, write_teacher_labels
from distil.finetuning.saved_models import FinetunedModels, groups
from distil.finetuning.soft_labels import SOFT_LABEL_SPLITS, SoftLabels
from distil.finetuning.trainer import FineTuningStart, TrainingRows, events_file, fine_tune
from distil.modeling.experts import GATE_FILE, copy_gate, has_experts
from distil.modeling.tokenizer import copy_tokenizer
from distil.tasks.data import Task

log = logging.getLogger("distil")

# Model -> the masked language model that it starts from, and the stage that writes that.
BASE_MODELS = {
    "teacher": (Path("models/teacher"), "teacher"),
    "student": (Path("models/student"), "distil"),
    "student_plain": (Path("models/student"), "distil"),
    "no_teacher": (Path("models/no_teacher"), "no_teacher"),
    **{control_model(control): (Path("models/controls") / control, f"control@{control}") for control in CONTROLS},
}


class FineTuning(NamedTuple):
    """One model on one task."""

    model: str  # one of BASE_MODELS
    task: Task
    languages: list[str]  # in the order of tables
    mode: str  # joint or separate
    seeds: list[int]  # one classifier (or one a language) for each
    config: FineTuningConfig
    soft_labels: SoftLabels | None  # of the task's teachers, for a model that learns from them
    few_labels: FewLabelsConfig = ALL_LABELS  # languages whose labels are hidden, and whose dev rows choose nothing


class FineTuningPaths(NamedTuple):
    """Where the results go."""

    models: Path  # models/finetuned/MODEL/TASK
    predictions: Path  # metrics/predictions/MODEL/TASK.csv
    soft_labels: Path | None  # data/task_targets/TASK, of the teacher only
    scratch: Path  # for unfinished work
    transformer: Path | None = None  # of the student only: predictions without the n-gram table, none where it has none


def fine_tune_task(job: FineTuning, paths: FineTuningPaths) -> dict[str, Any]:
    """Fine-tune once for each seed and group of languages, then predict the test rows.

    Finished classifiers and a checkpoint of the current one are in scratch, under a key of everything that decides
    them; a killed run resumes from there.

    Returns:
        `rows` trained on in this process and `rows_per_second`, `words_cut_off` of the test rows, of the teacher
        `soft_label_rows`, and with `finetune.guard` its figures over all classifiers, `guard`.

    Raises:
        UserError: see `fine_tune` and `SoftLabels`; or there are sequences of tags and `finetune.tagger` is not chain.
    """
    base, made_by = BASE_MODELS[job.model]
    if job.soft_labels and job.soft_labels.sequences and job.config.tagger != "chain":
        raise UserError(
            f"params.yaml: finetune.tagger: expected chain, since {job.soft_labels.folder} has sequences of tags, "
            f"found {job.config.tagger}; set it, or run `dvc repro mix_teachers@{job.task.name}` with tags words"
        )
    verify_checksums(base, made_by)
    key = _key(job)
    unfinished = paths.scratch / sha256_json(key)
    unfinished.mkdir(parents=True, exist_ok=True)
    with FileLock(unfinished / "lock"):
        figures = _fine_tune_all(job, key, unfinished, paths.models)
        models = FinetunedModels(paths.models)
        # Most of the teacher's forward passes are these. What is exported is scored as it is served, in float32.
        precision = job.config.precision if job.model == "teacher" else "float32"
        scored = score_splits(models, job.task, SOFT_LABEL_SPLITS if paths.soft_labels else ["test"], precision)
        figures["words_cut_off"] = scored.words_cut_off()
        write_predictions(paths.predictions, scored.test_predictions(), job.task.labels)
        if paths.transformer:
            alone = scored.test_predictions(transformer_alone=True) if models.manifest["ngrams"] else {}
            write_predictions(paths.transformer, alone, job.task.labels)
        if paths.soft_labels:
            figures["soft_label_rows"] = write_teacher_labels(scored, models, paths.soft_labels)
    shutil.rmtree(unfinished)
    return figures


def _fine_tune_all(job: FineTuning, key: dict[str, Any], unfinished: Path, out: Path) -> dict[str, Any]:
    """Write models/finetuned/MODEL/TASK; returns the figures of cost."""
    (base, made_by), task, languages = BASE_MODELS[job.model], job.task, job.languages
    recipe, encoder = job.config.recipe(job.model, task.kind), Encoder(base, job.config.max_length, made_by)
    if job.config.ngrams.max_n and recipe.ngrams is None:
        log.warning("fine-tune %s on %s: finetune.ngrams.tag_window is 0, so this tagger has no n-gram table",
                    job.model, task.name)  # fmt: skip
    train = {code: _train_rows(encoder, job, code, number) for number, code in enumerate(languages)}
    dev = {code: encoder.split(task, code, number, "dev") for number, code in enumerate(languages)
           if chooses(code, job.few_labels)}  # fmt: skip
    runs, seconds, trained = {}, 0.0, 0
    with atomic_folder(out) as folder:
        for seed, group in product(job.seeds, groups(job.mode, languages)):
            run, done = group.run(seed), unfinished / group.run(seed)
            if not (done / "run.json").is_file():
                began = time.monotonic()
                rows = TrainingRows(task.kind, task.labels, languages, join([train[code] for code in group.languages]),
                                    {code: dev[code] for code in group.languages if code in dev},
                                    encoder.pad_id)  # fmt: skip
                title = f"fine-tune {job.model} on {task.name}, {' '.join(group.languages)}, seed {seed}"
                head_seed = _shared_head(job).get("head_seed", seed)
                start = FineTuningStart(base, made_by, job.config.max_length, seed, head_seed, title)
                trained += _finetune_into(done, start, rows, recipe)
                seconds += time.monotonic() - began
            runs[run] = read_json(done / "run.json", finetune_stage(job.model, task.name))
            shutil.copytree(done, folder / run, copy_function=_link, ignore=shutil.ignore_patterns("run.json"))
        write_json(folder / "manifest.json", {
            "model": job.model, "task": task.name, "kind": task.kind, "labels": task.labels,
            **task.view, "max_length": job.config.max_length,
            "languages_mode": job.mode, "seeds": job.seeds, "languages": languages,
            "start": {"folder": base.as_posix(), "weights_sha256": key["weights"], **_shared_head(job)},
            "task_distillation": job.soft_labels is not None, "ngrams": recipe.ngrams is not None,
            "recipe": recipe.as_json(), **few_labels_entry(task, languages, job.few_labels),
            "rows": {code: _row_counts(train[code]) for code in languages},
            **{name: {run: entry[name] for run, entry in runs.items()}
               for name in ("best_epoch", "dev", "history", *(["guard"] if recipe.guard else []))},
        })  # fmt: skip
        write_checksums(folder)
    figures = {"rows": trained, "rows_per_second": round(trained / seconds, 1)} if trained else {}
    return figures | add_up([{"guard": entry["guard"]} for entry in runs.values() if recipe.guard])


def _train_rows(encoder: Encoder, job: FineTuning, language: str, number: int) -> Encoded:
    """Labelled rows, and with a teacher its distributions or sequences on them and on rows without a label."""
    labelled = encoder.split(job.task, language, number, "train")
    known = known_rows(job.task, language, job.few_labels)
    if job.soft_labels is None:
        return labelled if known.all() else labelled.take(np.flatnonzero(known))
    rows = {"train": labelled.hide_labels(~known), "unlabelled": encoder.unlabelled(job.task, language, number)}
    found = job.soft_labels.read(language)
    rows = {split: each._replace(teacher=found[split]) for split, each in rows.items()}
    if job.soft_labels.sequences:
        for split, (tags, weights) in job.soft_labels.read_sequences(language).items():
            rows[split] = rows[split]._replace(sequences=tags.T, sequence_weights=weights)
    return join(list(rows.values()))


def _row_counts(rows: Encoded) -> dict[str, int]:
    """Rows with and without a label, and the units (words) that were cut off."""
    first = rows.gold[rows.starts[:-1]] if len(rows.ids) else np.empty(0, np.int64)
    return {
        "labelled": int((first >= 0).sum()), "unlabelled": int((first < 0).sum()),
        "units_cut_off": int((rows.places < 0).sum()),
    }  # fmt: skip


def _finetune_into(done: Path, start: FineTuningStart, rows: TrainingRows, recipe: FineTuningRecipe) -> int:
    """One classifier as a Hugging Face folder, with run.json beside its weights; returns the rows trained on now."""
    checkpoint = done.parent / f".{done.name}.checkpoint.safetensors"
    result = fine_tune(start, rows, recipe, checkpoint)
    with atomic_folder(done) as folder:
        result.model.cpu().save_pretrained(folder)
        copy_tokenizer(start.folder, folder)
        copy_gate(start.folder, folder)
        if recipe.guard:
            shutil.copyfile(events_file(checkpoint), folder / EVENTS_FILE)
        best = result.history[result.best_epoch - 1]
        dev = {language: best[language] for language in rows.dev}
        write_json(folder / "run.json", {"best_epoch": result.best_epoch, "dev": dev, "history": result.history,
                                         **result.guard})  # fmt: skip
    return result.rows


def _key(job: FineTuning) -> dict[str, Any]:
    """What decides a classifier beside its seed."""
    (base, made_by), task = BASE_MODELS[job.model], job.task
    weights = base / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{weights}: no such file; run `dvc repro --force {made_by}`")
    return {
        "weights": sha256_file(weights), "config": read_json(base / "config.json", made_by),
        "tokenizer": sha256_file(base / "tokenizer.json"), "languages": job.languages, "mode": job.mode,
        "max_length": job.config.max_length, "recipe": job.config.recipe(job.model, task.kind).as_json(),
        "kind": task.kind, "labels": task.labels,
        "rows": {f"{language}/{split}": sha256_file(task.folder / language / f"{split}.jsonl")
                 for language in job.languages for split in ("train", "dev")},
        "few_labels": few_labels_entry(task, job.languages, job.few_labels),
        "soft_labels": job.soft_labels.sha256 if job.soft_labels else None,
        "code": code_checksums(finetune_stage(job.model, task.name).split("@")[0]),
        "torch": torch.__version__, "device": "cuda" if torch.cuda.is_available() else "cpu", **_shared_head(job),
        **({"gate": sha256_file(base / GATE_FILE)} if has_experts(base) else {}),
    }  # fmt: skip


def _shared_head(job: FineTuning) -> dict[str, int]:
    """The seed of the head that all seeds start from, where they share one."""
    return {"head_seed": job.seeds[0]} if job.config.shares_head(job.model) else {}


def _link(source: str, target: str) -> None:
    """A hard link: the copy in scratch goes when the stage has ended."""
    os.link(source, target)
