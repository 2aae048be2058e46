"""Fine-tuning and prediction in rows/s against transformers' own Trainer, same model, rows and batch size.

    python -m benchmarks.finetune [--quick] [--student DIR] [--task DIR]

Both run the same epochs in float32 with AdamW, dropout and batches of 32; the Trainer with its defaults and padding to
the longest row of each batch, its shuffled order included; ours with rows of like length together. Both begin with
token ids. Five repetitions (two with --quick) in turn, medians. The last line is one JSON object.
"""

import tempfile
import time
from argparse import Namespace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments, XLMRobertaForSequenceClassification

from benchmarks.machine import finish, machine, plain_parser
from distil.finetune import Encoded, Encoder, FinetuneConfig, finetune, join, predict
from distil.progress import quieten_transformers
from distil.tasks import read_task

BATCH, DROPOUT, RATE, MAX_LENGTH = 32, 0.1, 3e-4, 128


def main() -> None:
    """Print one JSON object."""
    options = plain_parser(__doc__.splitlines()[0])
    options.add_argument("--student", type=Path, default=Path("models/student"), help="masked language model folder")
    options.add_argument("--task", type=Path, default=Path("data/tasks/sentiment"), help="folder LANG/train.jsonl")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    quieten_transformers()
    rows, labels, pad_id = load_rows(chosen, 400 if chosen.quick else 2_000)
    repetitions = 2 if chosen.quick else 5
    pairs = [(ours(chosen.student, rows, labels, pad_id), trainers(chosen.student, rows, labels, pad_id))
             for _ in range(repetitions)]  # fmt: skip
    training = [their[0] / our[0] for our, their in pairs]
    predicting = [their[1] / our[1] for our, their in pairs]
    finish({
        "ratio_to_trainer": round(median(training), 2),
        "ratio_to_trainer_predicting": round(median(predicting), 2),
        "rows_per_second": {
            "distil": round(len(rows.ids) / median(our[0] for our, _ in pairs)),
            "trainer": round(len(rows.ids) / median(their[0] for _, their in pairs)),
        },
        "rows": len(rows.ids), "mean_tokens": round(float(rows.lengths().mean()), 1), "batch": BATCH,
        "repetitions": repetitions, "machine": machine(chosen.threads),
    })  # fmt: skip


def load_rows(options: Namespace, count: int) -> tuple[Encoded, int, int]:
    """Training rows of all languages, the number of labels and the id of padding."""
    task = read_task(options.task)
    encoder = Encoder(options.student, MAX_LENGTH)
    languages = sorted(path.name for path in options.task.iterdir() if path.is_dir())
    parts = []
    for language in languages:
        found = task.text_rows(language, "train")[: count // len(languages)]
        parts.append(encoder.encode([row.text for row in found], np.array([task.labels.index(r.label) for r in found])))
    return join(parts), len(task.labels), encoder.pad_id


def ours(folder: Path, rows: Encoded, labels: int, pad_id: int) -> tuple[float, float]:
    """Seconds of one epoch, loading the model included, and of predicting the rows."""
    config = FinetuneConfig(epochs=1, batch_size=BATCH, learning_rate=RATE, dropout=DROPOUT, warmup_fraction=0.1,
                            weight_decay=0.01)  # fmt: skip
    start = time.perf_counter()
    model = finetune(folder, labels, rows, {}, pad_id, config, 1, "benchmark")
    middle = time.perf_counter()
    predict(model, rows, pad_id)
    return middle - start, time.perf_counter() - middle


def trainers(folder: Path, rows: Encoded, labels: int, pad_id: int) -> tuple[float, float]:
    """The same with transformers' Trainer."""

    def collate(batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        width = max(len(row["input_ids"]) for row in batch)
        ids = [row["input_ids"] + [pad_id] * (width - len(row["input_ids"])) for row in batch]
        input_ids = torch.tensor(ids)
        return {"input_ids": input_ids, "attention_mask": (input_ids != pad_id).long(),
                "labels": torch.tensor([row["labels"] for row in batch])}  # fmt: skip

    data: Any = [{"input_ids": ids, "labels": int(label)} for ids, label in zip(rows.ids, rows.labels, strict=True)]
    start = time.perf_counter()
    model = XLMRobertaForSequenceClassification.from_pretrained(
        folder, num_labels=labels, dtype=torch.float32, hidden_dropout_prob=DROPOUT,
        attention_probs_dropout_prob=DROPOUT,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        arguments = TrainingArguments(
            output_dir=name, per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH, num_train_epochs=1,
            learning_rate=RATE, weight_decay=0.01, save_strategy="no", report_to=[], logging_strategy="no",
            disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(model=model, args=arguments, train_dataset=data, data_collator=collate)
        trainer.train()
        middle = time.perf_counter()
        trainer.predict(data)
    return middle - start, time.perf_counter() - middle


if __name__ == "__main__":
    main()
