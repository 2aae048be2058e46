"""Stage evaluate: the predictions of all models -> scores, intervals and comparisons."""

from pathlib import Path

from distil.core.params import load_languages
from distil.evaluation.config import load_evaluate
from distil.evaluation.rivals import load_rivals
from distil.evaluation.run import evaluate
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage


def main() -> None:
    """Write metrics/evaluate, metrics/compare and metrics/scores.csv."""
    cost = StageCost()
    figures = evaluate(Path(), load_evaluate(), load_languages(), list(load_rivals()))
    cost.write(Path("metrics/cost/evaluate.json"), **figures)


if __name__ == "__main__":
    run_stage(main)
