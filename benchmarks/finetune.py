"""How fast fine-tuning and prediction are: rows/s of this project over rows/s of transformers' own Trainer.

    python -m benchmarks.finetune [--quick] [--model DIR] [--task DIR] [--batch-size N] [--threads N]

The same model, rows, labels, optimiser and batch size, on the CPU; both read token ids made before. The Trainer pads
each batch to its longest row (DataCollatorWithPadding) and shuffles, as its examples do; here the rows of a batch are
of like length. Prediction is of the same rows. In turn, in one process; medians of CPU seconds, so that other work on
the machine counts for neither.
The last line is one JSON object.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from benchmarks.machine import by_size, finish, machine, plain_parser
from distil.finetuning.classifier import load_classifier, predict_scores
from distil.finetuning.config import FineTuningRecipe
from distil.finetuning.encoding import Encoded, Encoder, join
from distil.finetuning.trainer import FineTuningRun, TrainingRows
from distil.runtime.progress import silence_transformers
from distil.tasks.data import Task, read_task

MAX_LENGTH = 96
RATE = 1e-4


def _head(rows: Encoded, count: int) -> Encoded:
    """The first texts."""
    return Encoded(
        rows.ids[:count], rows.starts[: count + 1], rows.places[:count], rows.gold[:count], rows.languages[:count]
    )


def ours(model: Path, task: Task, rows: Encoded, pad_id: int, batch_size: int) -> tuple[float, float]:
    """CPU seconds of one epoch without scoring, and of predicting the rows."""
    classifier = load_classifier(model, task.kind, task.labels, MAX_LENGTH, "distil")
    recipe = FineTuningRecipe(1, RATE, "plain", batch_size, "float32", 0.1, 0.1, 0.01, 1.0, 0.0, None)
    training = TrainingRows(task.kind, task.labels, task.languages, rows, {}, pad_id)
    run = FineTuningRun(classifier, training, recipe, 1, "benchmark", Path())
    classifier.train()
    start = time.process_time()
    for batch in run.rest_of(0):
        run.step(batch)
    middle = time.process_time()
    predict_scores(classifier, rows, pad_id)
    return middle - start, time.process_time() - middle


def trainers(model: Path, task: Task, rows: Encoded, batch_size: int, scratch: str) -> tuple[float, float]:
    """The same of transformers' Trainer."""
    classifier = AutoModelForSequenceClassification.from_pretrained(
        model, num_labels=len(task.labels), dtype=torch.float32, hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )  # fmt: skip
    arguments = TrainingArguments(
        output_dir=scratch, num_train_epochs=1, per_device_train_batch_size=batch_size, learning_rate=RATE,
        per_device_eval_batch_size=batch_size, weight_decay=0.01, save_strategy="no", report_to=[], disable_tqdm=True,
        use_cpu=True, logging_strategy="no",
    )  # fmt: skip
    data = [{"input_ids": ids, "labels": int(gold)} for ids, gold in zip(rows.ids, rows.gold, strict=True)]
    collator = DataCollatorWithPadding(AutoTokenizer.from_pretrained(model))
    trainer = Trainer(classifier, arguments, train_dataset=data, data_collator=collator)  # type: ignore[arg-type]
    start = time.process_time()
    trainer.train()
    middle = time.process_time()
    trainer.predict(data)  # type: ignore[arg-type]
    return middle - start, time.process_time() - middle


def main() -> None:
    """Print both rates, then one JSON object."""
    options = plain_parser(__doc__.splitlines()[0])
    options.add_argument("--model", type=Path, default=Path("models/student"))
    options.add_argument("--task", type=Path, default=Path("data/tasks/sentiment"))
    options.add_argument("--batch-size", type=int, default=32)
    given = options.parse_args()
    count, repetitions = by_size(given, (8, 1), (60, 2), (400, 5))  # rows of each language, the first ones
    torch.set_num_threads(given.threads)
    silence_transformers()
    task, encoder = read_task(given.task), Encoder(given.model, MAX_LENGTH, "distil")
    parts = [encoder.split(task, language, number, "train") for number, language in enumerate(task.languages)]
    rows = join([_head(part, count) for part in parts])
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "trainer": []}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(repetitions):
            found["ours"].append(ours(given.model, task, rows, encoder.pad_id, given.batch_size))
            found["trainer"].append(trainers(given.model, task, rows, given.batch_size, scratch))
    rates: dict[str, dict[str, float]] = {}
    for number, work in enumerate(("training", "prediction")):
        rates[work] = {name: len(rows.ids) / median(run[number] for run in runs) for name, runs in found.items()}
        for name, rate in rates[work].items():
            print(f"{work}, {name}: {rate:.1f} rows a CPU second")
    finish({
        "rows": len(rows.ids), "batch_size": given.batch_size, "tokens": int(rows.lengths().sum()),
        "rows_per_cpu_second": {work: {name: round(rate, 1) for name, rate in each.items()}
                                for work, each in rates.items()},
        "ratio": round(rates["training"]["ours"] / rates["training"]["trainer"], 3),
        "ratio_predict": round(rates["prediction"]["ours"] / rates["prediction"]["trainer"], 3),
        "repetitions": repetitions, **machine(given.threads),
    })  # fmt: skip


if __name__ == "__main__":
    main()
