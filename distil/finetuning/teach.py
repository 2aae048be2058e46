"""The fine-tuned teacher's distributions on a task's text: data/task_targets/TASK, in the format of soft_labels.py."""

from pathlib import Path

import numpy as np

from distil.core.files import atomic_folder, seal, write_json
from distil.finetuning.encoding import join
from distil.finetuning.saved_models import FinetunedModels
from distil.finetuning.soft_labels import mean_log_probs, rows_sha256, write_language
from distil.tasks.data import Task


def teach(models: FinetunedModels, task: Task, languages: list[str], out: Path) -> dict[str, int]:
    """Ask every classifier of the teacher for the training rows and the rows without a label, and write the means.

    Returns:
        How many `rows` there were.

    Raises:
        UserError: a classifier is missing or does not load.
    """
    encoder = models.encoder()
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
        seal(folder)
    return {"rows": sum(len(each.ids) for each in rows.values())}
