"""data/task_targets/TASK: the fine-tuned teacher's soft labels of the training rows and of text without labels.

LANG.safetensors   `train` and `unlabelled`, (units, C) float32: log-probabilities of the mean over the teacher's
                   seeds, in the order of the rows; a unit is a text, or a word of a sentence. nan where the
                   teacher could not read the word, because the limit of tokens cut it off.
manifest.json      docs/reference/output-files.md
"""

from pathlib import Path
from typing import Any

import numpy as np

from distil.core.arrays import read_arrays, write_arrays
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
from distil.finetuning.encoding import join
from distil.finetuning.saved_models import FinetunedModels
from distil.tasks.data import Task

SOFT_LABEL_SPLITS = ("train", "unlabelled")


def mean_log_probs(logits: list[np.ndarray]) -> np.ndarray:
    """(U, C) float32 log of the mean of the probabilities of several (U, C) logits."""
    stacked = np.stack(logits).astype(np.float64)
    with np.errstate(invalid="ignore"):  # a unit without a place is nan
        log_probs = stacked - np.logaddexp.reduce(stacked, axis=2, keepdims=True)
        mean = np.logaddexp.reduce(log_probs, axis=0) - np.log(len(logits))
    return mean.astype(np.float32)


def write_language(folder: Path, language: str, found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write LANG.safetensors; returns its entry of the manifest."""
    sha256 = write_arrays(folder / f"{language}.safetensors", found)
    return {"sha256": sha256, **{split: len(found[split]) for split in SOFT_LABEL_SPLITS}}


def rows_sha256(task: Task, language: str) -> str:
    """Of the rows that the distributions belong to."""
    files = [task.folder / language / f"{split}.jsonl" for split in SOFT_LABEL_SPLITS]
    return sha256_json([sha256_file(path) if path.is_file() else None for path in files])


def write_soft_labels(models: FinetunedModels, task: Task, out: Path) -> dict[str, int]:
    """Predict the training rows and the rows without a label with each of the teacher's classifiers; write the means.

    Returns:
        How many rows there were, `soft_label_rows`.

    Raises:
        UserError: a classifier is missing or does not load.
    """
    encoder, languages = models.encoder(), models.manifest["languages"]
    labelled = {language: encoder.split(task, language, number, "train") for number, language in enumerate(languages)}
    rows = {
        language: join([labelled[language], encoder.unlabelled(task, language, number)])
        for number, language in enumerate(languages)
    }
    scores = models.scores(rows, encoder.pad_id)
    entries = {}
    with atomic_folder(out) as folder:
        for language in languages:
            probs, units = mean_log_probs(list(scores[language].values())), len(labelled[language].gold)
            found: dict[str, np.ndarray] = {"train": probs[:units], "unlabelled": probs[units:]}
            entries[language] = write_language(folder, language, found) | {"rows_sha256": rows_sha256(task, language)}
        write_json(folder / "manifest.json", {
            "task": task.name, "kind": task.kind, "labels": task.labels, "seeds": models.seeds,
            "max_length": models.max_length, "languages": entries,
        })  # fmt: skip
        write_checksums(folder)
    return {"soft_label_rows": sum(len(each.ids) for each in rows.values())}


class SoftLabels:
    """data/task_targets/TASK, open for reading."""

    def __init__(self, folder: Path, task: Task) -> None:
        """Compare the labels with the task's.

        Raises:
            UserError: missing, damaged or of other labels.
        """
        self.folder, self.task = folder, task
        self._made_by = f"finetune_teacher@{task.name}"
        verify_checksums(folder, self._made_by)
        self.manifest = read_json(folder / "manifest.json", self._made_by)
        if self.manifest["labels"] != task.labels:
            raise UserError(
                f"{folder}/manifest.json: labels: expected {', '.join(task.labels)}, found "
                f"{', '.join(self.manifest['labels'])}; run `dvc repro {self._made_by}`"
            )
        self.sha256 = sha256_file(folder / "manifest.json")  # it names every array by checksum

    def read(self, language: str, train: int, unlabelled: int) -> dict[str, np.ndarray]:
        """`train` and `unlabelled`, (units, C) float32 log-probabilities, writable.

        Args:
            language: code.
            train: units of the task's training rows.
            unlabelled: units of its rows without a label.

        Raises:
            UserError: the file is missing or damaged, or belongs to other rows.
        """
        path, again = self.folder / f"{language}.safetensors", f"run `dvc repro --force {self._made_by}`"
        entry = self.manifest["languages"].get(language)
        if entry is None:
            raise UserError(f"{self.folder}/manifest.json: expected {language} among its languages; {again}")
        if entry["rows_sha256"] != rows_sha256(self.task, language):
            raise UserError(f"{path}: made for other rows than {self.task.folder}/{language} holds now; {again}")
        arrays = read_arrays(path, self._made_by)
        for split, units in (("train", train), ("unlabelled", unlabelled)):
            expected = (units, len(self.task.labels))
            shape = arrays[split].shape if split in arrays else None
            if shape != expected:
                raise UserError(f"{path}: {split}: expected an array of shape {expected}, found {shape}; {again}")
        if sha256_file(path) != entry["sha256"]:
            raise UserError(f"{path}: sha256: expected {entry['sha256'][:12]}, found another; it is damaged; {again}")
        return {split: np.array(arrays[split]) for split in SOFT_LABEL_SPLITS}
