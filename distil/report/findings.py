"""What the figures say in plain sentences and in a few numbers to begin with."""

from collections.abc import Mapping
from typing import NamedTuple

from distil.report.data import Report, language_name
from distil.report.data_notices import Notice, data_notices
from distil.report.format import bracket, listed, names, percent, points, short, signed, size, times
from distil.report.inputs import Difference, Retention
from distil.report.tables_scores import baselines_of, mean_score, metric_name

FEW_SEEDS = 3
OVER = {"no_teacher": "the same student without a teacher", "tfidf": "TF-IDF with a linear model"}


GAINS = {"no_teacher": "Gain over no teacher", "tfidf": "Gain over TF-IDF"}


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
    """How small and how fast."""
    teacher, student = report.summary.teacher, report.summary.student
    theirs, ours = (report.footprint.models[name] for name in ("teacher", "student"))
    threads = f"{report.footprint.threads} thread" + ("s" if report.footprint.threads > 1 else "")
    return [
        KeyFigure("Parameters", short(student.parameters),
               f"{percent(student.parameters / teacher.parameters)} of the teacher's {short(teacher.parameters)}; "
               f"{size(ours.disk_bytes)} on disk, the teacher {size(theirs.disk_bytes)}"),
        KeyFigure("Speed-up", times(theirs.short.milliseconds / ours.short.milliseconds),
               f"{ours.short.milliseconds:.1f} ms for a text of {report.footprint.words['short']} words, the teacher "
               f"{theirs.short.milliseconds:.1f} ms; {threads}"),
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


def notices(report: Report) -> list[Notice]:
    """What a reader must know before any number: synthetic or doubtful data, baselines that win, a weak teacher, ..."""
    found = []
    if report.synthetic:
        found.append(
            Notice(
                "synthetic",
                f"These numbers are of a synthetic sample ({listed(report.synthetic)}). They show that the pipeline "
                "works; they say nothing about how well any language is served.",
            )
        )
    for task in report.tasks:
        found += data_notices(task, report.task_data[task], report.languages)
        for baseline in baselines_of(report, "student"):
            found += _student_over(report, task, baseline)
        found += _weak(report, task)
    if len(report.seeds) < FEW_SEEDS:
        count = "one seed" if len(report.seeds) == 1 else f"{len(report.seeds)} seeds"
        text = f"Scores rest on {count} of fine-tuning: the spread between seeds, often several points, is not in them."
        found.append(Notice("note", text))
    return found


def _student_over(report: Report, task: str, baseline: str) -> list[Notice]:
    """Where the student is below, not surely above, or surely above a baseline."""
    pair = report.comparisons[task].over("student", baseline)
    if pair is None:
        return []
    each = {code: pair.languages[code] for code in report.languages}
    below = [code for code in each if each[code].difference <= 0]
    unsure = [code for code in each if each[code].difference > 0 and each[code].interval_95[0] <= 0]
    other = OVER[baseline]
    if below:
        text = f"On {task} the student does not beat {other} in {_beside(report, task, baseline, below)}."
        return [Notice("warning", text)]
    least = min(each, key=lambda code: each[code].difference)
    by = f"by at least {100 * each[least].difference:.1f} points ({language_name(least)})"
    if unsure:
        text = f"On {task} the student is above {other} in every language, {by}; in {names(unsure)} that may be chance."
        return [Notice("note", text)]
    return [Notice("good", f"On {task} the student beats {other} in every language, {by}.")]


def _beside(report: Report, task: str, baseline: str, codes: list[str], model: str = "student") -> str:
    scores = report.scores[task]
    return listed([
        f"{language_name(code)} ({points(scores[model].score(code))} against {points(scores[baseline].score(code))})"
        for code in codes
    ])  # fmt: skip


def _weak(report: Report, task: str) -> list[Notice]:
    """A student at the level of the majority, a teacher below TF-IDF, a student above its teacher."""
    scores, found = report.scores[task], []

    def not_above(model: str, baseline: str) -> list[str]:
        return [code for code in report.languages if scores[model].score(code) <= scores[baseline].score(code)]

    if lost := not_above("student", "majority"):
        text = f"On {task} the student is no better than always saying the most frequent label in {names(lost)}."
        found.append(Notice("warning", text))
    if weak := not_above("teacher", "tfidf"):
        beside = _beside(report, task, "tfidf", weak, "teacher")
        text = f"On {task} the teacher itself is not above TF-IDF in {beside}: a weak teacher makes retention cheap."
        found.append(Notice("warning", text))
    kept = report.comparisons[task].retention["student"].languages
    if above := [code for code in report.languages if (ratio := kept[code]) and ratio.ratio > 1]:
        text = f"On {task} the student scores higher than its teacher in {names(above)}, "
        found.append(Notice("note", text + "a sign of a weakly fine-tuned teacher or of chance."))
    return found


def difference_text(code: str, found: Difference) -> str:
    """Hausa +1.2, [-0.3, +2.1]: for people who do not see the picture."""
    return f"{language_name(code)} {signed(found.difference)}, {bracket(found.interval_95, sign=True)}"


def kept_text(code: str, found: Retention) -> str:
    """Hausa 98.1 %, [97.0, 99.2]."""
    return f"{language_name(code)} {percent(found.ratio)}, {bracket(found.interval_95)}"


def headline(report: Report) -> dict[str, dict[str, float]]:
    """The columns of `dvc exp show` and the rows of `dvc metrics diff`: metrics/headline.json, see docs/design.md."""
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
                each[f"over_{baseline}"] = round(100 * pair.mean.difference, 2)
        kept = compared.retention["student"]
        if kept.mean:
            each["of_teacher"] = round(100 * kept.mean.ratio, 2)
            each["of_teacher_lowest"] = round(100 * min(r.ratio for r in kept.languages.values() if r), 2)
        found[task] = each
    return found
