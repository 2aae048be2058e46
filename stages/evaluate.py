"""Stage evaluate: score one fine-tuned model on one task language by language.

Run as `python -m stages.evaluate MODEL TASK`, MODEL teacher, student, student_plain or no_teacher.
"""

from pathlib import Path

from distil.core.params import load_languages, load_params
from distil.evaluation.scores import score, write_scores
from distil.finetuning.saved_models import FinetunedModels
from distil.finetuning.test_predictions import EvaluateConfig, evaluate
from distil.runtime.process import Cost, arguments, run
from distil.tasks.data import read_task


def main() -> None:
    """Write metrics/evaluate/MODEL/TASK.json and metrics/predictions/MODEL/TASK.csv."""
    cost, (model, name) = Cost(), arguments("MODEL", "TASK")
    config, languages = load_params("evaluate", EvaluateConfig), load_languages()
    task = read_task(Path("data/tasks") / name)
    models = FinetunedModels(Path("models/finetuned") / model / name)
    found, cut_off = evaluate(models, task, languages)
    mode = models.manifest["languages_mode"]
    scores = score(model, name, task.kind, task.labels, mode, found, config.bootstrap_resamples)
    write_scores(Path("metrics"), scores, found)
    rows = sum(len(each.gold) for each in found.values()) * len(models.seeds)
    cost.write(Path(f"metrics/cost/evaluate-{model}-{name}.json"), rows=rows, words_cut_off=cut_off)


if __name__ == "__main__":
    run(main)
