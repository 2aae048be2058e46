"""What n-grams give a small student: the same fine-tuning without and with them, beside TF-IDF.

    python -m benchmarks.ngrams [--quick] [--teacher DIR] [--task DIR] [--layers N] [--epochs N] [--seeds N]

The student is the teacher's embedding and first layers, not distilled. `without` and `with` differ in the n-gram table
alone; `transformer` is the transformer of `with` by itself. Test rows of the task, weighted F1 in per cent, means over
seeds; 95 % intervals are of paired bootstraps over test rows. The last line is one JSON object.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import by_size, finish, machine, plain_parser
from benchmarks.scores import scores_by_model
from distil.evaluation.baselines import tfidf
from distil.evaluation.comparison import compare_models
from distil.evaluation.counts import Predictions
from distil.finetuning.classifier import Classifier, predict_scores
from distil.finetuning.config import FineTuningRecipe
from distil.finetuning.encoding import Encoded, Encoder, join
from distil.finetuning.ngrams import NgramsConfig
from distil.finetuning.trainer import FineTuningStart, TrainingRows, fine_tune
from distil.modeling.tokenizer import copy_tokenizer
from distil.modeling.xlm_roberta import load_masked_lm
from distil.runtime.progress import silence_transformers
from distil.tasks.data import Task, read_task

MAX_LENGTH = 96
RESAMPLES = 10_000


def cut_student(teacher: Path, layers: int, folder: Path) -> None:
    """The teacher with its first layers only."""
    model = load_masked_lm(teacher, "teacher")
    model.roberta.encoder.layer = model.roberta.encoder.layer[:layers]
    model.config.num_hidden_layers = len(model.roberta.encoder.layer)
    model.save_pretrained(folder)
    copy_tokenizer(teacher, folder)


def head(rows: Encoded, count: int) -> Encoded:
    """The first texts; all of them with 0."""
    count = min(count or len(rows.ids), len(rows.ids))
    return Encoded(
        rows.ids[:count], rows.starts[: count + 1], rows.places[:count], rows.gold[:count], rows.languages[:count]
    )


def predicted(model: Classifier, test: dict[str, Encoded], pad_id: int) -> dict[str, np.ndarray]:
    """The labels of each language's test rows."""
    return {code: predict_scores(model, rows, pad_id).argmax(axis=1) for code, rows in test.items()}


def scored(task: Task, found: dict[str, dict[str, Predictions]]) -> dict[str, Any]:
    """Scores by model and language, their means, and differences from `with`, in per cent."""
    scores = scores_by_model(task, found)
    pairs = compare_models(task.name, task.kind, task.labels, found, RESAMPLES)["differences"]
    return {
        "mean": {name: round(float(np.mean(list(each.values()))), 2) for name, each in scores.items()},
        "languages": scores,
        "with_minus": {
            pair["baseline"]: [round(100 * value, 2) for value in (pair["mean"]["difference"],
                                                                   *pair["mean"]["interval_95"])]
            for pair in pairs if pair["model"] == "with"
        },
    }  # fmt: skip


def main() -> None:
    """Print the mean of each model, then one JSON object."""
    options = plain_parser(__doc__.splitlines()[0])
    options.add_argument("--teacher", type=Path, default=Path("models/teacher"))
    options.add_argument("--task", type=Path, default=Path("data/tasks/sentiment"), help="a text classification")
    options.add_argument("--layers", type=int, default=4, help="of the teacher, from the first")
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--seeds", type=int, default=2, help="fine-tunings of each kind")
    options.add_argument("--learning-rate", type=float, default=1e-4, help="of the transformer")
    options.add_argument("--ngram-rate", type=float, default=0.2, help="of the table")
    options.add_argument("--alone-weight", type=float, default=0.3)
    options.add_argument("--split", choices=["dev", "test"], default="test", help="what is scored; tune on dev")
    given = options.parse_args()
    train_rows, test_rows, epochs, seeds = by_size(
        given, (12, 8, 1, 1), (200, 200, 2, 1), (0, 0, given.epochs, given.seeds)
    )
    torch.set_num_threads(given.threads)
    silence_transformers()
    task = read_task(given.task)
    ngrams = NgramsConfig(
        max_n=3, tag_window=0, bits=18, learning_rate=given.ngram_rate, alone_weight=given.alone_weight
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "student"
        cut_student(given.teacher, given.layers, folder)
        encoder = Encoder(folder, MAX_LENGTH, "distil")
        splits = {
            split: {code: head(encoder.split(task, code, number, split), rows)
                    for number, code in enumerate(task.languages)}
            for split, rows in (("train", train_rows), ("dev", test_rows), (given.split, test_rows))
        }  # fmt: skip
        rows, test = join(list(splits["train"].values())), splits[given.split]
        training = TrainingRows(task.kind, task.labels, task.languages, rows, splits["dev"], encoder.pad_id)
        found: dict[str, dict[str, Predictions]] = {
            code: {kind: Predictions(each.gold, {}) for kind in ("with", "transformer", "without")}
            for code, each in test.items()
        }
        for seed in range(1, seeds + 1):
            for kind, table in (("without", None), ("with", ngrams)):
                recipe = FineTuningRecipe(epochs, given.learning_rate, "pooled", 16, "float32", 0.1, 0.1, 0.01, 1.0,
                                          0.0, table)  # fmt: skip
                start = FineTuningStart(folder, "distil", MAX_LENGTH, seed, seed, f"{kind} n-grams, seed {seed}")
                model = fine_tune(start, training, recipe, Path(name) / "checkpoint").model
                for part in (kind, "transformer") if table else (kind,):
                    if part == "transformer":
                        model.ngrams = None
                    for code, said in predicted(model, test, encoder.pad_id).items():
                        found[code][part].predicted[seed] = said
    if given.split == "test" and not test_rows and not train_rows:
        for code in task.languages:
            linear = tfidf(task, code)
            assert isinstance(linear, Predictions)
            found[code]["tfidf"] = linear
    result = scored(task, found)
    for kind, mean in result["mean"].items():
        print(f"{kind}: {mean:.1f}")
    finish({
        **result, "split": given.split, "seeds": seeds, "epochs": epochs, "layers": given.layers,
        "train_rows": {code: len(each.ids) for code, each in splits["train"].items()},
        "test_rows": {code: len(each.ids) for code, each in test.items()},
        "learning_rate": given.learning_rate, "ngrams": ngrams.model_dump(), **machine(given.threads),
    })  # fmt: skip


if __name__ == "__main__":
    main()
