"""Stages linear_companion@TASK: a linear model beside the exported student; `python -m stages.linear_companion T`."""

from pathlib import Path

from distil.core.params import load_languages, load_params
from distil.evaluation.config import CompanionConfig
from distil.evaluation.predictions import predictions_file, write_predictions
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.serving.companion_fit import fit_companion, write_companion
from distil.serving.predictor import Predictor
from distil.tasks.data import read_task


def main(name: str) -> None:
    """Write models/student_linear/TASK and metrics/predictions/student_linear/TASK.csv."""
    cost = StageCost()
    languages, config = load_languages(), load_params("evaluate.linear_companion", CompanionConfig)
    exported = Path("models/onnx") / name / "int8"
    predictor = Predictor(exported)
    fitted = fit_companion(read_task(Path("data/tasks") / name), predictor, languages, config)
    write_companion(fitted, exported, Path("models/student_linear") / name / "int8")
    write_predictions(predictions_file(Path(), "student_linear", name), fitted.predictions, predictor.card.labels)
    cost.write(Path(f"metrics/cost/linear_companion-{name}.json"))


if __name__ == "__main__":
    run_stage(main, "TASK")
