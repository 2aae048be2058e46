"""The tables of the report, each built once and shown twice: by report_text.py and by report_html.py.

Scores are shown in points (0 to 100). An average always stands below the languages that it is the average of.
"""

from collections.abc import Iterable, Sequence

from distil.predictions import Example
from distil.report import SPLITS, Report, flat, language_name
from distil.report_files import LanguageScore
from distil.report_format import (
    NONE,
    Cell,
    Section,
    Table,
    between,
    percent,
    points,
    shorten,
    signed,
    whole,
)

MODEL_NAMES = {"majority": "Majority", "tfidf": "TF-IDF", "teacher": "Teacher", "student": "Student"}


def sections(report: Report) -> list[Section]:
    """Every table of the report, in order."""
    parts = [Section("size", "Size", _SIZE_TEXT, [size_table(report)])]
    for task in report.tasks:
        parts += task_sections(report, task)
    return [
        *parts,
        Section("heldout", "Held-out text", _HELDOUT_TEXT, [heldout_table(report)]),
        Section(
            "training", "Training and teacher cache", "", [training_table(report), cache_table(report)], small=True
        ),
        Section("data", "Data", _DATA_TEXT, [corpus_table(report), *(split_table(report, t) for t in report.tasks)]),
        Section("vocabulary", "Vocabulary", _VOCABULARY_TEXT, [vocabulary_table(report)]),
        Section("cost", "Cost by stage", _COST_TEXT, [cost_table(report)]),
        Section("parameters", "Parameters", "Every value of params.yaml behind these figures.", [params_table(report)]),
    ]


_SIZE_TEXT = "The embedding table holds one vector for each piece of the vocabulary; the body does the computing."
_HELDOUT_TEXT = (
    "The student against its teacher on masked text that was kept out of training. KL is teacher to student at "
    "temperature 1, in nats a masked position; accuracy is the share of masked pieces guessed right."
)
_DATA_TEXT = (
    "Text that occurs in a development or test set is taken out of the corpus. Lines and rows that were dropped are "
    "counted by reason; every line read was either kept or dropped."
)
_VOCABULARY_TEXT = "How many of the teacher's pieces are kept, and what that does to each language's text."
_COST_TEXT = "Each stage as it was last run. Memory is the largest resident size of its process."


def task_sections(report: Report, task: str) -> list[Section]:
    """Scores, labels, confusion and disagreement of one task."""
    apart = report.scores[task]["student"].languages_mode == "separate"
    together = "one model for each language" if apart else "one model for all languages"
    seeds = f"{len(report.seeds)} seeds" if len(report.seeds) > 1 else "1 seed"
    text = (
        f"Teacher and student fine-tuned alike, {together}; weighted F1 on the test set, in points, as the mean "
        f"over {seeds}. Brackets hold 95 % intervals. Retention is student / teacher; its interval comes from "
        "drawing the same test rows for both, its average is the ratio of the averages."
    )
    return [
        Section(f"task-{task}", f"Task: {task}", text, [score_table(report, task)]),
        Section(f"labels-{task}", f"Labels of {task}", "", [label_table(report, task)], level=3),
        Section(
            f"confusion-{task}", f"Confusion of the student on {task}",
            "Rows are true labels, columns what the student said; counts are summed over seeds, shades and "
            "percentages are shares of the row.",
            [confusion_table(report, task, code) for code in report.languages], small=True, level=3,
        ),
        Section(
            f"disagreement-{task}", f"Where teacher and student disagree on {task}", "",
            [disagreement_table(report, task), *example_tables(report, task)], level=3,
        ),
    ]  # fmt: skip


def language_cell(code: str) -> Cell:
    """The head of a language's row."""
    return Cell(language_name(code), code)


def size_table(report: Report) -> Table:
    """Teacher and student, row by row."""
    teacher, student = report.summary.teacher, report.summary.student
    figures: Sequence[tuple[str, float | None, float | None]] = (
        ("Parameters", teacher.parameters, student.parameters),
        ("of these, embedding table", teacher.embedding_parameters, student.embedding_parameters),
        ("of these, body", teacher.body_parameters, student.body_parameters),
        ("Layers", teacher.num_hidden_layers, student.num_hidden_layers),
        ("Hidden size", teacher.hidden_size, student.hidden_size),
        ("Attention heads", teacher.num_attention_heads, student.num_attention_heads),
        ("Vocabulary", teacher.vocabulary, student.vocabulary),
    )
    rows = [
        [Cell(name), Cell(whole(a)), Cell(whole(b)), Cell(percent(b / a) if a and b is not None else NONE)]
        for name, a, b in figures
    ]
    revision = f"Revision of the teacher: {report.teacher.revision}." if report.teacher.revision else ""
    return Table("size", "Teacher and student", ["", "Teacher", "Student", "Share"], rows, note=revision)


def score_table(report: Report, task: str) -> Table:
    """Student, teacher, retention and baselines by language."""
    scores, retention = report.scores[task], report.retention[task]
    many = len(report.seeds) > 1
    rows = []
    for code in report.languages:
        student, ratio = scores["student"].languages[code], retention[code]
        cells = {name: _scored(scores[model].languages[code]) for model, name in MODEL_NAMES.items()}
        kept = Cell(percent(ratio.value), f"[{between(ratio.low, ratio.high)}]") if ratio else Cell(NONE)
        over = Cell(signed(scores["student"].score(code) - scores["tfidf"].score(code)))
        ends = [Cell(_spread(student))] if many else []
        ends += [Cell(whole(student.n)), Cell(whole(student.n_train))]
        rows.append([language_cell(code), cells["Student"], cells["Teacher"], kept, cells["TF-IDF"], over,
                     cells["Majority"], *ends])  # fmt: skip
    mean = {name: mean_score(report, task, model) for model, name in MODEL_NAMES.items()}
    shown = {name: Cell(points(value)) for name, value in mean.items()}
    last = [Cell(f"Mean of {len(report.languages)}"), shown["Student"], shown["Teacher"],
            Cell(percent(mean_retention(report, task))), shown["TF-IDF"],
            Cell(signed(mean["Student"] - mean["TF-IDF"])), shown["Majority"]]  # fmt: skip
    columns = ["Language", "Student", "Teacher", "Retention", "TF-IDF", "Student over TF-IDF", "Majority"]
    columns += [*(["Student, by seed"] if many else []), "Test rows", "Train rows"]
    last += [Cell("")] * (len(columns) - len(last))
    return Table(f"scores-{task}", "Weighted F1 by language", columns, [*rows, last], average=True)


def _scored(score: LanguageScore) -> Cell:
    """A score with its interval."""
    return Cell(points(score.weighted_f1), f"[{between(*score.interval_95)}]")


def _spread(score: LanguageScore) -> str:
    """Lowest to highest score over the seeds."""
    each = [seed.weighted_f1 for seed in score.seeds]
    return between(min(each), max(each)) if each else NONE


def mean_score(report: Report, task: str, model: str) -> float:
    """The plain mean over the languages of params.yaml."""
    return sum(report.scores[task][model].score(code) for code in report.languages) / len(report.languages)


def mean_retention(report: Report, task: str) -> float | None:
    """Mean score of the student over mean score of the teacher; None when the teacher scores 0."""
    teacher = mean_score(report, task, "teacher")
    return mean_score(report, task, "student") / teacher if teacher > 0 else None


def label_table(report: Report, task: str) -> Table:
    """Precision, recall and F1 by language and label."""
    student, teacher = report.scores[task]["student"], report.scores[task]["teacher"]
    rows = []
    for code in report.languages:
        for label in student.labels:
            score = student.languages[code].per_label.get(label)
            if score is None:  # an O tag, or a label that no row of this language has
                continue
            other = teacher.languages[code].per_label.get(label)
            figures = (score.precision, score.recall, score.f1, other.f1 if other else None)
            rows.append([language_cell(code), Cell(label), *(Cell(points(f)) for f in figures), Cell(whole(score.n))])
    columns = ["Language", "Label", "Precision", "Recall", "F1", "F1 of teacher", "Rows"]
    return Table(f"labels-{task}", "The student by label, points", columns, rows, headers=2, grouped=True)


def confusion_table(report: Report, task: str, code: str) -> Table:
    """True labels against said labels of one language."""
    scores = report.scores[task]["student"]
    rows = []
    for label, counts in zip(scores.labels, scores.languages[code].confusion, strict=False):
        total = max(sum(counts), 1)
        cells = [Cell(whole(count), percent(count / total, 0), count / total) for count in counts]
        rows.append([Cell(label), *cells])
    return Table(f"confusion-{task}-{code}", language_name(code), ["True", *scores.labels], rows)


def disagreement_table(report: Report, task: str) -> Table:
    """Test rows by who was right."""
    found = report.disagreements[task]
    rows = []
    for code in report.languages:
        each = found[code]
        counts = (each.both_right, each.teacher_only, each.student_only, each.both_wrong)
        shares = [Cell(whole(count), percent(count / max(each.rows, 1))) for count in counts]
        rows.append([language_cell(code), Cell(whole(each.rows)), *shares, Cell(percent(each.differ / each.rows))])
    columns = ["Language", "Rows", "Both right", "Only teacher right", "Only student right", "Both wrong", "Differ"]
    seeds = sorted({found[code].seed for code in report.languages})
    return Table(f"agreement-{task}", f"Test rows of seed {', '.join(map(str, seeds))}", columns, rows)


def example_tables(report: Report, task: str) -> list[Table]:
    """At most five rows a language on which teacher and student differ."""
    rows = [
        [language_cell(code), *_example_cells(example, code)]
        for code in report.languages
        for example in report.disagreements[task][code].examples
    ]
    columns = ["Language", "Text", "True", "Teacher", "Student"]
    caption = "Examples, at most five a language"
    return [Table(f"examples-{task}", caption, columns, rows, texts=(1, 2, 3, 4), grouped=True)] if rows else []


def _example_cells(example: Example, code: str) -> list[Cell]:
    said = (example.gold, example.teacher, example.student)
    return [Cell(shorten(example.text), language=code), *(Cell(shorten(label)) for label in said)]


def heldout_table(report: Report) -> Table:
    """KL, accuracies and likelihood on held-out text by language."""
    rows = []
    for code in report.languages:
        figures = report.summary.heldout[code]
        attention = NONE if figures.attention is None else f"{figures.attention:.3g}"
        rows.append([
            language_cell(code), Cell(whole(figures.positions)), Cell(f"{figures.kl:.3f}"),
            Cell(percent(figures.student_accuracy)), Cell(percent(figures.teacher_accuracy)),
            Cell(f"{figures.student_nll:.3f}"), Cell(attention),
        ])  # fmt: skip
    columns = ["Language", "Masked positions", "KL (nats)", "Student accuracy", "Teacher accuracy",
               "Student NLL (nats)", "Attention MSE"]  # fmt: skip
    return Table("heldout", "The student on held-out text", columns, rows)


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
        "Entries a position": whole(cache.entries),
        "Masked positions": whole(cache.positions),
        "Tokens of text": whole(cache.tokens),
        "Bytes": whole(cache.bytes),
        "Bytes a token": f"{cache.bytes_per_token:.1f}",
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
    reasons = _reasons(part.dropped for _, _, part in splits)
    rows = []
    for code, split, part in splits:
        overlap = data.languages[code].overlap
        counts = (part.rows_read, part.rows, *(part.dropped.get(reason, 0) for reason in reasons))
        shared = (overlap.get(f"{split}_in_train"), overlap.get(f"{split}_in_dev"))
        rows.append([language_cell(code), Cell(split), *(Cell(whole(count)) for count in (*counts, *shared))])
    columns = ["Language", "Split", "Rows read", "Kept", *map(_reason, reasons), "Also in train", "Also in dev"]
    made = "normalised" if data.normalised else "as they came"
    return Table(f"splits-{task}", f"Labelled rows of {task}, texts {made}", columns, rows, headers=2, grouped=True)


def _reasons(dropped: Iterable[dict[str, int]]) -> list[str]:
    return list(dict.fromkeys(reason for each in dropped for reason in each))


def _reason(reason: str) -> str:
    return f"Dropped: {reason.replace('_', ' ')}"


def vocabulary_table(report: Report) -> Table:
    """Coverage and pieces a word by language."""
    tokenizer = report.tokenizer
    rows = []
    for code in report.languages:
        part = tokenizer.languages[code]
        rows.append([
            language_cell(code), Cell(whole(part.pieces_seen)), Cell(percent(part.coverage, 2)),
            Cell(f"{part.pieces_per_word_teacher:.2f}"), Cell(f"{part.pieces_per_word:.2f}"),
        ])  # fmt: skip
    columns = ["Language", "Pieces seen", "Tokens covered", "Pieces a word, teacher", "Pieces a word, student"]
    kept = f"{whole(tokenizer.pieces)} of {whole(tokenizer.teacher_pieces)} pieces kept"
    return Table("vocabulary", f"{kept} (keep: {tokenizer.keep})", columns, rows)


def cost_table(report: Report) -> Table:
    """Seconds, memory and rates of each stage."""
    rows = [
        [Cell(stage), Cell(f"{cost.seconds:,.1f}"), Cell(whole(cost.peak_memory_mib)),
         Cell(whole(cost.tokens_per_second)), Cell(whole(cost.rows_per_second)), Cell(percent(cost.data_wait_share))]
        for stage, cost in report.costs.items()
    ]  # fmt: skip
    total = sum(cost.seconds for cost in report.costs.values())
    peak = max(cost.peak_memory_mib for cost in report.costs.values())
    rows.append([Cell("All stages", "sum, peak"), Cell(f"{total:,.1f}"), Cell(whole(peak)), *[Cell("")] * 3])
    columns = ["Stage", "Seconds", "Peak memory (MiB)", "Tokens/s", "Rows/s", "Waiting for data"]
    machines = list(dict.fromkeys(cost.machine for cost in report.costs.values() if cost.machine))
    return Table("cost", "What each stage took", columns, rows, average=True, note="; ".join(machines))


def params_table(report: Report) -> Table:
    """params.yaml, a dotted key a row."""
    rows = [[Cell(key), Cell(value)] for key, value in flat(report.params).items()]
    return Table("parameters", "params.yaml", ["Key", "Value"], rows, texts=(1,))


def versions_table(report: Report) -> Table:
    """Installed packages."""
    rows = [[Cell(name), Cell(number)] for name, number in report.versions.items()]
    return Table("versions", "Installed packages", ["Package", "Version"], rows, texts=(1,))
