"""How fast a teacher is adapted: tokens/s of distil/teacher/masked_lm.py over tokens/s of transformers' own Trainer.

    python -m benchmarks.adapt [--quick] [--teacher DIR] [--text DIR] [--batch-tokens N] [--threads N]

The same model, text, optimiser, rate of masks and tokens in a step, on the CPU; texts are ids before the clock starts.
The Trainer works as run_mlm.py of transformers' examples does, in both of its ways: a text a row, padded to the longest
of its batch (`lines`), and texts run together and cut into rows of 128 (`blocks`), with scores over the vocabulary at
every token. Here rows of like length are read together, with scores at masked places. In turn, in one process; medians
of CPU seconds, so that other work on the machine counts for nothing; padding is no token.
The last line is one JSON object.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, Trainer, TrainingArguments

from benchmarks.machine import by_size, finish, machine
from benchmarks.material import parser
from distil.core.languages import LANGUAGES
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.runtime.progress import silence_transformers
from distil.teacher.masked_lm import MaskedLMSchedule, Sequences, encode_lines, train_masked_lm

MAX_LENGTH, RATE, MASKED, LINES = 128, 1e-4, 0.15, 2000


def ours(teacher: Path, texts: dict[str, Sequences], steps: int, batch_tokens: int) -> float:
    """Tokens a CPU second."""
    model, special = load_masked_lm(teacher, None), special_ids(load_tokenizer(teacher))
    schedule = MaskedLMSchedule(steps, batch_tokens, RATE, 0.0, MASKED, 1.0)
    start = time.process_time()
    tokens = train_masked_lm(model, texts, special, schedule, 1, "adapt").tokens
    return tokens / (time.process_time() - start)


def trainers(teacher: Path, rows: list[list[int]], steps: int, batch_tokens: int, scratch: str) -> float:
    """The same of transformers' Trainer, on these rows in an order of its own."""
    size = max(1, batch_tokens * len(rows) // sum(map(len, rows)))
    arguments = TrainingArguments(
        output_dir=scratch, max_steps=steps, per_device_train_batch_size=size, learning_rate=RATE, weight_decay=0.01,
        save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, logging_strategy="no",
    )  # fmt: skip
    pads = AutoTokenizer.from_pretrained(teacher)
    collator, read = DataCollatorForLanguageModeling(pads, mlm=True, mlm_probability=MASKED), [0]

    def collate(batch: list[dict[str, Any]]) -> Any:
        read[0] += sum(len(row["input_ids"]) for row in batch)
        return collator(batch)

    data: Any = [{"input_ids": row} for row in rows]
    trainer = Trainer(load_masked_lm(teacher, None), arguments, train_dataset=data, data_collator=collate)
    start = time.process_time()
    trainer.train()
    return read[0] / (time.process_time() - start)


def main() -> None:
    """Print the three rates, then one JSON object."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--batch-tokens", type=int, default=2048, help="tokens in a step, about")
    given = options.parse_args()
    steps, repetitions = by_size(given, (1, 1), (2, 1), (4, 3))
    torch.set_num_threads(given.threads)
    silence_transformers()
    tokenizer = load_tokenizer(given.teacher)
    special = special_ids(tokenizer)
    texts = {}
    for language in LANGUAGES:
        if (path := given.text / f"{language}.txt").is_file():
            lines = path.read_text(encoding="utf-8").splitlines()[:LINES]
            texts[language] = encode_lines(lines, tokenizer, special, MAX_LENGTH)
    every = [row.tolist() for text in texts.values() for row in text.take(np.arange(len(text.offsets) - 1))]
    flat = [number for row in every for number in row]
    blocks = [flat[start : start + MAX_LENGTH] for start in range(0, len(flat) - MAX_LENGTH + 1, MAX_LENGTH)]
    found: dict[str, list[float]] = {"ours": [], "lines": [], "blocks": []}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(repetitions):
            found["ours"].append(ours(given.teacher, texts, steps, given.batch_tokens))
            found["lines"].append(trainers(given.teacher, every, steps, given.batch_tokens, scratch))
            found["blocks"].append(trainers(given.teacher, blocks, steps, given.batch_tokens, scratch))
    rates = {name: median(runs) for name, runs in found.items()}
    for name, rate in rates.items():
        print(f"{name}: {rate:.0f} tokens a CPU second")
    finish({
        "pieces": tokenizer.get_vocab_size(), "tokens_a_sequence": round(len(flat) / len(every), 1),
        "batch_tokens": given.batch_tokens,
        "tokens_per_cpu_second": {name: round(rate) for name, rate in rates.items()},
        "ratio_to_lines": round(rates["ours"] / rates["lines"], 2),
        "ratio_to_blocks": round(rates["ours"] / rates["blocks"], 2),
        "repetitions": repetitions, **machine(given.threads),
    })  # fmt: skip


if __name__ == "__main__":
    main()
