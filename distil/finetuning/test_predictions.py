"""Predict the test rows with fine-tuned classifiers, language by language."""

from distil.evaluation.counts import Predictions, TagPredictions
from distil.finetuning.classifier import decode_labels, to_predictions
from distil.finetuning.saved_models import FinetunedModels
from distil.tasks.data import Task


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
            seed: decode_labels(each, rows[language], task.kind, task.labels) for seed, each in scores[language].items()
        }
        found[language] = to_predictions(rows[language], decided, task.kind, task.labels)
    return found, sum(int((each.places < 0).sum()) for each in rows.values())
