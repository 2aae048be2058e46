"""The pictures of the report: which figures each shows, and what it says to people who do not see it."""

from collections.abc import Mapping
from typing import NamedTuple

from markupsafe import Markup

from distil.evaluation.model_names import FINE_TUNED
from distil.report.charts.kinds import (
    DotRow,
    Mark,
    ScatterPoint,
    Series,
    dot_chart,
    line_chart,
    scatter_chart,
    size_chart,
)
from distil.report.charts.svg import STYLES
from distil.report.data import Curve, Report, language_name
from distil.report.findings import OVER
from distil.report.format import percent, points, short
from distil.report.inputs.scores import Difference, Retention
from distil.report.summary import difference_text, kept_text
from distil.report.tables.scores import baselines_of, mean_score, metric_name

# Loss terms of train.csv with their units; one that is not here is shown under its own name.
_TERMS = {
    "logit_kd": ("Training loss: distributions (logit_kd)", "nats"),
    "attention": ("Training loss: attention", "distance of attention rows"),
    "masked_lm": ("Training loss: masked LM", "nats"),
    "grad_norm": ("Norm of the gradient, before clipping", "norm"),
}
# Models in the charts by language.
_SHOWN = ("student", "student_start", "student_masked_lm", "no_teacher", "teacher", "tfidf")
_OVER = {"tfidf": "over TF-IDF", "no_teacher": "over no teacher", "student_start": "over its start",
         "student_masked_lm": "over masked-LM training"}  # fmt: skip
_NO_TERMS = ("step", "epoch", "tokens", "learning_rate", "loss", "skipped")


class Chart(NamedTuple):
    """A picture with its caption; `svg` is markup made here, its labels already escaped."""

    caption: str
    detail: str
    svg: Markup


def first_charts(report: Report) -> list[Chart]:
    """The charts that come first: differences, retention and score against size of each task, then parameters."""
    charts = [
        draw(report, task) for task in report.tasks for draw in (_difference_chart, _retention_chart, _pareto_chart)
    ]
    return [chart for chart in (*charts, _size_chart(report)) if chart]


def section_charts(name: str, report: Report) -> list[Chart]:
    """The charts of a section; none for most."""
    figures: list[Chart | None] = []
    if name.startswith("task-"):
        figures.append(_score_chart(report, name.removeprefix("task-")))
    if name == "training":
        terms = [column for column in report.train if "." not in column and column not in _NO_TERMS]
        for term in terms:
            caption, unit = _TERMS.get(term, (f"Training loss: {term.replace('_', ' ')}", "loss"))
            figures.append(_curve_chart(report, report.train, term, caption, unit))
    if name == "heldout":
        figures.append(_curve_chart(report, report.heldout, "kl", "Held-out KL to the teacher", "nats"))
        figures.append(_curve_chart(report, report.heldout, "accuracy", "Held-out masked accuracy", "%", 100))
    return [figure for figure in figures if figure]


def _chart(caption: str, detail: str, svg: str) -> Chart:
    return Chart(caption, detail, Markup(svg))  # noqa: S704 (charts.py escapes every label)


def _difference_chart(report: Report, task: str) -> Chart:
    """The student against its controls, the same student without a teacher and TF-IDF."""
    pairs = {
        name: pair for name in baselines_of(report, "student")
        if (pair := report.comparisons[task].over("student", name))
    }  # fmt: skip
    rows = [
        DotRow(language_name(code), {name: _difference(pair.languages[code]) for name, pair in pairs.items()})
        for code in report.languages
    ]
    rows.append(DotRow("Mean", {name: _difference(pair.mean) for name, pair in pairs.items()}, total=True))
    said = [
        f"Over {OVER[name]}: " + "; ".join(difference_text(code, pair.languages[code]) for code in report.languages)
        for name, pair in pairs.items()
    ]
    names = {name: _OVER[name] for name in pairs}
    title = f"Student compared with other models on {task}"
    chart = dot_chart(f"over-{task}", title, ". ".join(said) + ".", rows, (0, "no difference"), names)
    return _chart(f"What the student gains on {task}", f"{metric_name(report, task)}, points, 95 % intervals", chart)


def _difference(found: Difference) -> Mark:
    return Mark(100 * found.difference, (100 * found.interval_95[0], 100 * found.interval_95[1]))


def _retention_chart(report: Report, task: str) -> Chart | None:
    kept = report.comparisons[task].retention
    known = {code: ratio for code in report.languages if (ratio := kept["student"].languages[code])}
    if not known:
        return None
    rows = [
        DotRow(language_name(code), _shares({name: kept[name].languages[code] for name in kept}), percent(ratio.ratio))
        for code, ratio in known.items()
    ]
    if mean := kept["student"].mean:
        marks = _shares({name: kept[name].mean for name in kept})
        rows.append(DotRow("Mean", marks, percent(mean.ratio), total=True))
    said = "; ".join(kept_text(code, ratio) for code, ratio in known.items())
    chart = dot_chart(
        f"kept-{task}", f"Share of the teacher's score kept on {task}", said + ".", rows, (100, "teacher")
    )
    detail = f"{metric_name(report, task)} as a share of the teacher's, %"
    return _chart(f"Share of the teacher's score kept on {task}", detail, chart)


def _shares(kept: Mapping[str, Retention | None]) -> dict[str, Mark]:
    """The student with its interval, others as dots."""
    marks = {}
    for name in _SHOWN:
        ratio = kept.get(name)
        if ratio:
            ends = (100 * ratio.interval_95[0], 100 * ratio.interval_95[1]) if name == "student" else None
            marks[name] = Mark(100 * ratio.ratio, ends)
    return marks


def _score_chart(report: Report, task: str) -> Chart:
    scores = report.scores[task]
    rows, said = [], []
    models = [model for model in _SHOWN if model in report.models]
    for code in report.languages:
        low, high = scores["student"].languages[code].interval_95
        marks = {model: Mark(100 * scores[model].score(code)) for model in models}
        marks["student"] = Mark(100 * scores["student"].score(code), (100 * low, 100 * high))
        rows.append(DotRow(language_name(code), marks, points(scores["student"].score(code))))
        each = ", ".join(f"{STYLES[model].name} {mark.value:.1f}" for model, mark in marks.items())
        said.append(f"{language_name(code)}: {each}")
    chart = dot_chart(f"dots-{task}", f"Scores on {task}", "; ".join(said) + ".", rows)
    return _chart(f"{metric_name(report, task)}, points", "The number at the right is the student's.", chart)


def _pareto_chart(report: Report, task: str) -> Chart:
    """Every model's mean score against its size on disk; TF-IDF, whose size is not measured, as a line."""
    export, scores = report.export, report.scores[task]
    small = export.fp32_bytes / 1e6
    sizes = {"teacher": report.footprint.models["teacher"].disk_bytes / 1e6}
    sizes |= {model: small for model in FINE_TUNED if model in report.models and model != "teacher"}
    points = []
    for model, megabytes in sizes.items():
        low, high = scores[model].mean.interval_95
        interval = (100 * low, 100 * high) if model in ("teacher", "student") else None  # others would hide them
        mark = Mark(100 * mean_score(report, task, model), interval)
        points.append(ScatterPoint(model, megabytes, mark))
    for model, rival in report.rivals.items():
        score = sum(report.rival_scores[task][model].score(code) for code in report.languages) / len(report.languages)
        points.append(ScatterPoint("rival", rival.tasks[task].bytes / 1e6, Mark(100 * score), model))
    drops = export.drops(task, report.languages)
    if len(drops) == len(report.languages) and scores["student"].metric == "weighted_f1":
        score = mean_score(report, task, "student") - sum(drops.values()) / len(drops)
        points.append(ScatterPoint("student_int8", export.int8_bytes / 1e6, Mark(100 * score)))
    tfidf = 100 * mean_score(report, task, "tfidf")
    said = "; ".join(
        f"{f'{STYLES[point.series].name} {point.label}'.rstrip()} {point.mark.value:.1f} at {point.x:,.1f} MB"
        for point in points
    )
    metric = metric_name(report, task)
    chart = scatter_chart(
        f"pareto-{task}", f"Score against size on {task}", f"{said}; TF-IDF {tfidf:.1f}, size not measured.", points,
        {"TF-IDF (size not measured)": tfidf}, "MB on disk, log scale", "points",
    )  # fmt: skip
    return _chart(f"Score against size on {task}", f"{metric}, mean of the languages; up and left is better", chart)


def _size_chart(report: Report) -> Chart:
    teacher, student = report.summary.teacher, report.summary.student
    sizes = [
        (name, model.embedding_parameters, model.body_parameters, f"{short(model.parameters)}{share}")
        for name, model, share in (
            ("Teacher", teacher, ""),
            ("Student", student, f"  ({percent(student.parameters / teacher.parameters)})"),
        )
    ]
    said = " ".join(
        f"{name}: {short(embedding)} in the embedding table, {short(body)} in the body."
        for name, embedding, body, _ in sizes
    )
    detail = f"{teacher.parameters / student.parameters:.1f} times smaller"
    return _chart("Parameters", detail, size_chart("sizes", "Parameters of teacher and student", said, sizes))


def _curve_chart(report: Report, curve: Curve, term: str, caption: str, unit: str, scale: float = 1) -> Chart | None:
    """A curve for each language and, where there is one, for all together; nothing when the term was not measured."""
    columns = {"all": term} | {language_name(code): f"{code}.{term}" for code in report.languages}
    series: Series = {
        label: [
            (x, scale * y) for x, y in zip(curve["step"], curve[column], strict=True) if x is not None and y is not None
        ]
        for label, column in columns.items()
        if column in curve
    }
    series = {label: values for label, values in series.items() if values}
    if not series:
        return None
    ends = ", ".join(f"{label} from {values[0][1]:.3g} to {values[-1][1]:.3g}" for label, values in series.items())
    chart = line_chart(f"curve-{term}", caption, f"By optimiser step: {ends}.", series, "optimiser step", unit)
    return _chart(caption, "", chart)
