"""Fine-tuned classifiers at work: their labels on the test rows, language by language."""

from typing import Annotated, Literal

from pydantic import Field

from distil.core.params import Params
from distil.evaluation.scores import Predictions, TagPredictions, seen_rows
from distil.finetuning.classifier import answers, decide
from distil.finetuning.saved_models import FinetunedModels
from distil.tasks.data import Task


class EvaluateConfig(Params):
    """Section `evaluate:` of params.yaml."""

    tasks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(min_length=1)
    languages: Literal["joint", "separate"]
    bootstrap_resamples: int = Field(ge=100)


def evaluate(
    models: FinetunedModels, task: Task, languages: list[str]
) -> tuple[dict[str, Predictions | TagPredictions], int]:
    """Predict the test rows of each language with the classifier of each seed.

    Returns:
        The predictions by language, and how many words no model read, since the limit of tokens cut them off.

    Raises:
        UserError: a classifier is missing or does not load.
    """
    encoder, found = models.encoder(), {}
    rows = {language: encoder.split(task, language, number, "test") for number, language in enumerate(languages)}
    scores = models.scores(rows, encoder.pad_id)
    for language in languages:
        decided = {
            seed: decide(each, rows[language], task.kind, task.labels) for seed, each in scores[language].items()
        }
        train = task.texts(language, "train")
        seen = seen_rows(train, task.texts(language, "test"))
        found[language] = answers(rows[language], decided, task.kind, task.labels, len(train), seen)
    return found, sum(int((each.places < 0).sum()) for each in rows.values())
