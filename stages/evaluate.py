"""Stage evaluate: the predictions of all models -> scores, intervals and comparisons."""

from pathlib import Path

from distil.core.params import load_languages
from distil.evaluation.config import load_evaluate
from distil.evaluation.optional_models import optional_models
from distil.evaluation.run import evaluate
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage


def main() -> None:
    """Write metrics/evaluate, metrics/compare and metrics/scores.csv."""
    cost, scoring = StageCost(), load_evaluate()
    figures = evaluate(Path(), scoring, load_languages(), optional_models(scoring.tasks))
    cost.write(Path("metrics/cost/evaluate.json"), **figures)


if __name__ == "__main__":
    run_stage(main)
