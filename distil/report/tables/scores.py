"""Tables of a task: differences to other models, every score, labels, confusion, teacher and student row by row."""

from distil.evaluation.controls import CONTROLS, control_model
from distil.evaluation.counts import types_of_tags
from distil.evaluation.model_names import MODEL_TITLES
from distil.evaluation.predictions import split_tags
from distil.report.data import Report, ScoreSource
from distil.report.disagreement import Disagreement, Example
from distil.report.format import (
    NONE,
    Cell,
    Table,
    between,
    bracket,
    language_cell,
    p_text,
    percent,
    points,
    shorten,
    signed,
    whole,
)
from distil.report.inputs.scores import Difference, LanguageScore, Retention, TaskScores

METRICS = {"weighted_f1": "Weighted F1", "entity_f1": "Entity F1"}


def metric_name(report: ScoreSource, task: str) -> str:
    """What the task is judged by, in words."""
    return METRICS[report.scores[task]["student"].metric]


def baselines_of(report: ScoreSource, model: str) -> list[str]:
    """What a model's distances are taken to: the student's controls, the student without a teacher, then TF-IDF."""
    order = (*map(control_model, CONTROLS), "no_teacher", "tfidf")
    return [name for name in order if name in report.models and name != model]


def distance_table(report: ScoreSource, task: str) -> Table:
    """The student against its controls, without a teacher and TF-IDF, and as a share of the teacher."""
    compared, baselines = report.comparisons[task], baselines_of(report, "student")
    pairs = [pair for name in (*baselines, "student_plain") if (pair := compared.over("student", name))]
    kept = compared.retention["student"]
    rows = [
        [row_head(report, task, code), *(_apart(pair.languages[code]) for pair in pairs), _kept(kept.languages[code])]
        for code in report.languages
    ]
    last = [Cell(f"Mean of {len(report.languages)}"), *(_apart(pair.mean) for pair in pairs), _kept(kept.mean)]
    names = {"student_start": "vs. its start", "student_masked_lm": "vs. masked-LM training",
             "no_teacher": "vs. no teacher", "tfidf": "vs. TF-IDF",
             "student_plain": "vs. plain fine-tuning"}  # fmt: skip
    columns = ["Language", *(names[pair.baseline] for pair in pairs), "Share of the teacher"]
    caption = f"Student compared with other models, {metric_name(report, task)}, points"
    return Table(
        f"distances-{task}", caption, columns, [*rows, last], average=True,
    )  # fmt: skip


def row_head(report: ScoreSource, task: str, code: str) -> Cell:
    """The language; of one with few labels with their number."""
    own = report.scores[task]["student"].languages[code]
    labels = f", {whole(own.n_train)} labels" if own.n_train_hidden else ""
    return Cell(language_cell(code).text, f"{code}{labels}")


def _train_rows(own: LanguageScore) -> str:
    """2,171; of a language with few labels 30 of 2,171."""
    known = whole(own.n_train)
    return f"{known} of {whole((own.n_train or 0) + own.n_train_hidden)}" if own.n_train_hidden else known


def _apart(found: Difference) -> Cell:
    return Cell(signed(found.difference), f"{bracket(found.interval_95, sign=True)} {p_text(found.p)}")


def _kept(found: Retention | None) -> Cell:
    return Cell(percent(found.ratio), bracket(found.interval_95)) if found else Cell(NONE)


def score_table(report: ScoreSource, task: str) -> Table:
    """Every model's score by language, with its interval."""
    scores = report.scores[task]
    rows = []
    for code in report.languages:
        own = scores["student"].languages[code]
        cells = [_scored(scores[model], code) for model in scores]
        rows.append([row_head(report, task, code), *cells, Cell(whole(own.n)), Cell(_train_rows(own))])
    means = [Cell(points(mean_score(report, task, model)), bracket(scores[model].mean.interval_95)) for model in scores]
    last = [Cell(f"Mean of {len(report.languages)}"), *means, Cell(""), Cell("")]
    columns = ["Language", *(MODEL_TITLES[model] for model in scores), "Test rows", "Train rows"]
    caption = f"{metric_name(report, task)} by language, points"
    return Table(f"scores-{task}", caption, columns, [*rows, last], average=True)


def _scored(scores: TaskScores, code: str) -> Cell:
    return Cell(points(scores.score(code)), bracket(scores.languages[code].interval_95))


def mean_score(report: ScoreSource, task: str, model: str) -> float:
    """The plain mean over the languages of params.yaml."""
    return sum(report.scores[task][model].score(code) for code in report.languages) / len(report.languages)


def unseen_tables(report: Report, task: str) -> list[Table]:
    """Every model on the test rows that are not in train; none where all models' rows are unseen anyway."""
    scores = report.scores[task]
    rows, seen_any = [], False
    for code in report.languages:
        own = scores["student"].languages[code]
        if own.unseen is None:
            return []
        seen = own.n - own.unseen.n
        seen_any = seen_any or seen > 0
        found = [scores[model].languages[code].unseen for model in scores]
        cells = [
            Cell(points(scores[model].of(each)) if each else NONE) for model, each in zip(scores, found, strict=True)
        ]
        rows.append([language_cell(code), Cell(whole(seen), percent(seen / max(own.n, 1))), *cells])
    columns = ["Language", "Test rows also in train", *(MODEL_TITLES[model] for model in scores)]
    caption = f"{metric_name(report, task)} on the test rows that are not in train, points"
    return [Table(f"unseen-{task}", caption, columns, rows)] if seen_any else []


def detail_table(report: Report, task: str) -> Table:
    """All scores of every model by language, and the spread of its seeds."""
    rows = []
    for code in report.languages:
        for model, scores in report.scores[task].items():
            own = scores.languages[code]
            both = [Cell(points(own.entity_f1))] if scores.metric == "entity_f1" else []
            shares = (own.weighted_f1, own.macro_f1, own.accuracy)
            cells = [*both, *(Cell(points(share)) for share in shares)]
            rows.append([language_cell(code), Cell(MODEL_TITLES[model]), *cells,
                         Cell(_spread(scores, own)), Cell(str(len(own.seeds)))])  # fmt: skip
    entities = report.scores[task]["student"].metric == "entity_f1"
    over = " of tags" if entities else ""
    columns = ["Language", "Model", *(["Entity F1"] if entities else []), f"Weighted F1{over}", f"Macro F1{over}",
               f"Accuracy{over}", "By seed", "Seeds"]  # fmt: skip
    caption = "Every score, points; by seed: lowest to highest"
    return Table(f"detail-{task}", caption, columns, rows, headers=2, grouped=True)


def _spread(scores: TaskScores, own: LanguageScore) -> str:
    """Lowest to highest score over the seeds."""
    each = [value for seed in own.seeds if (value := scores.of(seed)) is not None]
    return between(min(each), max(each)) if len(each) > 1 else NONE


def label_table(report: Report, task: str) -> Table:
    """Precision, recall and F1 by language and label, or type of entity."""
    student, teacher = report.scores[task]["student"], report.scores[task]["teacher"]
    rows = []
    for code in report.languages:
        by_label = student.languages[code].per_label  # in a file whose keys are sorted
        for label in types_of_tags(student.labels) if student.metric == "entity_f1" else student.labels:
            score, other = by_label[label], teacher.languages[code].per_label.get(label)
            figures = (score.precision, score.recall, score.f1, other.f1 if other else None)
            rows.append([language_cell(code), Cell(label), *(Cell(points(f)) for f in figures), Cell(whole(score.n))])
    what = "Entity" if student.metric == "entity_f1" else "Label"
    columns = ["Language", what, "Precision", "Recall", "F1", "F1 of teacher", "Gold cases"]
    return Table(f"labels-{task}", f"The student by {what.lower()}, points", columns, rows, headers=2, grouped=True)


def confusion_table(report: Report, task: str, code: str) -> Table:
    """True labels against predicted labels of one language."""
    scores = report.scores[task]["student"]
    rows = []
    for label, counts in zip(scores.labels, scores.languages[code].confusion, strict=True):
        total = max(sum(counts), 1)
        cells = [Cell(whole(count), percent(count / total, 0), count / total) for count in counts]
        rows.append([Cell(label), *cells])
    return Table(f"confusion-{task}-{code}", language_cell(code).text, ["True", *scores.labels], rows)


def disagreement_table(report: Report, task: str) -> Table:
    """Test rows by who was right."""
    found = report.disagreements[task]
    rows = []
    for code in report.languages:
        each = found[code]
        counts = (each.both_right, each.teacher_only, each.student_only, each.both_wrong)
        shares = [Cell(whole(count), percent(count / max(each.rows, 1))) for count in counts]
        differ = Cell(percent(each.differ / max(each.rows, 1)))
        rows.append([language_cell(code), Cell(whole(each.rows)), *shares, differ])
    columns = ["Language", "Rows", "Both right", "Only teacher right", "Only student right", "Both wrong", "Differ"]
    seeds = sorted({found[code].seed for code in report.languages})
    return Table(f"agreement-{task}", f"Test rows of seed {', '.join(map(str, seeds))}", columns, rows)


def example_tables(report: Report, task: str) -> list[Table]:
    """A few rows per language: some that both have right, some on which teacher and student differ."""
    tagged = report.scores[task]["student"].kind == "token_classification"
    rows = [
        [language_cell(code), *_example_cells(example, code, tagged), Cell(right)]
        for code in report.languages
        for right, example in _examples(report.disagreements[task][code])
    ]
    columns = ["Language", "Text", "True", "Teacher", "Student", "Right"]
    caption = "Examples, up to five per language" + ("; tokens that are not O" if tagged else "")
    return [Table(f"examples-{task}", caption, columns, rows, texts=(1, 2, 3, 4, 5), grouped=True)] if rows else []


def _examples(found: Disagreement) -> list[tuple[str, Example]]:
    """Rows with the names of those that are right: both first, then the rows on which they differ."""
    differing = []
    for example in found.examples:
        right = [name for name in ("teacher", "student") if getattr(example, name) == example.gold]
        differing.append((right[0] if right else "neither", example))
    return [*(("both", example) for example in found.agreed), *differing]


def _example_cells(example: Example, code: str, tagged: bool) -> list[Cell]:
    said = [example.gold, example.teacher, example.student]
    if tagged:
        said = [_marked(example.text, tags) for tags in said]
    return [Cell(shorten(example.text), language=code), *(Cell(shorten(label)) for label in said)]


def _marked(text: str, tags: str) -> str:
    """The tagged tokens of a sentence: Ana/B-PER Huye/B-LOC."""
    pairs = zip(text.split(" "), split_tags(tags), strict=False)
    return " ".join(f"{token}/{tag}" for token, tag in pairs if tag != "O") or NONE
