"""models/finetuned/MODEL/TASK: one classifier for each seed (and language), and the manifest with its training history.

seed-1/            `evaluate.languages: joint`: a Hugging Face folder, for all languages
seed-1/kin/        `separate`: one a language
manifest.json      docs/reference/output-files.md

Written by distil/finetuning/run.py, read here.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from distil.core.files import read_json, verify_checksums
from distil.evaluation.controls import finetune_stage
from distil.finetuning.classifier import load_classifier, predict_scores
from distil.finetuning.encoding import Encoded, Encoder


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

    def scores(
        self, rows: dict[str, Encoded], pad_id: int, transformer_alone: bool = False
    ) -> dict[str, dict[int, Scored]]:
        """Scores of each language's rows, by language and seed.

        Args:
            rows: by language.
            pad_id: of the padding piece.
            transformer_alone: leave the n-gram table out.

        Raises:
            UserError: a classifier is missing or does not load.
        """
        manifest = self.manifest
        found: dict[str, dict[int, Scored]] = {language: {} for language in rows}
        for seed in self.seeds:
            for group in self.groups:
                folder = self.folder / group.run(seed)
                model = load_classifier(
                    folder, manifest["kind"], manifest["labels"], self.max_length, self.made_by, manifest["languages"]
                )
                if transformer_alone:
                    model.ngrams = None
                for language in group.languages:
                    found[language][seed] = Scored(predict_scores(model, rows[language], pad_id), model.transitions)
        return found
