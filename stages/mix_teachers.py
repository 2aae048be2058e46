"""Stages mix_teachers@TASK: the soft labels of a task's teachers, mixed. `python -m stages.mix_teachers TASK`."""

from functools import partial
from pathlib import Path

from distil.core.params import load_languages, load_params
from distil.evaluation.baselines import label_numbers
from distil.evaluation.config import TaskTeachersConfig, load_evaluate
from distil.evaluation.few_labels import chooses, few_labels_entry
from distil.evaluation.predictions import predictions_file, write_predictions
from distil.evaluation.tag_marginals import marginal_soft_labels
from distil.evaluation.teacher_mixture import mix_by_weights, mix_teachers, mixture_predictions
from distil.finetuning.soft_labels import (
    SOFT_LABEL_SPLITS,
    SoftLabels,
    open_soft_labels,
    write_soft_labels,
)
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.tasks.data import read_task


def main(name: str) -> None:
    """Write data/mixed_targets/TASK and metrics/predictions/teachers/TASK.csv."""
    cost = StageCost()
    languages, task = load_languages(), read_task(Path("data/tasks") / name)
    config, few = load_params("finetune.task_teachers", TaskTeachersConfig), load_evaluate().few_labels
    opened: dict[str, SoftLabels] = {
        teacher: open_soft_labels(teacher, config.path, task) for teacher in config.use if teacher != "linear"
    }
    given = {teacher: {code: labels.read(code) for code in languages} for teacher, labels in opened.items()}
    mixed = {}
    for language in filter(partial(chooses, few=few), languages):
        found = {teacher: each[language] for teacher, each in given.items()}
        if "linear" in config.use:
            from distil.evaluation.linear_teacher import linear_soft_labels  # with scikit-learn, a second

            found["linear"] = linear_soft_labels(task, language, SOFT_LABEL_SPLITS)
        mixed[language] = mix_teachers(found, label_numbers(task, language, "dev"))
    if few.languages:
        from distil.evaluation.pooled_teacher import pooled_soft_labels, shared_weights

        if "linear" in config.use:
            given["linear"] = pooled_soft_labels(task, few, SOFT_LABEL_SPLITS)
        weights = shared_weights(task, few, given)
        for language in few.languages:
            mixed[language] = mix_by_weights({name: each[language] for name, each in given.items()}, weights)
    mixed = {code: mixed[code] for code in languages}
    taught = {code: each.log_probs for code, each in mixed.items()}
    about = {"teachers": list(config.use), "weights": {code: each.weights for code, each in mixed.items()},
             "dev_loss": {code: each.dev_loss for code, each in mixed.items()},
             **few_labels_entry(task, languages, few)}  # fmt: skip
    if config.tags == "marginals" and task.kind == "token_classification":
        taught = {code: marginal_soft_labels(task, code, splits) for code, splits in taught.items()}
        about["tags"] = "marginals"
    write_soft_labels(Path("data/mixed_targets") / name, task, taught, about)
    several = mixed if len(config.use) > 1 else {}  # one alone is the row of that model already
    predicted = {code: mixture_predictions(task, code, each.log_probs["test"]) for code, each in several.items()}
    write_predictions(predictions_file(Path(), "teachers", name), predicted, task.labels)
    cost.write(Path(f"metrics/cost/mix_teachers-{name}.json"))


if __name__ == "__main__":
    run_stage(main, "TASK")
