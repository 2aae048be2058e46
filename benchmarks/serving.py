"""The int8 student beside a float32 teacher of AfroXLMR-Large's shape: tokens a second, bytes and memory.

    python -m benchmarks.serving --model models/onnx/sentiment/int8 --text FILE [--quick] [--out FILE]

The teacher has random weights (24 layers of 1024, 16 heads, 250,002 pieces, 560 million parameters), which cost what
trained ones do. Both get the same token ids in the same padded batches, in turn, on one thread and on all; medians.
Then a process of its own serves 10,000 lines of FILE (1,000 with --quick), repeated where it has fewer. The last line
is one JSON object.
"""

import argparse
import json
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

from benchmarks.machine import add_sizes, by_size
from distil.runtime.machine import machine
from distil.serving.predictor import Predictor
from distil.serving.runtime import Runtime
from distil.serving.speed import batches_of, serving_cost, thread_counts, tokens_per_second
from distil.text.cleaning import clean_line

SHAPE: dict[str, Any] = {
    "num_labels": 3, "vocab_size": 250_002, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "intermediate_size": 4096, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1,
}  # fmt: skip


class Teacher:
    """Behind the same call as a served folder."""

    workers = 1

    def __init__(self, shape: dict[str, Any]) -> None:
        self.model = XLMRobertaForSequenceClassification(XLMRobertaConfig(**shape)).eval()

    @torch.inference_mode()
    def logits(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """(B, 3) float32."""
        return self.model(torch.from_numpy(input_ids), attention_mask=torch.from_numpy(attention_mask)).logits.numpy()


def main() -> None:
    """Print one JSON object."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--model", type=Path, default=Path("models/onnx/sentiment/int8"))
    options.add_argument("--text", type=Path, required=True, help="a text a line, such as tweets")
    add_sizes(options)
    options.add_argument("--out", type=Path, help="also write the JSON object here")
    chosen = options.parse_args()
    rows, repetitions, served_lines = by_size(chosen, (4, 1, 20), (32, 1, 1_000), (128, 3, 10_000))
    texts = [text for line in chosen.text.read_text(encoding="utf-8").splitlines() if (text := clean_line(line))]
    teacher = Teacher(SHAPE | by_size(chosen, {"hidden_size": 64, "num_hidden_layers": 1}, {}, {}))
    rates, shape = {}, {}
    for threads in thread_counts():
        student = Predictor(chosen.model, threads)
        batches = batches_of(student.encode(texts[:rows]), student.special.pad)
        models: dict[str, Runtime] = {"teacher_fp32": teacher, "student_int8": student.runtime}
        rates[str(threads)] = tokens_per_second(models, batches, threads, repetitions)
        shape = {"rows": rows, "batches": [list(batch.input_ids.shape) for batch in batches]}
    speedups = {threads: round(found["student_int8"] / found["teacher_fp32"], 1) for threads, found in rates.items()}
    del teacher
    served = serving_cost(chosen.model, list(islice(cycle(texts), served_lines)))
    result = {
        "speedup_vs_large_fp32": speedups,
        "tokens_per_second": rates,
        "model_bytes": (chosen.model / "model.onnx").stat().st_size,
        "folder_bytes": sum(path.stat().st_size for path in chosen.model.iterdir()),
        "served": served,
        "served_lines_per_second": round(served["lines"] / served["seconds"], 1),
        **shape,
        "repetitions": repetitions,
        "machine": machine("torch"),
    }
    text = json.dumps(result)
    if chosen.out:
        chosen.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
