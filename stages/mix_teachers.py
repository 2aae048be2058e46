"""Stages mix_teachers@TASK: the soft labels of a task's teachers, mixed. `python -m stages.mix_teachers TASK`."""

from pathlib import Path

from distil.core.params import load_languages, load_params
from distil.evaluation.config import TaskTeachersConfig, load_evaluate
from distil.evaluation.predictions import predictions_file, write_predictions
from distil.evaluation.task_teachers import find_sequences, mix_task_teachers
from distil.evaluation.teacher_mixture import mixture_predictions
from distil.finetuning.soft_labels import LEARNED_SPLITS, SOFT_LABEL_SPLITS, open_soft_labels, write_soft_labels
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.tasks.data import read_task


def main(name: str) -> None:
    """Write data/mixed_targets/TASK and metrics/predictions/teachers/TASK.csv."""
    cost = StageCost()
    languages, task = load_languages(), read_task(Path("data/tasks") / name)
    config, few = load_params("finetune.task_teachers", TaskTeachersConfig), load_evaluate().few_labels
    opened = {teacher: open_soft_labels(teacher, config.path, task) for teacher in config.use if teacher != "linear"}
    given = {str(teacher): {code: labels.read(code) for code in languages} for teacher, labels in opened.items()}
    chains = {str(teacher) for teacher, labels in opened.items() if labels.are_marginals}
    teachers = mix_task_teachers(task, languages, given, SOFT_LABEL_SPLITS, config, few, chains)
    sequences = find_sequences(task, teachers.soft_labels, LEARNED_SPLITS, config)
    write_soft_labels(Path("data/mixed_targets") / name, task, teachers.soft_labels, teachers.about, sequences)
    several = teachers.mixed if len(config.use) > 1 else {}  # one alone is the row of that model already
    predicted = {code: mixture_predictions(task, code, each.log_probs["test"]) for code, each in several.items()}
    write_predictions(predictions_file(Path(), "teachers", name), predicted, task.labels)
    cost.write(Path(f"metrics/cost/mix_teachers-{name}.json"))


if __name__ == "__main__":
    run_stage(main, "TASK")
