"""What a reader must know before any number: the verdict in one sentence, and the notices."""

from distil.evaluation.model_names import MERGED
from distil.report.controls import NOT_MEASURED, TITLES, distillation_sentence
from distil.report.data import Report, language_name
from distil.report.format import bracket, listed, names, p_text, percent, points, signed, size, times
from distil.report.inputs.scores import Difference, Pair
from distil.report.notices.few_labels import few_labels_notices
from distil.report.notices.guard import guard_notices
from distil.report.notices.labelled_data import Notice, data_notices
from distil.report.notices.teacher import teacher_notices
from distil.report.rivals import Deployed, rival_sentences
from distil.report.tables.scores import baselines_of, mean_score

FEW_SEEDS = 3
OVER = {
    "no_teacher": "the same student without a teacher",
    "tfidf": "TF-IDF with a linear model",
    "student_plain": "plain fine-tuning",
}
SHORT = OVER | {"tfidf": "TF-IDF"}
OVER |= TITLES


def verdict(report: Report) -> str:
    """The result in one sentence: size and speed, then each task's mean scores against the teacher and the baselines.

    Then a sentence for each control, and for each rival that wins. A model counts as better or worse where the 95 %
    interval of the difference does not hold 0.
    """
    export = report.export
    speed = (
        f", {times(export.speedup_vs_teacher_fp32)} as fast as its teacher"
        if export.speedup_vs_teacher_fp32 > 1
        else ""
    )
    tasks = "; it ".join(_task_verdict(report, task) for task in report.tasks)
    said = [f"The student ({size(export.int8_bytes)} in 8 bits{speed}) {tasks}."]
    for task in report.tasks:
        said += [*_distillation(report, task), *_rivals(report, task)]
    return " ".join(said)


def _rivals(report: Report, task: str) -> list[str]:
    found = {name: rival.model_dump() for name, rival in report.rivals.items()}
    student = Deployed(report.export.int8_bytes, report.export.speedup_vs_teacher_fp32)
    return rival_sentences(task, report.comparisons[task].model_dump(), found, student)


def _distillation(report: Report, task: str) -> list[str]:
    pairs = {name: pair for name in TITLES if (pair := report.comparisons[task].over("student", name))}
    return [distillation_sentence(task, name, pair.mean.difference, pair.mean.interval_95)
            for name, pair in pairs.items()]  # fmt: skip


def unmeasured(report: Report) -> list[str]:
    """What to know of the distance to `no_teacher` where the student has a start that no control shows."""
    started = report.params["student"]["init"] == "teacher"
    return [NOT_MEASURED] if started and "student_start" not in report.models else []


def _task_verdict(report: Report, task: str) -> str:
    """For example: keeps 98 % of its teacher's score on sentiment and beats TF-IDF by 2.0 points."""
    compared = report.comparisons[task]
    pairs = {name: pair for name in SHORT if (pair := compared.over("student", name))}
    better = [f"{SHORT[name]} by {_gap(pair)} points" for name, pair in pairs.items() if _side(pair.mean) > 0]
    level = [SHORT[name] for name, pair in pairs.items() if _side(pair.mean) == 0]
    worse = [f"{_gap(pair)} points below {SHORT[name]}{_teacher_too(report, task, name)}"
             for name, pair in pairs.items() if _side(pair.mean) < 0]  # fmt: skip
    said = [_share(report, task)]
    said += [f"beats {listed(better)}"] if better else []
    said += [f"cannot be told apart from {listed(level)}"] if level else []
    return listed(said) + (f", but is {listed(worse)}" if worse else "")


def _side(found: Difference) -> int:
    """1 surely above, -1 surely below, 0 where the interval holds 0."""
    low, high = found.interval_95
    return (low > 0) - (high < 0)


def _gap(pair: Pair) -> str:
    return f"{abs(100 * pair.mean.difference):.1f}"


def _teacher_too(report: Report, task: str, baseline: str) -> str:
    pair = report.comparisons[task].over("teacher", baseline)
    return " (the teacher itself is below it)" if pair and _side(pair.mean) < 0 else ""


def _share(report: Report, task: str) -> str:
    kept = report.comparisons[task].retention["student"].mean
    if kept is None:
        return f"has a teacher that scores 0 on {task}"
    if kept.interval_95[0] > 1:
        return f"scores above its teacher on {task} ({percent(kept.ratio)} of its score)"
    if kept.ratio >= 1:
        return f"scores as high as its teacher on {task} ({percent(kept.ratio)} of its score)"
    return f"keeps {percent(kept.ratio)} of its teacher's score on {task}"


def notices(report: Report) -> list[Notice]:
    """Synthetic data, models that win or lose against the student, a weak teacher, few seeds, doubtful timings."""
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
        found += data_notices(task, report.task_data[task], report.languages) + few_labels_notices(report, task)
        for baseline in baselines_of(report, "student"):
            found += _student_over(report, task, baseline)
        found += _against_plain(report, task)
        found += _merged(report, task) + _with_ngrams(report, task) + _with_linear(report, task)
        found += _of_teachers(report, task)
        found += _weak(report, task)
    found += [Notice("note", text) for text in unmeasured(report)] + _heldout(report) + guard_notices(report.costs)
    found += teacher_notices(report.teacher, report.costs["cache_teacher"].mixture)
    if len(report.seeds) < FEW_SEEDS:
        count = "one seed" if len(report.seeds) == 1 else f"{len(report.seeds)} seeds"
        text = f"Scores rest on {count} of fine-tuning: the spread between seeds, often several points, is not in them."
        found.append(Notice("note", text))
    if slowed := report.export.slowed_by_threads():
        model, (few, many) = next(iter(slowed.items()))
        text = f"With more threads {model.replace('_', ' ')} ran slower ({many:,.0f} against {few:,.0f} tokens/s): the "
        found.append(Notice("note", text + "machine may have been busy; do not rely on the speed on all threads."))
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
        text = f"On {task} the student is no better than always predicting the most frequent label in {names(lost)}."
        found.append(Notice("warning", text))
    if weak := not_above("teacher", "tfidf"):
        beside = _beside(report, task, "tfidf", weak, "teacher")
        text = f"On {task} the teacher itself is not above TF-IDF in {beside}: a high share of a weak "
        text += "teacher is easy to reach."
        found.append(Notice("warning", text))
    kept = report.comparisons[task].retention["student"].languages
    if above := [code for code in report.languages if (ratio := kept[code]) and ratio.ratio > 1]:
        text = f"On {task} the student scores higher than its teacher in {names(above)}, "
        found.append(Notice("note", text + "a sign of a weakly fine-tuned teacher or of chance."))
    return found


def _against_plain(report: Report, task: str) -> list[Notice]:
    """What task distillation gives or costs against plain fine-tuning, where that is more than chance."""
    pair = report.comparisons[task].over("student", "student_plain")
    if pair is None:
        return []
    by = f"{_gap(pair)} points on average ({bracket(pair.mean.interval_95, sign=True)}, {p_text(pair.mean.p)})"
    if _side(pair.mean) < 0:
        return [
            Notice("warning", f"On {task} distillation during fine-tuning costs {by}: plain fine-tuning is better.")
        ]
    if lost := [code for code in report.languages if _side(pair.languages[code]) < 0]:
        beside = _beside(report, task, "student_plain", lost)
        return [Notice("warning", f"On {task} plain fine-tuning beats the student in {beside}.")]
    gain = f"On {task} distillation during fine-tuning gives {by} over plain fine-tuning."
    return [Notice("good", gain)] if _side(pair.mean) > 0 else []


def _with_ngrams(report: Report, task: str) -> list[Notice]:
    """Whose figures those of a student with an n-gram table are."""
    pair = report.comparisons[task].over("student", "student_transformer")
    if pair is None:
        return []
    alone = points(mean_score(report, task, "student_transformer"))
    gain = f"{signed(pair.mean.difference)} points ({bracket(pair.mean.interval_95, sign=True)})"
    text = f"On {task} the student is a transformer and an n-gram table together, as are its teacher and its controls. "
    text += f"Its transformer alone, the model that transformers loads, has {alone}: the table gives {gain}."
    return [Notice("note", text)]


def _with_linear(report: Report, task: str) -> list[Notice]:
    """What a linear model gives beside the exported student, and whether the two are above TF-IDF."""
    comparison = report.comparisons[task]
    alone, rival = comparison.over("student", "student_linear"), comparison.over("student_linear", "tfidf")
    if alone is None or rival is None:
        return []
    both = points(mean_score(report, task, "student_linear"))
    text = f"On {task} the exported student and a linear model together score {both}: {_above(alone, 'the student')}, "
    text += f"{signed(rival.mean.difference)} over TF-IDF ({bracket(rival.mean.interval_95, sign=True)})."
    return [Notice("note", text)]


def _of_teachers(report: Report, task: str) -> list[Notice]:
    """What the teachers of a task score together, the ceiling of a student that learns from their mixture."""
    pair, over = (report.comparisons[task].over(model, "teachers") for model in ("student", "teacher"))
    if pair is None or over is None:
        return []
    together = mean_score(report, task, "teachers")
    share = percent(mean_score(report, task, "student") / together) if together else "no share"
    text = f"On {task} the teachers together score {points(together)}, {_above(over, 'the fine-tuned teacher')}. "
    return [Notice("note", f"{text}The student learns from their mixture and keeps {share} of its score.")]


def _merged(report: Report, task: str) -> list[Notice]:
    """What one model of all seeds scores beside the mean of the seeds."""
    pair = report.comparisons[task].over("student", MERGED)
    if pair is None:
        return []
    about = report.merged[task]
    counts = sorted({len(seeds) for seeds in about.kept.values()})
    kept = f"{' or '.join(map(str, counts))} of {len(about.seeds)} seeds"
    text = f"On {task} the merged student ({about.method}, {kept}) scores {_above(pair, 'the mean of its seeds')}."
    return [Notice("note", f"{text} It is one model, which has no spread between seeds, and the one that is exported.")]


def _above(pair: Pair, first: str) -> str:
    """How far the second model of a pair is above the first, which the text calls `first`."""
    low, high = pair.mean.interval_95
    return f"{signed(-pair.mean.difference)} points over {first} ({bracket((-high, -low), sign=True)})"


def _heldout(report: Report) -> list[Notice]:
    """Languages in which the model without a teacher predicts more masked tokens than the student."""
    ours, plain = report.summary.heldout, report.without_teacher.heldout
    lost = [code for code in report.languages if ours[code].student_accuracy < plain[code].student_accuracy]
    if not lost:
        return []
    beside = listed([
        f"{language_name(code)} ({percent(ours[code].student_accuracy)} against "
        f"{percent(plain[code].student_accuracy)})"
        for code in lost
    ])  # fmt: skip
    text = f"On held-out text the student predicts fewer masked tokens than the one without a teacher in {beside}."
    return [Notice("warning", text)]
