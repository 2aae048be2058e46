"""How fast fine-tuning is: rows/s of distil/finetune.py over rows/s of transformers' own Trainer.

    python -m benchmarks.finetune [--quick] [--model DIR] [--task DIR] [--batch-size N] [--threads N]

The same model, rows, labels, optimiser and batch size, on the CPU; both read token ids made before. The Trainer pads
each batch to its longest row (DataCollatorWithPadding) and shuffles, as its examples do; here the rows of a batch are
of like length. In turn, in one process; medians of CPU seconds, so that other work on the machine counts for neither.
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

from benchmarks.machine import finish, machine, plain_parser
from distil.classify import load_classifier
from distil.encode import Encoded, Encoder, join
from distil.finetune import Recipe, Rows, Run
from distil.progress import quieten_transformers
from distil.tasks import Task, read_task

MAX_LENGTH = 96
RATE = 1e-4


def _head(rows: Encoded, count: int) -> Encoded:
    """The first texts."""
    return Encoded(
        rows.ids[:count], rows.starts[: count + 1], rows.places[:count], rows.gold[:count], rows.languages[:count]
    )


def ours(model: Path, task: Task, rows: Encoded, pad_id: int, batch_size: int) -> float:
    """CPU seconds of one epoch, without scoring."""
    classifier = load_classifier(model, task.kind, task.labels, MAX_LENGTH, "distil")
    recipe = Recipe(1, RATE, "plain", batch_size, 0.1, 0.1, 0.01, 1.0, 0.0)
    run = Run(classifier, Rows(task.kind, task.labels, task.languages, rows, {}, pad_id), recipe, 1, "benchmark")
    classifier.train()
    start = time.process_time()
    for batch in run.rest_of(0):
        run.step(batch)
    return time.process_time() - start


def trainers(model: Path, task: Task, rows: Encoded, batch_size: int, scratch: str) -> float:
    """CPU seconds of one epoch of transformers' Trainer."""
    classifier = AutoModelForSequenceClassification.from_pretrained(
        model, num_labels=len(task.labels), dtype=torch.float32, hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )  # fmt: skip
    arguments = TrainingArguments(
        output_dir=scratch, num_train_epochs=1, per_device_train_batch_size=batch_size, learning_rate=RATE,
        weight_decay=0.01, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, logging_strategy="no",
    )  # fmt: skip
    data = [{"input_ids": ids, "labels": int(gold)} for ids, gold in zip(rows.ids, rows.gold, strict=True)]
    collator = DataCollatorWithPadding(AutoTokenizer.from_pretrained(model))
    trainer = Trainer(classifier, arguments, train_dataset=data, data_collator=collator)  # type: ignore[arg-type]
    start = time.process_time()
    trainer.train()
    return time.process_time() - start


def main() -> None:
    """Print both rates, then one JSON object."""
    options = plain_parser(__doc__.splitlines()[0])
    options.add_argument("--model", type=Path, default=Path("models/student"))
    options.add_argument("--task", type=Path, default=Path("data/tasks/sentiment"))
    options.add_argument("--batch-size", type=int, default=32)
    given = options.parse_args()
    count, repetitions = (60, 2) if given.quick else (400, 5)  # rows of each language, the first ones
    torch.set_num_threads(given.threads)
    quieten_transformers()
    task, encoder = read_task(given.task), Encoder(given.model, MAX_LENGTH, "distil")
    parts = [encoder.split(task, language, number, "train") for number, language in enumerate(task.languages)]
    rows = join([_head(part, count) for part in parts])
    found: dict[str, list[float]] = {"ours": [], "trainer": []}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(repetitions):
            found["ours"].append(ours(given.model, task, rows, encoder.pad_id, given.batch_size))
            found["trainer"].append(trainers(given.model, task, rows, given.batch_size, scratch))
    rates = {name: round(len(rows.ids) / median(seconds), 1) for name, seconds in found.items()}
    for name, rate in rates.items():
        print(f"{name}: {rate} rows a CPU second")
    finish({
        "rows": len(rows.ids), "batch_size": given.batch_size, "tokens": int(rows.lengths().sum()),
        "rows_per_cpu_second": rates, "ratio": round(rates["ours"] / rates["trainer"], 3),
        "repetitions": repetitions, **machine(given.threads),
    })  # fmt: skip


if __name__ == "__main__":
    main()
