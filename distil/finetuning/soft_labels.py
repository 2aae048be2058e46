"""A teacher's soft labels of a task's rows: data/task_targets/TASK, data/mixed_targets/TASK, or a folder of one's own.

LANG.safetensors   `train`, `unlabelled`, `dev` and `test`, (units, C) float32 log-probabilities, in the order of the
                   rows and of the task's labels; a unit is a text, or a word of a sentence. nan where the teacher
                   could not read the word, because the limit of tokens cut it off.
manifest.json      docs/reference/output-files.md

The student learns from `train` and `unlabelled`. From `dev` several teachers get their weights
(distil/finetuning/teacher_mixture.py), and on `test` they are scored together.
"""

from collections.abc import Mapping
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
from distil.tasks.data import Task

SOFT_LABEL_SPLITS = ("train", "unlabelled", "dev", "test")


def rows_sha256(task: Task, language: str) -> str:
    """Of the rows that the distributions belong to."""
    files = [task.folder / language / f"{split}.jsonl" for split in SOFT_LABEL_SPLITS]
    return sha256_json([sha256_file(path) if path.is_file() else None for path in files])


def units(task: Task, language: str, split: str) -> int:
    """Texts, or words of all sentences, of a split."""
    if task.kind == "text_classification":
        return len(task.unlabelled_texts(language) if split == "unlabelled" else task.text_rows(language, split))
    if split == "unlabelled":
        return sum(map(len, task.unlabelled_tokens(language)))
    return sum(len(row.tokens) for row in task.token_rows(language, split))


def write_soft_labels(
    out: Path, task: Task, found: Mapping[str, Mapping[str, np.ndarray]], more: Mapping[str, Any]
) -> None:
    """Write a folder of soft labels.

    Args:
        out: replaced as a whole.
        task: whose rows they are.
        found: (units, C) log-probabilities by language and split.
        more: what else the manifest says, such as seeds.
    """
    with atomic_folder(out) as folder:
        entries = {}
        for language, splits in found.items():
            arrays = {split: splits[split].astype(np.float32, copy=False) for split in SOFT_LABEL_SPLITS}
            entries[language] = {
                "sha256": write_arrays(folder / f"{language}.safetensors", arrays),
                **{split: len(splits[split]) for split in SOFT_LABEL_SPLITS},
                "rows_sha256": rows_sha256(task, language),
            }
        manifest = {"task": task.name, "kind": task.kind, "labels": task.labels, **more, "languages": entries}
        write_json(folder / "manifest.json", manifest)
        write_checksums(folder)


class SoftLabels:
    """A folder of soft labels, open for reading."""

    def __init__(self, folder: Path, task: Task, made_by: str) -> None:
        """Compare the labels with the task's; `made_by` is the stage that writes the folder.

        Raises:
            UserError: missing, damaged or of other labels.
        """
        self.folder, self.task, self._made_by = folder, task, made_by
        self._again = f"run `dvc repro --force {made_by}`"
        verify_checksums(folder, made_by)
        self.manifest = read_json(folder / "manifest.json", made_by)
        if self.manifest.get("labels") != task.labels:
            raise UserError(
                f"{folder}/manifest.json: labels: expected {', '.join(task.labels)}, found "
                f"{', '.join(self.manifest.get('labels', []))}; {self._again}"
            )
        self.sha256 = sha256_file(folder / "manifest.json")  # it names every array by checksum

    @property
    def are_marginals(self) -> bool:
        """Whether those of a word are over whole sequences of tags already, as a tagger with transitions has them."""
        return self.manifest.get("tags") == "marginals"

    def read(self, language: str) -> dict[str, np.ndarray]:
        """(units, C) float32 log-probabilities of each split, writable.

        Raises:
            UserError: the file is missing or damaged, or belongs to other rows.
        """
        path, again = self.folder / f"{language}.safetensors", self._again
        entry = self.manifest["languages"].get(language)
        if entry is None:
            raise UserError(f"{self.folder}/manifest.json: expected {language} among its languages; {again}")
        if entry["rows_sha256"] != rows_sha256(self.task, language):
            raise UserError(f"{path}: made for other rows than {self.task.folder}/{language} holds now; {again}")
        arrays = read_arrays(path, self._made_by)
        for split in SOFT_LABEL_SPLITS:
            expected = (units(self.task, language, split), len(self.task.labels))
            shape = arrays[split].shape if split in arrays else None
            if shape != expected:
                raise UserError(f"{path}: {split}: expected an array of shape {expected}, found {shape}; {again}")
        if sha256_file(path) != entry["sha256"]:
            raise UserError(f"{path}: sha256: expected {entry['sha256'][:12]}, found another; it is damaged; {again}")
        return {split: np.array(arrays[split]) for split in SOFT_LABEL_SPLITS}


def open_soft_labels(teacher: str, path: str, task: Task) -> SoftLabels:
    """Soft labels that are there: of the fine-tuned teacher (`transformer`), or below `path` in TASK/ (`folder`).

    Raises:
        UserError: missing, damaged, of other labels or, when read, of other rows.
    """
    if teacher == "transformer":
        return SoftLabels(Path("data/task_targets") / task.name, task, f"finetune_teacher@{task.name}")
    folder = Path(path) / task.name
    if not (folder / "manifest.json").is_file():
        raise UserError(
            f"params.yaml: finetune.task_teachers.path: expected soft labels of {task.name} in {folder}, as "
            "data/task_targets has them, found no manifest.json there; set the folder, or take `folder` out of `use`"
        )
    return SoftLabels(folder, task, f"mix_teachers@{task.name}")
