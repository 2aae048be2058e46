"""One decoder on the tasks of its prompts: predictions of the test rows, and soft labels of all rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distil.core.arrays import read_arrays, write_arrays
from distil.core.errors import UserError
from distil.core.files import sha256_json
from distil.core.pipeline import code_checksums
from distil.decoders.loading import open_decoder
from distil.decoders.prompts import TaskPrompt, draw_shots
from distil.decoders.scoring import LabelScorer
from distil.evaluation.config import FewLabelsConfig
from distil.evaluation.decoders import DecoderConfig
from distil.evaluation.predictions import write_predictions
from distil.evaluation.teacher_mixture import mixture_predictions
from distil.finetuning.soft_labels import SOFT_LABEL_SPLITS, rows_sha256, write_soft_labels
from distil.runtime.progress import Progress
from distil.tasks.data import Task, TextRow


def run_decoder(
    name: str, config: DecoderConfig, tasks: Sequence[Task], languages: list[str], few: FewLabelsConfig,
    soft_labels: Path, predictions: Path, scratch: Path,
) -> dict[str, Any]:  # fmt: skip
    """Score the labels of every row of the tasks; returns the figures of cost.

    Args:
        name: of the block in `decoders:`.
        config: the block.
        tasks: those of `evaluate.tasks`, in which the ones of its prompts are.
        languages: codes.
        few: `evaluate.few_labels`: rows whose label is hidden are no shots.
        soft_labels: folder for TASK/ in the form of data/task_targets.
        predictions: folder for TASK.csv.
        scratch: folder of finished languages, which a killed run need not read again.

    Raises:
        UserError: none of the tasks has a prompt, or see `open_decoder`, `TaskPrompt.of`, `LabelScorer.log_probs`.
    """
    where = f"params.yaml: decoders.{name}"
    chosen = [task for task in tasks if task.name in config.prompts]
    if not chosen:
        raise UserError(
            f"{where}.prompts: expected a task of evaluate.tasks, {', '.join(task.name for task in tasks)}, found "
            f"{', '.join(config.prompts)}"
        )
    prompts = {task.name: TaskPrompt.of(where, config, task) for task in chosen}
    decoder = open_decoder(name, config)
    rows = 0
    for task in chosen:
        scorer = LabelScorer(decoder, prompts[task.name], config.batch_tokens, config.max_text_tokens, config.calibrate)
        found = {}
        for code in languages:
            shots = draw_shots(task, code, config.shots, few)
            found[code] = _language(name, config, scorer, task, code, shots, scratch)
        rows += sum(len(each) for splits in found.values() for each in splits.values())
        write_soft_labels(soft_labels / task.name, task, found, {"decoder": name, "sha256": decoder.sha256})
        predicted = {code: mixture_predictions(task, code, splits["test"]) for code, splits in found.items()}
        write_predictions(predictions / f"{task.name}.csv", predicted, task.labels)
    return {"rows": rows, "parameters": decoder.model.num_parameters(), "id": decoder.where}


def _language(
    name: str,
    config: DecoderConfig,
    scorer: LabelScorer,
    task: Task,
    language: str,
    shots: list[TextRow],
    scratch: Path,
) -> dict[str, np.ndarray]:
    """(N, C) log-probabilities of each split; those of a killed run are taken over."""
    key = sha256_json({
        "decoder": scorer.decoder.sha256, "config": config.model_dump(), "labels": task.labels, "language": language,
        "shots": shots, "rows": rows_sha256(task, language), "code": code_checksums("decoder"),
        "torch": torch.__version__,
    })  # fmt: skip
    done = scratch / f"{key}.safetensors"
    if done.is_file():
        return dict(read_arrays(done, f"decoder@{name}"))
    texts = {split: _texts(task, language, split) for split in SOFT_LABEL_SPLITS}
    title, total = f"decoder {name} on {task.name}, {language}", sum(map(len, texts.values()))
    with Progress(title, total, "texts") as progress:
        found = {split: scorer.log_probs(each, shots, progress.add) for split, each in texts.items()}
    write_arrays(done, found)
    return found


def _texts(task: Task, language: str, split: str) -> list[str]:
    return task.unlabelled_texts(language) if split == "unlabelled" else task.texts(language, split)
