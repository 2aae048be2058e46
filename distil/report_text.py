"""What the figures say in plain sentences, and the report as Markdown for a terminal and for git."""

from typing import NamedTuple

from distil.report import Report, language_name
from distil.report_format import Cell, Table, listed, names, percent, points, short
from distil.report_tables import mean_retention, sections

FEW_SEEDS = 3


class Finding(NamedTuple):
    """A sentence that must not be overlooked; `kind` is synthetic, warning, good or note."""

    kind: str
    text: str


def title(report: Report) -> str:
    """What was distilled into what."""
    return f"{teacher_name(report)} distilled into {short(report.summary.student.parameters)} parameters"


def teacher_name(report: Report) -> str:
    """The teacher's id, or what it is when the pipeline trained it."""
    return "A small teacher trained here" if report.teacher.source == "train" else report.teacher.id


def origin(report: Report) -> str:
    """Revision and source of the teacher, text and languages."""
    teacher, student = report.teacher, report.summary.student
    revision = f", revision {teacher.revision[:12]}" if teacher.revision else ""
    return (
        f"Teacher: {teacher.id}{revision}. Student: {student.num_hidden_layers} layers of {student.hidden_size}, key "
        f"{report.summary.key[:12]}. Text: {report.corpus.origin}. Languages: {names(report.languages)}."
    )


def lede(report: Report) -> list[str]:
    """Size and, for each task, retention: a sentence each."""
    teacher, student = report.summary.teacher, report.summary.student
    lines = [
        f"The student has {percent(student.parameters / teacher.parameters)} of the teacher's "
        f"{short(teacher.parameters)} parameters: {short(student.embedding_parameters)} in the embedding table, "
        f"{short(student.body_parameters)} in the body."
    ]
    for task in report.tasks:
        kept = {code: ratio.value for code, ratio in report.retention[task].items() if ratio}
        mean = mean_retention(report, task)
        if not kept or mean is None:
            lines.append(f"On {task} the teacher scores 0, so retention has no meaning.")
            continue
        least, most = min(kept, key=kept.__getitem__), max(kept, key=kept.__getitem__)
        lines.append(
            f"On {task} it keeps {percent(mean)} of the teacher's weighted F1, the mean of {len(kept)} languages: from "
            f"{percent(kept[least])} ({language_name(least)}) to {percent(kept[most])} ({language_name(most)})."
        )
    return lines


def findings(report: Report) -> list[Finding]:
    """What a reader must know before any number: synthetic data, baselines that win, a weak teacher, few seeds."""
    found = []
    if report.synthetic:
        found.append(
            Finding(
                "synthetic",
                f"These numbers are of a synthetic sample ({listed(report.synthetic)}). They show that the pipeline "
                "works; they say nothing about how well any language is served.",
            )
        )
    for task in report.tasks:
        found += _against(report, task)
    if len(report.seeds) < FEW_SEEDS:
        count = "one seed" if len(report.seeds) == 1 else f"{len(report.seeds)} seeds"
        text = f"Scores rest on {count} of fine-tuning: the spread between seeds, often several points, is not in them."
        found.append(Finding("note", text))
    return found


def _against(report: Report, task: str) -> list[Finding]:
    """Student and teacher of one task against the baselines."""
    scores = report.scores[task]

    def not_above(model: str, baseline: str) -> list[str]:
        return [code for code in report.languages if scores[model].score(code) <= scores[baseline].score(code)]

    def beside(model: str, baseline: str, codes: list[str]) -> str:
        scored = [
            f"{language_name(code)} ({points(scores[model].score(code))} against "
            f"{points(scores[baseline].score(code))})"
            for code in codes
        ]
        return listed(scored)

    found = []
    worse = not_above("student", "tfidf")
    if worse:
        text = f"On {task} the student does not beat TF-IDF with a linear model in {beside('student', 'tfidf', worse)}."
        found.append(Finding("warning", text))
    else:
        gains = {code: scores["student"].score(code) - scores["tfidf"].score(code) for code in report.languages}
        least = min(gains, key=gains.__getitem__)
        text = f"On {task} the student beats TF-IDF with a linear model in every language, by at least "
        found.append(Finding("good", text + f"{100 * gains[least]:.1f} points ({language_name(least)})."))
    if lost := not_above("student", "majority"):
        text = f"On {task} the student is no better than always saying the most frequent label in {names(lost)}."
        found.append(Finding("warning", text))
    if weak := not_above("teacher", "tfidf"):
        text = f"On {task} the teacher itself is not above TF-IDF in {beside('teacher', 'tfidf', weak)}: "
        found.append(Finding("warning", text + "a weak teacher makes retention cheap."))
    above = [code for code, ratio in report.retention[task].items() if ratio and ratio.value > 1]
    if above:
        text = f"On {task} retention is above 100 % in {names(above)}: the student scores higher than its teacher "
        found.append(Finding("note", text + "there, a sign of a weakly fine-tuned teacher or of chance."))
    return found


def render_markdown(report: Report) -> str:
    """The whole report as Markdown."""
    lines = [f"# {escape(title(report))}", "", escape(origin(report)), ""]
    for finding in findings(report):
        mark = {"synthetic": "Synthetic data. ", "warning": "Warning. "}.get(finding.kind, "")
        lines += [f"> {f'**{mark.strip()}** ' if mark else ''}{escape(finding.text)}", ""]
    lines += [" ".join(escape(line) for line in lede(report)), ""]
    for section in sections(report):
        lines += ["#" * section.level + " " + escape(section.title), ""]
        lines += [escape(section.text), ""] if section.text else []
        for table in section.tables:
            lines += [*markdown_table(table), ""]
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(table: Table) -> list[str]:
    """Caption and rows, padded so that columns line up in a terminal."""
    grid = [[escape(column) for column in table.columns]]
    grid += [[_cell(cell) for cell in row] for row in table.rows]
    widths = [max(3, *(len(row[at]) for row in grid)) for at in range(len(table.columns))]
    left = [at < table.headers or at in table.texts for at in range(len(widths))]
    rule = [("-" * width if left[at] else "-" * (width - 1) + ":") for at, width in enumerate(widths)]
    padded = [
        [text.ljust(widths[at]) if left[at] else text.rjust(widths[at]) for at, text in enumerate(row)] for row in grid
    ]
    body = ["| " + " | ".join(row) + " |" for row in (padded[0], rule, *padded[1:])]
    note = ["", escape(table.note)] if table.note else []
    return [f"{escape(table.caption)}:", "", *body, *note]


def _cell(cell: Cell) -> str:
    if not cell.detail:
        return escape(cell.text)
    detail = cell.detail if cell.detail.startswith("[") else f"({cell.detail})"
    return f"{escape(cell.text)} {escape(detail)}"


def escape(text: str) -> str:
    """Text that Markdown shows as it is: no table, tag, link, code or emphasis begins in it."""
    entities = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + character if character in "\\|*`" else character for character in entities)
