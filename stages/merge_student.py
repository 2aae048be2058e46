"""Stages merge_student@TASK: the student's seeds -> one model. `python -m stages.merge_student TASK`."""

from pathlib import Path

from distil.core.files import write_json
from distil.evaluation.config import load_evaluate
from distil.evaluation.model_names import MERGED, predictions_stage
from distil.evaluation.predictions import predictions_file, write_predictions
from distil.finetuning.row_predictions import predict_test
from distil.finetuning.saved_models import FinetunedModels
from distil.merging.student_soup import merge_student
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.tasks.data import read_task

STUDENT = Path("models/finetuned/student")


def main(name: str) -> None:
    """Write models/finetuned/student/merged/TASK, its predictions of the test rows, and what was merged beside them."""
    cost, config = StageCost(), load_evaluate().merge
    task, out = read_task(Path("data/tasks") / name), STUDENT / "merged" / name
    about = merge_student(FinetunedModels(STUDENT / name), task, config, out)
    found, _ = predict_test(FinetunedModels(out, predictions_stage(MERGED, name)), task)
    path = predictions_file(Path(), MERGED, name)
    write_predictions(path, found, task.labels)
    write_json(path.with_suffix(".json"), about)
    cost.write(Path(f"metrics/cost/merge_student-{name}.json"))


if __name__ == "__main__":
    run_stage(main, "TASK")
