"""Every section of the report with its tables, built once for both Markdown and HTML.

Scores are shown in points (0 to 100). An average is always below the rows of its languages.
"""

from distil.report.data import Report
from distil.report.findings import unmeasured
from distil.report.format import Section
from distil.report.notices.guard import guard_tables
from distil.report.tables.decoders import decoder_tables
from distil.report.tables.experts import experts_tables
from distil.report.tables.models import export_tables, footprint_table, size_table
from distil.report.tables.rivals import rival_sections
from distil.report.tables.scores import (
    confusion_table,
    detail_table,
    disagreement_table,
    distance_table,
    example_tables,
    label_table,
    metric_name,
    score_table,
    unseen_tables,
)
from distil.report.tables.training import (
    cache_table,
    corpus_table,
    cost_table,
    heldout_table,
    params_table,
    split_table,
    training_table,
    vocabulary_table,
)


def sections(report: Report) -> list[Section]:
    """Every table of the report, in order."""
    parts = []
    for task in report.tasks:
        parts += task_sections(report, task)
    exported = export_tables(report.export, report.languages)
    return [
        *parts,
        Section("exported", "The exported student", _EXPORT_TEXT, exported, small=True),
        Section(
            "size",
            "Size and speed of teacher and student",
            _SIZE_TEXT,
            [size_table(report), footprint_table(report.footprint)],
            folded=True,
        ),
        Section("heldout", "Held-out text", _HELDOUT_TEXT,
                [heldout_table(report), *experts_tables(report.summary, report.languages)]),
        Section("training", "Training and teacher cache", "",
                [training_table(report), cache_table(report), *guard_tables(report.costs)], folded=True),
        Section(
            "data",
            "Data",
            _DATA_TEXT,
            [corpus_table(report), *(split_table(report, t) for t in report.tasks)],
            folded=True,
        ),
        Section("vocabulary", "Vocabulary", _VOCABULARY_TEXT, [vocabulary_table(report)], folded=True),
        Section("cost", "Cost by stage", _COST_TEXT, [cost_table(report)], folded=True),
        Section(
            "parameters",
            "Parameters",
            "Every value of params.yaml behind these figures.",
            [params_table(report)],
            folded=True,
        ),
    ]  # fmt: skip


_SIZE_TEXT = (
    "The embedding table holds one vector for each piece of the vocabulary; the body does the computing, so it decides "
    "the speed."
)
_EXPORT_TEXT = "The fine-tuned student as ONNX, in float32 and in 8 bits, as it is served."
_HELDOUT_TEXT = (
    "The student against its teacher on masked text that was kept out of training. KL is teacher to student at "
    "temperature 1, in nats per masked position; accuracy is the share of masked pieces guessed right."
)
_DATA_TEXT = (
    "Text that occurs in a development or test set is taken out of the corpus. Dropped lines and rows "
    "are counted by reason."
)
_VOCABULARY_TEXT = "How many of the teacher's pieces are kept, and what that does to each language's text."
_COST_TEXT = "Each stage as it was last run. Memory is the largest resident size of its process."


def task_sections(report: Report, task: str) -> list[Section]:
    """Distances, scores, labels, confusion and disagreement of one task."""
    unseen = unseen_tables(report, task)
    return [
        Section(f"task-{task}", f"Task: {task}", _task_text(report, task),
                [distance_table(report, task), score_table(report, task), *decoder_tables(report, task)]),
        *rival_sections(report, task),
        Section(f"detail-{task}-all", f"Every score on {task}", _UNSEEN_TEXT if unseen else "",
                [*unseen, detail_table(report, task)], level=3, folded=True),
        Section(f"labels-{task}-all", f"Labels of {task}", "", [label_table(report, task)], level=3, folded=True),
        Section(
            f"confusion-{task}", f"Confusion of the student on {task}",
            "Rows are true labels, columns the student's predictions; counts are summed over seeds, shades and "
            "percentages are shares of the row.",
            [confusion_table(report, task, code) for code in report.languages], small=True, level=3, folded=True,
        ),
        Section(
            f"disagreement-{task}", f"Teacher and student row by row on {task}", "",
            [disagreement_table(report, task), *example_tables(report, task)], level=3, folded=True,
        ),
    ]  # fmt: skip


_UNSEEN_TEXT = (
    "A test row whose text is also in train, but for case, marks, links and digits, can be answered from memory."
)


def _task_text(report: Report, task: str) -> str:
    scores, data = report.scores[task]["student"], report.task_data[task]
    apart = "one model for each language" if scores.languages_mode == "separate" else "one model for all languages"
    seeds = f"{len(report.seeds)} seeds" if len(report.seeds) > 1 else "1 seed"
    texts = data.read_as if data.read_as == "as they came" else f"{data.read_as} alike in every split"
    return (
        f"All models are fine-tuned with the same settings, {apart}; texts {texts}. {metric_name(report, task)} on the "
        f"test rows, in points, as the mean over {seeds} of fine-tuning. Brackets hold 95 % intervals from "
        f"{report.comparisons[task].resamples:,} draws of the test rows, the same rows for both models of a "
        "difference; p is two-sided. Seeds are not resampled. The mean's share of the teacher is the ratio of the "
        + " ".join(["means.", *unmeasured(report)])
    )
