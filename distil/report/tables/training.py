"""Tables of the training: held-out text, steps, cache, data, vocabulary, cost, parameters, versions."""

import json
from collections.abc import Iterable
from typing import Any

from distil.report.data import SPLITS, Report
from distil.report.format import NONE, Cell, Table, language_cell, percent, whole


def heldout_table(report: Report) -> Table:
    """KL, accuracies and likelihood on held-out text by language."""
    plain = report.without_teacher
    rows = []
    for code in report.languages:
        figures = report.summary.heldout[code]
        cells = [Cell(whole(figures.positions)), Cell(f"{figures.kl:.3f}"), Cell(percent(figures.student_accuracy))]
        cells += [Cell(percent(plain.heldout[code].student_accuracy)), Cell(percent(figures.teacher_accuracy))]
        cells += [Cell(f"{figures.student_nll:.3f}"), Cell(f"{plain.heldout[code].student_nll:.3f}")]
        attention = NONE if figures.attention is None else f"{figures.attention:.3g}"
        own = [Cell(percent(control.heldout[code].student_accuracy)) for control in report.controls.values()]
        rows.append([language_cell(code), *cells, Cell(attention), *own])
    columns = ["Language", "Masked positions", "KL (nats)", "Student accuracy", "Accuracy without a teacher",
               "Teacher accuracy", "Student NLL (nats)", "NLL without a teacher"]  # fmt: skip
    names = {"start": "Accuracy of its start", "masked_lm": "Accuracy of masked-LM training"}
    own_columns = [names[control] for control in report.controls]
    return Table("heldout", "The student on held-out text", [*columns, "Attention distance", *own_columns], rows)


def training_table(report: Report) -> Table:
    """Length of the training."""
    summary = report.summary
    figures = {
        "Steps": whole(summary.steps),
        "Best step": whole(summary.best_step),
        "Epochs": f"{summary.epochs:g}",
        "Tokens": whole(summary.tokens),
        "Stopped early": "yes" if summary.stopped_early else "no",
        "Key of this student": summary.key[:12],
    }
    return _figures("training", "Training", figures)


def cache_table(report: Report) -> Table:
    """What the cache of teacher outputs holds."""
    cache = report.summary.cache
    figures = {
        "Logits": cache.logits,
        "Entries per position": whole(cache.entries),
        "Masked positions": whole(cache.positions),
        "Tokens of text": whole(cache.tokens),
        "Bytes": whole(cache.bytes),
        "Bytes per token": f"{cache.bytes_per_token:.1f}",
    }
    return _figures("cache", "Teacher cache", figures)


def _figures(name: str, caption: str, figures: dict[str, str]) -> Table:
    return Table(name, caption, ["Figure", "Value"], [[Cell(key), Cell(value)] for key, value in figures.items()])


def corpus_table(report: Report) -> Table:
    """Lines read, kept and dropped."""
    languages = report.corpus.languages
    reasons = _reasons(languages[code].dropped for code in report.languages)
    rows = []
    for code in report.languages:
        figures = languages[code]
        counts = (figures.lines_read, figures.lines, *(figures.dropped.get(reason, 0) for reason in reasons))
        rows.append([language_cell(code), *(Cell(whole(count)) for count in counts), Cell(whole(figures.words)),
                     Cell(f"{figures.bytes / 1e6:.2f}")])  # fmt: skip
    columns = ["Language", "Lines read", "Kept", *map(_reason, reasons), "Words", "MB"]
    return Table("corpus", f"Text from {report.corpus.origin}", columns, rows)


def split_table(report: Report, task: str) -> Table:
    """Rows of each split and language, and rows that occur in two splits."""
    data = report.task_data[task]
    splits = [(code, split, getattr(data.languages[code], split)) for code in report.languages for split in SPLITS]
    reasons, twice = _reasons(part.dropped for _, _, part in splits), any(part.second_views for _, _, part in splits)
    rows = []
    for code, split, part in splits:
        overlap = data.languages[code].overlap
        first = [part.rows - part.second_views, *([part.second_views] if twice else [])]
        counts = (part.rows_read, *first, *(part.dropped.get(reason, 0) for reason in reasons))
        shared = (overlap.get(f"{split}_in_train"), overlap.get(f"{split}_in_dev"))
        rows.append([language_cell(code), Cell(split), *(Cell(whole(count)) for count in (*counts, *shared))])
    kept = ["Kept", "Again without marks"] if twice else ["Kept"]
    columns = ["Language", "Split", "Rows read", *kept, *map(_reason, reasons), "Also in train", "Also in dev"]
    title = f"Labelled rows of {task}, texts {data.read_as}"
    return Table(f"splits-{task}", title, columns, rows, headers=2, grouped=True)


def _reasons(dropped: Iterable[dict[str, int]]) -> list[str]:
    """Reasons for which at least one line or row was dropped."""
    return list(dict.fromkeys(reason for each in dropped for reason, count in each.items() if count))


def _reason(reason: str) -> str:
    return f"Dropped: {reason.replace('_', ' ')}"


def vocabulary_table(report: Report) -> Table:
    """Coverage and tokens per word by language, and what new pieces of the teacher's tokenizer changed."""
    tokenizer, added = report.tokenizer, report.teacher.new_pieces
    rows = []
    for code in report.languages:
        part = tokenizer.languages[code]
        row = [
            language_cell(code), Cell(whole(part.pieces_seen)), Cell(percent(part.coverage, 2)),
            Cell(f"{part.pieces_per_word_teacher:.2f}"), Cell(f"{part.pieces_per_word:.2f}"),
        ]  # fmt: skip
        if added:
            new = added[code]
            row += [Cell(whole(new.pieces)), Cell(f"{new.pieces_per_word_before:.2f}"),
                    Cell(f"{new.pieces_per_word_after:.2f}")]  # fmt: skip
        rows.append(row)
    columns = ["Language", "Pieces seen", "Tokens covered", "Tokens per word, teacher", "Tokens per word, student"]
    if added:
        columns += ["New pieces", "Tokens per word, held out, before them", "with them"]
    kept = f"{whole(tokenizer.pieces)} of {whole(tokenizer.teacher_pieces)} pieces kept"
    return Table("vocabulary", f"{kept} (keep: {tokenizer.keep})", columns, rows)


def cost_table(report: Report) -> Table:
    """Seconds, memory and rates of each stage; the GPU's memory where one was used."""
    costs = report.costs.values()
    on_gpu = any(cost.peak_gpu_memory_mib is not None for cost in costs)
    rows = [
        [Cell(stage), Cell(f"{cost.seconds:,.1f}"), Cell(whole(cost.peak_memory_mib)),
         *[Cell(whole(cost.peak_gpu_memory_mib))] * on_gpu,
         Cell(whole(cost.tokens_per_second)), Cell(whole(cost.rows_per_second)), Cell(percent(cost.data_wait_share))]
        for stage, cost in report.costs.items()
    ]  # fmt: skip
    peak = max(cost.peak_memory_mib for cost in costs)
    gpu_peak = max((cost.peak_gpu_memory_mib or 0 for cost in costs), default=0)
    rows.append([Cell("All stages", "sum, peak"), Cell(f"{sum(cost.seconds for cost in costs):,.1f}"),
                 Cell(whole(peak)), *[Cell(whole(gpu_peak))] * on_gpu, *[Cell("")] * 3])  # fmt: skip
    columns = ["Stage", "Seconds", "Peak memory (MiB)", *["Peak GPU memory (MiB)"] * on_gpu, "Tokens/s", "Rows/s",
               "Waiting for data"]  # fmt: skip
    machines = list(dict.fromkeys(cost.machine for cost in costs if cost.machine))
    return Table("cost", "What each stage took", columns, rows, average=True, note="; ".join(machines))


def params_table(report: Report) -> Table:
    """params.yaml, one row per dotted key."""
    rows = [[Cell(key), Cell(value)] for key, value in _flat(report.params).items()]
    return Table("parameters", "params.yaml", ["Key", "Value"], rows, texts=(1,))


def versions_table(report: Report) -> Table:
    """Installed packages."""
    rows = [[Cell(name), Cell(number)] for name, number in report.versions.items()]
    return Table("versions", "Installed packages", ["Package", "Version"], rows, texts=(1,))


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """{"loss.alpha": "0.5", ...} of nested sections; lists in one line as JSON."""
    if not isinstance(value, dict):
        return {prefix: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}
    parts = [_flat(inner, f"{prefix}.{name}" if prefix else str(name)) for name, inner in value.items()]
    return {name: text for part in parts for name, text in part.items()}
