"""Predict a task's rows with fine-tuned classifiers, language by language: labels of the test rows, and soft labels."""

from pathlib import Path

import numpy as np

from distil.evaluation.counts import Predictions, TagPredictions
from distil.finetuning.classifier import decode_labels, to_predictions
from distil.finetuning.encoding import join
from distil.finetuning.saved_models import FinetunedModels
from distil.finetuning.soft_labels import SOFT_LABEL_SPLITS, write_soft_labels
from distil.tasks.data import Task
from distil.tasks.tag_decoding import tag_marginals


def predict_test(
    models: FinetunedModels, task: Task, transformer_alone: bool = False
) -> tuple[dict[str, Predictions | TagPredictions], int]:
    """Predict the test rows of each language with the classifier of each seed, or with its transformer alone.

    Returns:
        The predictions by language, and how many words no model read because the limit of tokens cut them off.

    Raises:
        UserError: a classifier is missing or does not load.
    """
    encoder, languages = models.encoder(), models.manifest["languages"]
    rows = {language: encoder.split(task, language, number, "test") for number, language in enumerate(languages)}
    scores = models.scores(rows, encoder.pad_id, transformer_alone)
    found = {}
    for language in languages:
        decided = {
            seed: decode_labels(each.logits, rows[language], task.kind, task.labels, each.transitions)
            for seed, each in scores[language].items()
        }
        found[language] = to_predictions(rows[language], decided, task.kind, task.labels)
    return found, sum(int((each.places < 0).sum()) for each in rows.values())


def mean_log_probs(logits: list[np.ndarray]) -> np.ndarray:
    """(U, C) float32 log of the mean of the probabilities of several (U, C) logits."""
    stacked = np.stack(logits).astype(np.float64)
    with np.errstate(invalid="ignore"):  # a unit without a place is nan
        log_probs = stacked - np.logaddexp.reduce(stacked, axis=2, keepdims=True)
        mean = np.logaddexp.reduce(log_probs, axis=0) - np.log(len(logits))
    return mean.astype(np.float32)


def predict_soft_labels(models: FinetunedModels, task: Task, out: Path) -> dict[str, int]:
    """Predict all rows with the classifier of each seed; write the logs of the mean probabilities as soft labels.

    Those of a tagger with transitions are marginals over the valid sequences, and the manifest says so.

    Returns:
        How many rows there were, `soft_label_rows`.

    Raises:
        UserError: a classifier is missing or does not load.
    """
    encoder, languages = models.encoder(), models.manifest["languages"]
    parts = {
        language: [
            encoder.unlabelled(task, language, number)
            if split == "unlabelled"
            else encoder.split(task, language, number, split)
            for split in SOFT_LABEL_SPLITS
        ]
        for number, language in enumerate(languages)
    }
    rows = {language: join(each) for language, each in parts.items()}
    scores = models.scores(rows, encoder.pad_id)
    found = {}
    for language in languages:
        ends = np.cumsum([len(part.gold) for part in parts[language]])[:-1]
        each = [
            scored.logits
            if scored.transitions is None
            else tag_marginals(scored.logits, rows[language].starts, task.labels, scored.transitions)
            for scored in scores[language].values()
        ]
        probs = np.split(mean_log_probs(each), ends)
        found[language] = dict(zip(SOFT_LABEL_SPLITS, probs, strict=True))
    tags = {"tags": "marginals"} if models.manifest["recipe"].get("tagger") == "chain" else {}
    write_soft_labels(out, task, found, {"seeds": models.seeds, "max_length": models.max_length, **tags})
    return {"soft_label_rows": sum(len(each.ids) for each in rows.values())}
