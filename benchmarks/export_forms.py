"""What each megabyte of an exported text classifier buys: bytes, score and milliseconds of each form of its embeddings.

    python -m benchmarks.export_forms [--model models/finetuned/student/sentiment/seed-1] [--languages yor] [--out FILE]

Each form of `export.embeddings`, and the last of them trimmed to each of `--languages` (`distil shrink`). Score:
weighted F1 on the test rows, and its difference to tensor8 with the 95 % interval of the paired bootstrap; of a trimmed
form in its own language. Compressed: each file by gzip -9, as a web server sends it. Milliseconds: one text of 5 to 15
words from text to answer on one thread, forms in turn, medians. The last line is one JSON object.
"""

import argparse
import gzip
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np

from benchmarks.machine import add_sizes, by_size, finish
from distil.core.params import load_params
from distil.evaluation.comparison import compare_models
from distil.evaluation.counts import Predictions, metric_from_counts, per_row_counts
from distil.runtime.machine import machine
from distil.serving.model_info import read_card
from distil.serving.onnx_export import ExportConfig, ExportSource, export
from distil.serving.predictor import Predictor
from distil.serving.shrink import Request, shrink
from distil.serving.word_embeddings import EmbeddingForm
from distil.tasks.data import Task, read_task


def main() -> None:
    """Print one JSON object."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--model", type=Path, default=Path("models/finetuned/student/sentiment/seed-1"))
    options.add_argument("--task", type=Path, default=Path("data/tasks/sentiment"))
    options.add_argument("--text", type=Path, default=Path("data/raw"), help="folder with LANG.txt, for --languages")
    options.add_argument("--languages", nargs="*", default=[], help="trim to each of these")
    add_sizes(options)
    options.add_argument("--out", type=Path, help="also write the JSON object here")
    chosen = options.parse_args()
    rows, rounds, resamples = by_size(chosen, (20, 1, 100), (200, 3, 1_000), (10**9, 5, 10_000))
    card, task = read_card(chosen.model), read_task(chosen.task)
    source = ExportSource(task.name, chosen.model, card.kind, task.name, task.languages, card.max_length)
    with tempfile.TemporaryDirectory() as name:
        folders = make_forms(source, Path(name), chosen)
        texts = [text for code in task.languages for text in short_texts(task.texts(code, "test"))[:4]]
        opened = {form: Predictor(folder, 1) for form, folder in folders.items()}
        taken: dict[str, list[float]] = {form: [] for form in opened}
        for _ in range(rounds):
            for form, one in opened.items():
                taken[form] += [milliseconds(one, text) for text in texts]
        said = {form: answers(one, task, rows) for form, one in opened.items()}
        found = {form: {**sizes(folder), "milliseconds": round(median(taken[form]), 3),
                        "pieces": opened[form].card.pieces, **score(form, said, card.labels, resamples)}
                 for form, folder in folders.items()}  # fmt: skip
    result = {"forms": found, "texts": len(texts), "machine": machine("onnxruntime")}
    if chosen.out:
        chosen.out.write_text(json.dumps(result) + "\n", encoding="utf-8")
    finish(result)


def short_texts(texts: list[str]) -> list[str]:
    """Those of 5 to 15 words."""
    return [text for text in texts if 5 <= len(text.split()) <= 15]


def milliseconds(model: Predictor, text: str) -> float:
    """From a text to its answer."""
    start = time.perf_counter()
    model.predict([text])
    return 1000 * (time.perf_counter() - start)


def make_forms(source: ExportSource, root: Path, chosen: argparse.Namespace) -> dict[str, Path]:
    """The int8 folder of each form."""
    config, folders = load_params("export", ExportConfig), {}
    for form in get_args(EmbeddingForm):
        export(source, config.model_copy(update={"embeddings": form}), root / form)
        folders[form] = root / form / "int8"
    for code in chosen.languages:
        folders[f"{form} {code}"] = root / code
        shrink(Request(root / form / "int8", root / code, [code], chosen.text, False))
    return folders


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of the files that an application needs."""
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    packed = sum(len(gzip.compress(content, 9)) for content in files)
    return {"model_bytes": (folder / "model.onnx").stat().st_size, "folder_bytes": sum(map(len, files)),
            "compressed_bytes": packed}  # fmt: skip


def answers(model: Predictor, task: Task, rows: int) -> dict[str, Predictions]:
    """Gold and predicted labels of the test rows of each of the model's languages."""
    labels, found = model.card.labels, {}
    for code in model.card.languages:
        test = task.text_rows(code, "test")[:rows]
        # A text of which nothing is left gets no label; the first stands for it in every form alike.
        said = [labels.index(each.get("label", labels[0])) for each in model.predict([row.text for row in test])]
        gold = np.array([labels.index(row.label) for row in test])
        found[code] = Predictions(gold, {1: np.array(said)})
    return found


def score(form: str, said: dict[str, dict[str, Predictions]], labels: list[str], resamples: int) -> dict[str, Any]:
    """Weighted F1 of a form, mean over its languages, and its difference to tensor8 on the same rows."""
    kind, own = "text_classification", said[form]
    f1 = [
        metric_from_counts(per_row_counts(each, labels, "weighted_f1").sum(axis=0), "weighted_f1")
        for each in own.values()
    ]
    pairs = {code: {name: said[name][code] for name in dict.fromkeys([form, "tensor8"])} for code in own}
    differences = [entry["mean"] for entry in compare_models(form, kind, labels, pairs, resamples)["differences"]]
    return {"languages": list(own), "weighted_f1": round(float(np.mean(f1)), 6),
            "difference_to_tensor8": differences[0] if differences else None}  # fmt: skip


if __name__ == "__main__":
    main()
