"""models/finetuned/MODEL/TASK: one classifier for each seed (and language), and the manifest with its training history.

seed-1/            `evaluate.languages: joint`: a Hugging Face folder, for all languages
seed-1/kin/        `separate`: one a language
manifest.json      docs/reference/output-files.md

Written by distil/finetuning/run.py, read here.
"""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distil.core.files import read_json, verify_checksums
from distil.evaluation.controls import finetune_stage
from distil.finetuning.classifier import load_classifier, predict_both
from distil.finetuning.encoding import Encoded, Encoder
from distil.runtime.progress import Progress


class Group(NamedTuple):
    """Languages that share one classifier, and its folder below `seed-N`."""

    languages: list[str]
    folder: str

    def run(self, seed: int) -> str:
        """The classifier's folder below models/finetuned/MODEL/TASK."""
        return f"seed-{seed}/{self.folder}".rstrip("/")


def groups(mode: str, languages: list[str]) -> list[Group]:
    """`joint`: one group. `separate`: one a language."""
    return [Group(languages, "")] if mode == "joint" else [Group([language], language) for language in languages]


class Scored(NamedTuple):
    """What one classifier says of some units."""

    logits: np.ndarray  # (U, C) float32 unnormalised scores; nan for a unit without a place
    transitions: np.ndarray | None  # of a tagger that has them, for `decode_labels`
    alone: np.ndarray | None = None  # scores of the transformer without its n-gram table; None where it has none


class FinetunedModels:
    """models/finetuned/MODEL/TASK, open for reading."""

    def __init__(self, folder: Path, made_by: str = "") -> None:
        """`folder` ends in MODEL/TASK; `made_by` is the stage that writes it, where that is no fine-tuning.

        Raises:
            UserError: missing or damaged; names the command that makes it again.
        """
        self.folder, self.made_by = folder, made_by or finetune_stage(folder.parent.name, folder.name)
        verify_checksums(folder, self.made_by)
        self.manifest = read_json(folder / "manifest.json", self.made_by)
        self.seeds: list[int] = self.manifest["seeds"]
        self.max_length: int = self.manifest["max_length"]
        self.groups = groups(self.manifest["languages_mode"], self.manifest["languages"])

    def encoder(self) -> Encoder:
        """The tokenizer, which all of them share."""
        return Encoder(self.folder / self.groups[0].run(self.seeds[0]), self.max_length, self.made_by)

    def scores(self, rows: dict[str, Encoded], pad_id: int, precision: str = "float32") -> dict[str, dict[int, Scored]]:
        """Scores of each language's rows, by language and seed.

        Args:
            rows: by language.
            pad_id: of the padding piece.
            precision: float32 or bfloat16, of the matrix products.

        Raises:
            UserError: a classifier is missing or does not load.
        """
        manifest, total = self.manifest, len(self.seeds) * sum(len(each.ids) for each in rows.values())
        found: dict[str, dict[int, Scored]] = {language: {} for language in rows}
        title = f"predict {manifest['model']} on {manifest['task']}"
        with Progress(title, total, "rows") as progress:
            for seed, group in product(self.seeds, self.groups):
                folder = self.folder / group.run(seed)
                model = load_classifier(
                    folder, manifest["kind"], manifest["labels"], self.max_length, self.made_by, manifest["languages"]
                )
                for language in group.languages:
                    logits, alone = predict_both(model, rows[language], pad_id, precision, progress.add)
                    found[language][seed] = Scored(logits, model.transitions, alone)
        return found
