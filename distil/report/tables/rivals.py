"""The section of the rivals of a task: score, distance to the student, bytes, speed and memory side by side."""

from collections.abc import Sequence

from distil.evaluation.model_names import MODEL_TITLES
from distil.report.data import Report, language_name
from distil.report.format import NONE, Cell, Section, Table, between, bracket, p_text, points, signed, size, whole
from distil.report.inputs.scores import TaskScores
from distil.report.inputs.speed import ModelFootprint
from distil.report.rivals import less, own_row

_TEXT = (
    "Other ways to a small model, on the same test rows. Each was measured in turn with the teacher's encoder in "
    "float32; speed is texts a second in batches of short texts, times the teacher's."
)
FAIR = 0.01  # what dynamic 8 bits may take from a model before `weights` is the fairer form


def rival_sections(report: Report, task: str) -> list[Section]:
    """One section where there are rivals."""
    if not report.rivals:
        return []
    return [Section(f"rivals-{task}", f"Rivals on {task}", _TEXT, [rivals_table(report, task)], level=3)]


def rivals_table(report: Report, task: str) -> Table:
    """The student, its rivals, the teacher and TF-IDF."""
    compared = report.comparisons[task].model_dump()
    scores = {**report.scores[task], **report.rival_scores[task]}
    own = own_row({name: rival.model_dump() for name, rival in report.rivals.items()}) or "student"
    rows = []
    for name in ("student", *report.rivals, "teacher", "tfidf"):
        apart = less(compared, own, name)
        gap = Cell(signed(apart["difference"]), f"{bracket(apart['interval_95'], sign=True)} {p_text(apart['p'])}") \
            if apart else Cell(NONE)  # fmt: skip
        each = {code: scores[name].score(code) for code in report.languages}
        worst = min(each, key=each.__getitem__)
        rows.append([
            Cell(MODEL_TITLES.get(name, name)), Cell(points(sum(each.values()) / len(each)),
                                                     bracket(scores[name].mean.interval_95)),
            Cell(points(each[worst]), language_name(worst)), gap, *_costs(report, task, name),
            Cell(_by_seed(scores[name], report.languages)),
        ])  # fmt: skip
    columns = ["Model", "Score", "Worst language", f"{'Student' if own == 'student' else own} less it", "On disk",
               "Speed", "One short text", "Tokens/s", "Peak memory", "By seed"]  # fmt: skip
    return Table(f"rivals-{task}", "Rivals, points", columns, rows, note=_note(report, task))


def _costs(report: Report, task: str, name: str) -> list[Cell]:
    """Bytes, speed, latency, throughput and memory of a row; TF-IDF is not measured."""
    rival = report.rivals.get(name)
    measured = rival.footprint.models if rival else report.footprint.models
    found: ModelFootprint | None = measured.get(name)
    if found is None:
        return [Cell(NONE)] * 5
    disk = rival.tasks[task].bytes if rival else found.disk_bytes
    faster = found.short.texts_per_second / measured["teacher"].short.texts_per_second
    return [
        Cell(size(disk)), Cell(f"{faster:.1f}×"), Cell(f"{found.short.milliseconds:.2f} ms"),
        Cell(whole(found.short.tokens_per_second)),
        Cell(f"{whole(found.peak_memory_mib - found.empty_memory_mib)} MiB"),
    ]  # fmt: skip


def _by_seed(scores: TaskScores, languages: Sequence[str]) -> str:
    """Lowest to highest mean over languages of a seed."""
    each = [[scores.of(seed) or 0.0 for seed in scores.languages[code].seeds] for code in languages]
    means = [sum(seeds) / len(seeds) for seeds in zip(*each, strict=True)]
    return between(min(means), max(means)) if len(means) > 1 else NONE


def _note(report: Report, task: str) -> str:
    """How each rival was made, and what 8 bits cost it on dev rows."""
    said = []
    for name, rival in report.rivals.items():
        made = f"{name}: {rival.base}" + (f", first {rival.layers} layers" if rival.layers else "")
        made += f", {rival.vocabulary} vocabulary, {rival.form}"
        lost = [one.float32 - one.rival for one in rival.tasks[task].dev.values() if one.float32 is not None]
        if lost:
            mean = sum(lost) / len(lost)
            made += f", {signed(-mean)} points by 8 bits on dev rows"
            if mean > FAIR and rival.form == "dynamic":
                made += " (more than a point: form weights is the fairer rival)"
        said.append(made)
    teachers = "Student and teacher are in float32, their bytes, speed and memory those of the encoder in PyTorch."
    return "; ".join(said) + f". {teachers} Memory is what a process needs beyond Python and its packages."
