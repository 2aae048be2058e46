"""A teacher's soft labels of a task's rows: data/task_targets/TASK, data/mixed_targets/TASK, or a folder of one's own.

LANG.safetensors   `train`, `unlabelled`, `dev` and `test`, (units, C) float32 log-probabilities, in the order of the
                   rows and of the task's labels; a unit is a text, or a word of a sentence. nan where the teacher
                   could not read the word, because the limit of tokens cut it off. Of a tagging task mixed with
                   `task_teachers.tags: sequences` also, of train and unlabelled, SPLIT_sequences, (K, units) uint8,
                   and SPLIT_weights, (sentences, K) float32: distil/tasks/tag_sequences.py, NO_TAG as 255
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
LEARNED_SPLITS = ("train", "unlabelled")
NO_TAG_BYTE = 255
Sequences = tuple[np.ndarray, np.ndarray]  # tags (K, units) int16, -1 for none, and weights (sentences, K) float32


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
    out: Path, task: Task, found: Mapping[str, Mapping[str, np.ndarray]], more: Mapping[str, Any],
    sequences: Mapping[str, Mapping[str, Sequences]] | None = None,
) -> None:  # fmt: skip
    """Write a folder of soft labels.

    Args:
        out: replaced as a whole.
        task: whose rows they are.
        found: (units, C) log-probabilities by language and split.
        more: what else the manifest says, such as seeds.
        sequences: of tags, by language and `LEARNED_SPLITS`; the manifest then has their number.
    """
    count = {}
    with atomic_folder(out) as folder:
        entries = {}
        for language, splits in found.items():
            arrays = {split: splits[split].astype(np.float32, copy=False) for split in SOFT_LABEL_SPLITS}
            for split, (tags, weights) in (sequences or {}).get(language, {}).items():
                arrays[f"{split}_sequences"] = np.where(tags < 0, NO_TAG_BYTE, tags).astype(np.uint8)
                arrays[f"{split}_weights"], count["sequences"] = weights.astype(np.float32, copy=False), len(tags)
            entries[language] = {
                "sha256": write_arrays(folder / f"{language}.safetensors", arrays),
                **{split: len(splits[split]) for split in SOFT_LABEL_SPLITS},
                "rows_sha256": rows_sha256(task, language),
            }
        manifest = {"task": task.name, "kind": task.kind, "labels": task.labels, **more, **count,
                    "languages": entries}  # fmt: skip
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

    @property
    def sequences(self) -> int:
        """K, the sequences of tags of each sentence; 0 where there are none and the distributions teach."""
        return int(self.manifest.get("sequences", 0))

    def read(self, language: str) -> dict[str, np.ndarray]:
        """(units, C) float32 log-probabilities of each split, writable.

        Raises:
            UserError: the file is missing or damaged, or belongs to other rows.
        """
        self._check_rows(language)
        shapes = {split: (units(self.task, language, split), len(self.task.labels)) for split in SOFT_LABEL_SPLITS}
        return self._read(language, shapes)

    def read_sequences(self, language: str) -> dict[str, Sequences]:
        """The sequences of tags of each of `LEARNED_SPLITS`, where `sequences` is not 0; errors as of `read`."""
        self._check_rows(language)
        shapes = {}
        for split in LEARNED_SPLITS:
            rows = self.task.unlabelled_tokens(language) if split == "unlabelled" else self.task.rows(language, split)
            shapes[f"{split}_sequences"] = (self.sequences, units(self.task, language, split))
            shapes[f"{split}_weights"] = (len(rows), self.sequences)
        found, read = {}, self._read(language, shapes)
        for split in LEARNED_SPLITS:
            tags = read[f"{split}_sequences"].astype(np.int16)
            found[split] = np.where(tags == NO_TAG_BYTE, np.int16(-1), tags), read[f"{split}_weights"]
        return found

    def _check_rows(self, language: str) -> None:
        entry, again = self.manifest["languages"].get(language), self._again
        if entry is None:
            raise UserError(f"{self.folder}/manifest.json: expected {language} among its languages; {again}")
        if entry["rows_sha256"] != rows_sha256(self.task, language):
            raise UserError(
                f"{self.folder}/{language}.safetensors: made for other rows than {self.task.folder}/{language} holds "
                f"now; {again}"
            )

    def _read(self, language: str, shapes: Mapping[str, tuple[int, int]]) -> dict[str, np.ndarray]:
        """The arrays of these names, writable."""
        path, again = self.folder / f"{language}.safetensors", self._again
        arrays = read_arrays(path, self._made_by)
        for name, expected in shapes.items():
            shape = arrays[name].shape if name in arrays else None
            if shape != expected:
                raise UserError(f"{path}: {name}: expected an array of shape {expected}, found {shape}; {again}")
        if sha256_file(path) != (expected_sha := self.manifest["languages"][language]["sha256"]):
            raise UserError(f"{path}: sha256: expected {expected_sha[:12]}, found another; it is damaged; {again}")
        return {name: np.array(arrays[name]) for name in shapes}


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
