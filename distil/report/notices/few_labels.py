"""What a reader must know of languages whose labels were hidden at fine-tuning (`evaluate.few_labels`)."""

from distil.report.data import Report, language_name
from distil.report.format import bracket, listed, names, signed, whole
from distil.report.notices.labelled_data import Notice


def few_of(report: Report) -> list[str]:
    """The languages with few labels, in the order of tables."""
    few = report.params["evaluate"]["few_labels"]["languages"]
    return [code for code in report.languages if code in few]


def few_labels_notices(report: Report, task: str) -> list[Notice]:
    """How many labels each such language had, that its dev rows chose nothing, and what its teachers' tags gave."""
    if not (few := few_of(report)):
        return []
    own = report.scores[task]["student"].languages
    kept = listed([
        f"{language_name(code)} {whole(own[code].n_train)} of "
        f"{whole((own[code].n_train or 0) + own[code].n_train_hidden)}"
        for code in few
    ])  # fmt: skip
    text = (
        f"On {task} labels were hidden at fine-tuning. Kept: {kept}. Dev rows of {names(few)} were not looked at: no "
    )
    text += (
        "epoch and no weight of a teacher was chosen by them. TF-IDF and majority are of all labels of all languages."
    )
    found = [Notice("note", text)]
    if pair := report.comparisons[task].over("student", "student_plain"):
        gains = listed([
            f"{signed(pair.languages[code].difference)} points in {language_name(code)} "
            f"({bracket(pair.languages[code].interval_95, sign=True)})"
            for code in few
        ])  # fmt: skip
        found.append(Notice("note", f"On {task} soft labels of text without labels give {gains} over direct transfer."))
    return found


def few_labels_headline(report: Report, task: str) -> dict[str, float]:
    """`few`, the student's mean over such languages, and `few_over_plain`, its distance to direct transfer: points."""
    if not (few := few_of(report)):
        return {}
    scores = report.scores[task]["student"]
    found = {"few": round(100 * sum(map(scores.score, few)) / len(few), 2)}
    if pair := report.comparisons[task].over("student", "student_plain"):
        found["few_over_plain"] = round(100 * sum(pair.languages[code].difference for code in few) / len(few), 2) + 0.0
    return found
