"""Fine-tune an encoder for a rival: its first layers, with the kept pieces or all, from the labels alone.

Cutting the upper layers and fine-tuning is Sajjad et al. 2020 (arXiv 2004.03844). The recipe is the teacher's.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import XLMRobertaModel

from distil.core.errors import UserError
from distil.core.files import atomic_folder, sha256_file, sha256_json
from distil.core.pipeline import code_checksums
from distil.finetuning.classifier import Classifier, load_classifier
from distil.finetuning.config import FineTuningConfig
from distil.finetuning.encoding import Encoded, join
from distil.finetuning.saved_models import Group
from distil.finetuning.trainer import FineTuningStart, TrainingRows, fine_tune
from distil.modeling.loading import load_model
from distil.modeling.tokenizer import copy_tokenizer
from distil.rivals.cutting import cut_embeddings
from distil.tasks.data import Task

ADVICE = "choose another folder as its base in `rivals:` of params.yaml"


def load_encoder(folder: Path, layers: int, where: str) -> Any:
    """The first layers of an XLM-R encoder, 0 for all; a head of masked-LM training is left out.

    Raises:
        UserError: it does not load, or has fewer layers.
    """
    model = load_model(XLMRobertaModel, folder, ADVICE, unused="lm_head.", add_pooling_layer=False)
    if layers > (count := model.config.num_hidden_layers):
        raise UserError(f"{where}.layers: expected at most {count}, the layers of {folder}, found {layers}")
    if layers:
        model.encoder.layer = nn.ModuleList(list(model.encoder.layer)[:layers])
        model.config.num_hidden_layers = layers
    return model


def write_start(encoder: Any, ids: Any, tokenizer: Path, out: Path) -> None:
    """Write the encoder, cut to the pieces `ids` unless that is None, beside a tokenizer, for fine-tuning."""
    if ids is not None:
        cut_embeddings(encoder, ids)
    with atomic_folder(out) as folder:
        encoder.save_pretrained(folder)
        copy_tokenizer(tokenizer, folder)


class Training(NamedTuple):
    """What an encoder is fine-tuned on."""

    task: Task
    languages: list[str]  # of the run
    train: dict[str, Encoded]
    dev: dict[str, Encoded]  # of languages whose dev rows choose
    pad_id: int
    config: FineTuningConfig
    stage: str  # named in errors


def fine_tuned(
    start: Path, training: Training, runs: list[tuple[int, Group]], scratch: Path
) -> Iterator[tuple[int, Group, Classifier]]:
    """A classifier for each seed and group of languages; finished ones and a checkpoint are kept in `scratch`.

    Args:
        start: of `write_start`.
        training: rows and recipe.
        runs: seeds with groups.
        scratch: for unfinished work.
    """
    task, config = training.task, training.config
    recipe = config.recipe("teacher", task.kind)
    key = sha256_json({
        "weights": sha256_file(start / "model.safetensors"), "tokenizer": sha256_file(start / "tokenizer.json"),
        "recipe": recipe.as_json(), "max_length": config.max_length, "labels": task.labels, "kind": task.kind,
        "rows": {f"{code}/{split}": sha256_file(task.folder / code / f"{split}.jsonl")
                 for code in training.languages for split in ("train", "dev")},
        "labelled": {code: len(rows.ids) for code, rows in training.train.items()}, "dev": list(training.dev),
        "code": code_checksums("rival"), "torch": torch.__version__,
    })  # fmt: skip
    for seed, group in runs:
        done = scratch / key / group.run(seed)
        if not (done / "config.json").is_file():
            done.parent.mkdir(parents=True, exist_ok=True)
            rows = TrainingRows(
                task.kind, task.labels, training.languages, join([training.train[code] for code in group.languages]),
                {code: training.dev[code] for code in group.languages if code in training.dev}, training.pad_id,
            )  # fmt: skip
            title = f"{training.stage}: fine-tune on {task.name}, {' '.join(group.languages)}, seed {seed}"
            begin = FineTuningStart(start, training.stage, config.max_length, seed, seed, title)
            result = fine_tune(begin, rows, recipe, done.parent / f".{done.name}.checkpoint.safetensors")
            with atomic_folder(done) as folder:
                result.model.cpu().save_pretrained(folder)
        yield seed, group, open_classifier(done, task, config.max_length, training.stage)


def open_classifier(folder: Path, task: Task, max_length: int, made_by: str) -> Classifier:
    """A fine-tuned classifier, with the form of attention that is exported."""
    return load_classifier(folder, task.kind, task.labels, max_length, made_by, attn_implementation="eager")
