"""The report in a few lines: title, provenance, key figures, and the numbers of metrics/headline.json."""

from collections.abc import Mapping
from typing import NamedTuple

from distil.evaluation.controls import control_of
from distil.report.data import Report, language_name
from distil.report.format import bracket, names, percent, short, signed, size, times
from distil.report.inputs.scores import Difference, Retention
from distil.report.notices.few_labels import few_labels_headline
from distil.report.tables.scores import baselines_of, mean_score, metric_name

GAINS = {
    "student_start": "Gain over its own start",
    "student_masked_lm": "Gain over masked-LM training",
    "no_teacher": "Gain over no teacher",
    "tfidf": "Gain over TF-IDF",
}


class KeyFigure(NamedTuple):
    """A number to begin with: what it is, its value, and what it rests on."""

    label: str
    value: str
    detail: str


def title(report: Report) -> str:
    """What was distilled into what."""
    return f"{teacher_name(report)} distilled into {short(report.summary.student.parameters)} parameters"


def teacher_name(report: Report) -> str:
    """The teacher's id, or what it is when the pipeline trained it."""
    return "A small teacher trained here" if report.teacher.source == "train" else report.teacher.id


def provenance(report: Report) -> str:
    """Revision and source of the teacher, text and languages."""
    teacher, student = report.teacher, report.summary.student
    revision = f", revision {teacher.revision[:12]}" if teacher.revision else ""
    return (
        f"Teacher: {teacher.id}{revision}. Student: {student.num_hidden_layers} layers of {student.hidden_size}, key "
        f"{report.summary.key[:12]}. Text: {report.corpus.origin}. Languages: {names(report.languages)}."
    )


def cost_key_figures(report: Report) -> list[KeyFigure]:
    """How small and how fast the student is as it is served."""
    teacher, student, export = report.summary.teacher, report.summary.student, report.export
    theirs, ours = (report.footprint.models[name] for name in ("teacher", "student"))
    folder = f"{size(export.int8_folder_bytes)} with its tokenizer; " if export.int8_folder_bytes else ""
    return [
        KeyFigure("Size in 8 bits", size(export.int8_bytes),
                  f"{folder}{size(export.fp32_bytes)} in float32; the teacher {size(theirs.disk_bytes)}"),
        KeyFigure("Speed in 8 bits", times(export.speedup_vs_teacher_fp32),
                  f"the teacher's tokens/s, one thread; in float32 a text of {report.footprint.words['short']} words "
                  f"takes {ours.short.milliseconds:.1f} ms, the teacher {theirs.short.milliseconds:.1f} ms"),
        KeyFigure("Parameters", short(student.parameters),
                  f"{percent(student.parameters / teacher.parameters)} of the teacher's {short(teacher.parameters)}"),
    ]  # fmt: skip


def task_key_figures(report: Report, task: str) -> list[KeyFigure]:
    """The distances that count, each the mean over the languages with the languages of least and most."""
    found = []
    for baseline in baselines_of(report, "student"):
        if pair := report.comparisons[task].over("student", baseline):
            each = {code: pair.languages[code].difference for code in report.languages}
            ends = _range({code: signed(gain) for code, gain in each.items()}, each)
            detail = f"{bracket(pair.mean.interval_95, sign=True)}; {ends}"
            found.append(KeyFigure(GAINS[baseline], f"{signed(pair.mean.difference)} points", detail))
    kept = report.comparisons[task].retention["student"]
    ratios = {code: ratio.ratio for code in report.languages if (ratio := kept.languages[code])}
    if kept.mean and ratios:
        ends = _range({code: percent(ratio) for code, ratio in ratios.items()}, ratios)
        detail = f"{bracket(kept.mean.interval_95)}; {ends}"
        found.append(KeyFigure("Share of the teacher", percent(kept.mean.ratio), detail))
    return found


def task_line(report: Report, task: str) -> str:
    """What the figures of a task are means of."""
    languages = f"mean of {len(report.languages)} languages" if len(report.languages) > 1 else names(report.languages)
    return f"{metric_name(report, task)} on {task}, {languages}"


def _range(texts: Mapping[str, str], values: Mapping[str, float]) -> str:
    """Hausa +1.2 to Igbo +3.4."""
    ends = dict.fromkeys(extremes(values))
    return " to ".join(f"{language_name(code)} {texts[code]}" for code in ends)


def extremes(values: Mapping[str, float]) -> tuple[str, str]:
    """The languages of the least and of the greatest value."""
    return min(values, key=values.__getitem__), max(values, key=values.__getitem__)


def summary_lines(report: Report) -> list[str]:
    """Size, speed and, for each task, the distances: a sentence each."""
    lines = [f"{figure.label}: {figure.value} ({figure.detail})." for figure in cost_key_figures(report)]
    for task in report.tasks:
        said = [f"{figure.label.lower()} {figure.value} ({figure.detail})" for figure in task_key_figures(report, task)]
        lines.append(f"{task_line(report, task)}: {'; '.join(said)}.")
        if report.comparisons[task].retention["student"].mean is None:
            lines.append(f"On {task} the teacher scores 0, so a share of it has no meaning.")
    return lines


def difference_text(code: str, found: Difference) -> str:
    """Hausa +1.2, [-0.3, +2.1]: for people who do not see the picture."""
    return f"{language_name(code)} {signed(found.difference)}, {bracket(found.interval_95, sign=True)}"


def kept_text(code: str, found: Retention) -> str:
    """Hausa 98.1 %, [97.0, 99.2]."""
    return f"{language_name(code)} {percent(found.ratio)}, {bracket(found.interval_95)}"


def headline(report: Report) -> dict[str, dict[str, float]]:
    """metrics/headline.json: the columns of `dvc exp show` and the rows of `dvc metrics diff`."""
    heldout = [report.summary.heldout[code].kl for code in report.languages]
    found = {
        "size": {"million_parameters": round(report.summary.student.parameters / 1e6, 3)},
        "heldout": {"kl": round(sum(heldout) / len(heldout), 4)},
    }
    for task in report.tasks:
        compared = report.comparisons[task]
        each = {"student": round(100 * mean_score(report, task, "student"), 2)}
        for baseline in baselines_of(report, "student"):
            if pair := compared.over("student", baseline):
                control = control_of(baseline)
                name, (low, high) = f"over_{control or baseline}", pair.mean.interval_95
                figures = {name: pair.mean.difference} | ({f"{name}_low": low, f"{name}_high": high} if control else {})
                each |= {key: round(100 * value, 2) + 0.0 for key, value in figures.items()}  # never -0.0
        kept = compared.retention["student"]
        if kept.mean:
            each["of_teacher"] = round(100 * kept.mean.ratio, 2)
            each["of_teacher_lowest"] = round(100 * min(r.ratio for r in kept.languages.values() if r), 2)
        if "teachers" in report.scores[task] and (together := mean_score(report, task, "teachers")):
            each["of_teachers"] = round(100 * mean_score(report, task, "student") / together, 2)
        found[task] = each | few_labels_headline(report, task)
    return found
