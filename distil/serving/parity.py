"""Compare the exported model with the original: same answers, size, speed and memory.

Compared with torch on the task's test rows, all of them; a masked language model on `speed_rows` texts a language.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distil.core.errors import UserError
from distil.evaluation.metrics import confusion_matrix, weighted_f1
from distil.runtime.machine import machine
from distil.serving.onnx_export import ExportConfig, ExportSource
from distil.serving.predictor import Predictor, Words, word_logits
from distil.serving.runtime import Runtime, each_row
from distil.serving.speed import batches_of, serving_cost, thread_counts, tokens_per_second
from distil.serving.torch_runtime import TorchRuntime
from distil.tasks.data import Task
from distil.tasks.tag_decoding import Decoder

log = logging.getLogger("distil")

SERVED_LINES = 10_000


def compare_exported(source: ExportSource, out: Path, task: Task, config: ExportConfig) -> dict[str, Any]:
    """Sizes of an exported model, and by language how far its answers are from the trained one's.

    Args:
        source: what was exported.
        out: models/onnx/NAME.
        task: its test rows; of a masked language model only their texts.
        config: section `export:`.

    Returns:
        An entry of `models` in metrics/export.json (docs/reference/output-files.md).

    Raises:
        UserError: a folder or the task is damaged.
    """
    whole, small = Predictor(out / "fp32"), Predictor(out / "int8")
    torch_runtime = TorchRuntime(source.folder, source.kind)
    languages = {code: _compare_language(source, code, task, config, (torch_runtime, whole, small))
                 for code in source.languages}  # fmt: skip
    for code, found in languages.items():
        log.info("export: %s: %s: %s", source.name, code, _in_words(found))
    sizes = {f"{precision}_bytes": (out / precision / "model.onnx").stat().st_size for precision in ("fp32", "int8")}
    return {
        **sizes,
        "int8_folder_bytes": sum(path.stat().st_size for path in (out / "int8").iterdir()),
        "max_abs_logit_diff_fp32": max(found["max_abs_logit_diff_fp32"] for found in languages.values()),
        "languages": languages,
    }


def _compare_language(
    source: ExportSource, code: str, task: Task, config: ExportConfig, models: tuple[Runtime, Predictor, Predictor]
) -> dict[str, Any]:
    torch_runtime, whole, small = models
    labels, sentences, gold = whole.card.labels, None, None
    if source.kind == "token_classification":
        tagged = task.token_rows(code, "test")
        sentences = whole.encode_words([row.tokens for row in tagged])
        rows = [row for sentence in sentences for row in sentence.rows]
        gold = np.array([labels.index(tag) for row in tagged for tag in row.tags])
    elif source.kind == "text_classification":
        texts = task.text_rows(code, "test")
        rows = whole.encode([row.text for row in texts])
        gold = np.array([labels.index(row.label) for row in texts])
    else:
        rows = whole.encode(task.texts(code, "test")[: config.speed_rows])
    outputs = len(labels) or whole.card.pieces
    largest, kept = 0.0, {}
    streams = [each_row(runtime, rows, whole.special.pad, outputs)
               for runtime in (torch_runtime, whole.runtime, small.runtime)]  # fmt: skip
    for (row, trained), (_, exported), (_, quantised) in zip(*streams, strict=True):
        largest = max(largest, float(np.abs(trained - exported).max()))
        # Of a tagger the scores, from which tags are decided; of the others, whose scores may be large, the answer.
        kept[row] = (trained, quantised) if sentences is not None else (trained.argmax(-1), quantised.argmax(-1))
    before, after = (
        _flat([kept[row][model] for row in range(len(rows))], sentences, Decoder(labels, whole.transitions))
        for model in (0, 1)
    )
    found = {"rows": len(rows), "max_abs_logit_diff_fp32": round(largest, 8),
             "same_answer_int8": round(float(np.mean(before == after)), 6)}  # fmt: skip
    if gold is None:
        return found
    trained_f1, quantised_f1 = (
        float(weighted_f1(confusion_matrix(gold, answers, outputs))) for answers in (before, after)
    )
    return {**found, "weighted_f1": round(trained_f1, 6), "weighted_f1_int8": round(quantised_f1, 6),
            "weighted_f1_drop_int8": round(trained_f1 - quantised_f1, 6)}  # fmt: skip


def _in_words(found: Mapping[str, Any]) -> str:
    """The figures of a language for the log."""
    text = f"{found['rows']} rows, int8 gives the same answer for {100 * found['same_answer_int8']:.1f} %"
    if "weighted_f1_int8" in found:
        text += f", F1 {100 * found['weighted_f1']:.1f} in fp32 and {100 * found['weighted_f1_int8']:.1f} in int8"
    return text


def _flat(rows: list[np.ndarray], sentences: list[Words] | None, decode: Decoder) -> np.ndarray:
    """One model's answers of all rows as one array: those in `rows`, or the tags decided from the logits in it."""
    if sentences is None:
        return np.concatenate([np.atleast_1d(row) for row in rows])
    first, found = 0, []
    for sentence in sentences:
        found.append(decode(*word_logits(sentence, rows[first : first + len(sentence.rows)], rows[0].shape[1])))
        first += len(sentence.rows)
    return np.concatenate(found)


def cost(source: ExportSource, out: Path, task: Task, teacher: Path, config: ExportConfig) -> dict[str, Any]:
    """Speed beside the teacher in torch, and memory and seconds of a process that serves 10,000 texts.

    Args:
        source: what was exported; a classifier or tagger.
        out: models/onnx/NAME.
        task: the texts of its test rows are served.
        teacher: models/teacher; a new head is put on it, which costs what a trained one does.
        config: section `export:`.
    """
    texts = [text for rows in zip(*(task.texts(code, "test") for code in source.languages), strict=False)
             for text in rows]  # fmt: skip
    if not texts:
        raise UserError(f"{task.folder}: no test rows; run `dvc repro --force tasks@{task.name}`")
    small = Predictor(out / "int8")
    batches = batches_of(small.encode(texts[: config.speed_rows]), small.special.pad)
    rates = {}
    for threads in thread_counts():
        models: dict[str, Runtime] = {
            "teacher_fp32": TorchRuntime(teacher, source.kind, new_head=True),
            "student_fp32": Predictor(out / "fp32", threads).runtime,
            "student_int8": Predictor(out / "int8", threads).runtime,
        }
        rates[str(threads)] = tokens_per_second(models, batches, threads, config.repetitions)
        log.info("export: %d thread%s: %s", threads, "s" if threads > 1 else "",
                 ", ".join(f"{name} {rate:,.0f} tokens/s" for name, rate in rates[str(threads)].items()))  # fmt: skip
    ratios = [round(found["student_int8"] / found["teacher_fp32"], 2) for found in rates.values()]
    served = serving_cost(out / "int8", (texts * -(-SERVED_LINES // len(texts)))[:SERVED_LINES])
    return {
        "speedup_vs_teacher_fp32": ratios[0],
        "speedup_vs_teacher_fp32_all_threads": ratios[-1],
        "tokens_per_second": rates,
        "serving_peak_mb": served["serving_mb"],
        "serving_imports_mb": served["imports_mb"],
        "serving_seconds": served["seconds"],
        "serving_lines": served["lines"],
        "threads": [int(count) for count in rates],
        "machine": machine("torch"),
    }


def summary(models: dict[str, dict[str, Any]], first: list[str], costs: dict[str, Any]) -> dict[str, Any]:
    """metrics/export.json: the figures of the first task's model before those of all.

    Args:
        models: name -> what `compare_exported` gave, in the order of the export.
        first: names of the first task's models: one, or one for each language.
        costs: what `cost` gave for the first of them.
    """
    shown = models[first[0]]
    return {
        "model": first[0],
        **{name: shown[name] for name in ("fp32_bytes", "int8_bytes", "int8_folder_bytes")},
        "max_abs_logit_diff_fp32": max(models[name]["max_abs_logit_diff_fp32"] for name in first),
        "weighted_f1_drop_int8": {code: found["weighted_f1_drop_int8"]
                                  for name in first for code, found in models[name]["languages"].items()},
        **costs,
        "models": models,
    }  # fmt: skip
