"""Tables of size, memory and speed: teacher, student and the exported student."""

from collections.abc import Sequence

from distil.report.data import Report
from distil.report.format import NONE, Cell, Table, language_cell, listed, percent, signed, size, whole
from distil.report.inputs.speed import Export, Footprint


def size_table(report: Report) -> Table:
    """Teacher and student, row by row."""
    teacher, student = report.summary.teacher, report.summary.student
    on_disk = [report.footprint.models[name].disk_bytes for name in ("teacher", "student")]
    figures: Sequence[tuple[str, float | None, float | None]] = (
        ("Parameters", teacher.parameters, student.parameters),
        ("of these, embedding table", teacher.embedding_parameters, student.embedding_parameters),
        ("of these, body", teacher.body_parameters, student.body_parameters),
        ("Layers", teacher.num_hidden_layers, student.num_hidden_layers),
        ("Hidden size", teacher.hidden_size, student.hidden_size),
        ("Attention heads", teacher.num_attention_heads, student.num_attention_heads),
        ("Vocabulary", teacher.vocabulary, student.vocabulary),
    )
    rows = [[Cell(name), Cell(whole(a)), Cell(whole(b)), Cell(_share(b, a))] for name, a, b in figures]
    rows.append([Cell("On disk"), *(Cell(size(each)) for each in on_disk), Cell(_share(on_disk[1], on_disk[0]))])
    revision = f"Revision of the teacher: {report.teacher.revision}." if report.teacher.revision else ""
    return Table("size", "Teacher and student", ["", "Teacher", "Student", "Share"], rows, note=revision)


def _share(part: float | None, whole_: float | None) -> str:
    return percent(part / whole_) if whole_ and part is not None else NONE


def footprint_table(footprint: Footprint) -> Table:
    """Memory and speed, measured in turn."""
    teacher, student = (footprint.models[name] for name in ("teacher", "student"))
    beyond = [each.peak_memory_mib - each.empty_memory_mib for each in (teacher, student)]
    rows = [
        [Cell("Peak memory of the process"),
         *(Cell(f"{whole(each.peak_memory_mib)} MiB") for each in (teacher, student)),
         Cell(_share(student.peak_memory_mib, teacher.peak_memory_mib))],
        [Cell("of this, beyond Python and its packages"), *(Cell(f"{whole(each)} MiB") for each in beyond),
         Cell(_share(beyond[1], beyond[0]))],
    ]  # fmt: skip
    for length in ("short", "long"):
        theirs, ours = getattr(teacher, length), getattr(student, length)
        said = f"{footprint.words[length]} words"
        pairs = (
            (f"One text of {said}", [f"{each.milliseconds:.2f} ms" for each in (theirs, ours)],
             theirs.milliseconds / ours.milliseconds),
            (f"{footprint.batch_size} texts of {said}", [f"{whole(each.tokens_per_second)} tokens/s"
             for each in (theirs, ours)], ours.texts_per_second / theirs.texts_per_second),
        )  # fmt: skip
        rows += [[Cell(name), *map(Cell, values), Cell(f"{ratio:.1f} times as fast")] for name, values, ratio in pairs]
    threads = f"{footprint.threads} thread" + ("s" if footprint.threads > 1 else "")
    note = (
        f"{footprint.machine}; {threads}, float32 in PyTorch, from text to one vector per token, tokenising included; "
        f"teacher and student in turn, medians of {footprint.rounds} rounds."
    )
    return Table("footprint", "Memory and speed", ["", "Teacher", "Student", "Ratio"], rows, note=note)


def export_tables(export: Export, languages: list[str]) -> list[Table]:
    """The exported student: size, speed, and what 8 bits cost."""
    figures = {
        "Size in float32": size(export.fp32_bytes),
        "Size in 8 bits": size(export.int8_bytes),
        "Speed of 8 bits over the teacher in float32": f"{export.speedup_vs_teacher_fp32:.1f} times, one thread",
        "Largest difference of logits in float32": f"{export.max_abs_logit_diff_fp32:.2g}",
        "Peak memory of a process that serves it": f"{export.serving_peak_mb:.0f} MB beyond its imports",
    }
    if export.speedup_vs_teacher_fp32_all_threads is not None:
        slowed = [name.replace("_", " ") for name in export.slowed_by_threads()]
        doubt = f" (doubtful: {listed(slowed)} slower on all threads than on one)" if slowed else ""
        figures["Speed on all threads"] = f"{export.speedup_vs_teacher_fp32_all_threads:.1f} times{doubt}"
    drops = [[language_cell(code), Cell(signed(-export.weighted_f1_drop_int8[code]))]
             for code in languages if code in export.weighted_f1_drop_int8]  # fmt: skip
    rows = [[Cell(name), Cell(value)] for name, value in figures.items()]
    return [
        Table("export", "Size, speed and memory as served", ["", "Value"], rows, texts=(1,)),
        Table("int8", "8 bits against float32, points", ["Language", "Change of the score"], drops),
    ]
