"""Predict a task's rows with fine-tuned classifiers, language by language: labels of the test rows, and soft labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distil.evaluation.counts import Predictions, TagPredictions
from distil.finetuning.classifier import decode_labels, to_predictions
from distil.finetuning.encoding import Encoded, join
from distil.finetuning.saved_models import FinetunedModels, Scored
from distil.finetuning.soft_labels import write_soft_labels
from distil.tasks.data import Task
from distil.tasks.tag_decoding import tag_marginals


class ScoredTask(NamedTuple):
    """The rows of some splits of a task, and what the classifier of each seed says of them."""

    task: Task
    rows: dict[str, dict[str, Encoded]]  # by language and split
    scores: dict[str, dict[str, dict[int, Scored]]]  # by language, split and seed

    def words_cut_off(self) -> int:
        """Words of the test rows that no model read because the limit of tokens cut them off."""
        return sum(int((splits["test"].places < 0).sum()) for splits in self.rows.values())

    def test_predictions(self, transformer_alone: bool = False) -> dict[str, Predictions | TagPredictions]:
        """The labels of the test rows by language, of the whole model or of its transformer without n-grams."""
        found = {}
        for language, splits in self.rows.items():
            rows, (kind, labels) = splits["test"], (self.task.kind, self.task.labels)
            decided = {}
            for seed, each in self.scores[language]["test"].items():
                logits = each.alone if transformer_alone and each.alone is not None else each.logits
                decided[seed] = decode_labels(logits, rows, kind, labels, each.transitions)
            found[language] = to_predictions(rows, decided, kind, labels)
        return found


def score_splits(
    models: FinetunedModels, task: Task, splits: Sequence[str], precision: str = "float32"
) -> ScoredTask:  # fmt: skip
    """Score all rows of some splits, each once, with the classifier of each seed.

    Args:
        models: of the task.
        task: whose rows are scored.
        splits: some of SOFT_LABEL_SPLITS.
        precision: float32 or bfloat16, of the matrix products.

    Raises:
        UserError: a classifier is missing or does not load.
    """
    encoder, rows = models.encoder(), {}
    for number, language in enumerate(models.manifest["languages"]):
        rows[language] = {
            split: encoder.unlabelled(task, language, number)
            if split == "unlabelled"
            else encoder.split(task, language, number, split)
            for split in splits
        }
    joined = {language: join(list(each.values())) for language, each in rows.items()}
    scores: dict[str, dict[str, dict[int, Scored]]] = {}
    for language, by_seed in models.scores(joined, encoder.pad_id, precision).items():
        ends = np.cumsum([len(part.gold) for part in rows[language].values()])[:-1]
        scores[language] = {split: {} for split in splits}
        for seed, scored in by_seed.items():
            logits = np.split(scored.logits, ends)
            alone = [None] * len(logits) if scored.alone is None else np.split(scored.alone, ends)
            for split, one, other in zip(splits, logits, alone, strict=True):
                scores[language][split][seed] = Scored(one, scored.transitions, other)
    return ScoredTask(task, rows, scores)


def predict_test(models: FinetunedModels, task: Task) -> tuple[dict[str, Predictions | TagPredictions], int]:
    """Predict the test rows of each language with the classifier of each seed.

    Returns:
        The predictions by language, and how many words no model read because the limit of tokens cut them off.

    Raises:
        UserError: a classifier is missing or does not load.
    """
    scored = score_splits(models, task, ["test"])
    return scored.test_predictions(), scored.words_cut_off()


def mean_log_probs(logits: list[np.ndarray]) -> np.ndarray:
    """(U, C) float32 log of the mean of the probabilities of several (U, C) logits."""
    stacked = np.stack(logits).astype(np.float64)
    with np.errstate(invalid="ignore"):  # a unit without a place is nan
        log_probs = stacked - np.logaddexp.reduce(stacked, axis=2, keepdims=True)
        mean = np.logaddexp.reduce(log_probs, axis=0) - np.log(len(logits))
    return mean.astype(np.float32)


def write_teacher_labels(scored: ScoredTask, models: FinetunedModels, out: Path) -> int:
    """Write the logs of the mean probabilities of all seeds as soft labels; returns the number of rows.

    Those of a tagger with transitions are marginals over the valid sequences, and the manifest says so.

    Args:
        scored: all of SOFT_LABEL_SPLITS.
        models: that scored them.
        out: data/task_targets/TASK.
    """
    found: dict[str, dict[str, np.ndarray]] = {language: {} for language in scored.rows}
    for language, splits in scored.rows.items():
        for split, rows in splits.items():
            found[language][split] = mean_log_probs(
                [
                    each.logits
                    if each.transitions is None
                    else tag_marginals(each.logits, rows.starts, scored.task.labels, each.transitions)
                    for each in scored.scores[language][split].values()
                ]
            )
    tags = {"tags": "marginals"} if models.manifest["recipe"].get("tagger") == "chain" else {}
    write_soft_labels(out, scored.task, found, {"seeds": models.seeds, "max_length": models.max_length, **tags})
    return sum(len(rows.ids) for splits in scored.rows.values() for rows in splits.values())
