"""The table of decoders: causal language models that label the same rows without training."""

from distil.report.data import Report
from distil.report.format import Cell, Table, bracket, language_cell, p_text, points, signed
from distil.report.inputs.scores import Difference
from distil.report.tables.scores import metric_name


def decoder_tables(report: Report, task: str) -> list[Table]:
    """Each decoder's score by language, and the student's distance to it; no table without decoders."""
    decoders = report.decoder_scores[task]
    if not decoders:
        return []
    pairs = {name: pair for name in decoders if (pair := report.comparisons[task].over("student", name))}
    rows = []
    for code in report.languages:
        cells = [language_cell(code)]
        for name, scores in decoders.items():
            cells.append(Cell(points(scores.score(code)), bracket(scores.languages[code].interval_95)))
            cells.append(_apart(pairs[name].languages[code]))
        rows.append(cells)
    last = [Cell(f"Mean of {len(report.languages)}")]
    for name, scores in decoders.items():
        mean = sum(scores.score(code) for code in report.languages) / len(report.languages)
        last += [Cell(points(mean), bracket(scores.mean.interval_95)), _apart(pairs[name].mean)]
    columns = ["Language", *(column for name in decoders for column in (name, f"Student vs. {name}"))]
    note = "By the likelihood of each label's name after the prompt in params.yaml, without training."
    caption = f"Decoders, {metric_name(report, task)}, points"
    return [Table(f"decoders-{task}", caption, columns, [*rows, last], average=True, note=note)]


def _apart(found: Difference) -> Cell:
    return Cell(signed(found.difference), f"{bracket(found.interval_95, sign=True)} {p_text(found.p)}")
