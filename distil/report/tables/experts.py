"""What a new language cost the others: held-out figures of a frozen trunk before and after its new experts."""

from distil.report.format import Cell, Table, language_cell, percent, whole
from distil.report.inputs.manifests import Summary


def experts_tables(summary: Summary, languages: list[str]) -> list[Table]:
    """One row per language; no table where the student has no trunk.

    The language is given in these figures. `Recognised` is how often the gate, which decides at work, finds it.
    """
    if not summary.forgetting or summary.experts is None:
        return []
    rows = []
    for code in languages:
        found = summary.forgetting[code]
        rows.append([
            language_cell(code), Cell("new expert" if found.new else "frozen"),
            *(Cell(f"{value:.3f}") for value in (found.kl_before, found.kl_after, found.kl_after - found.kl_before)),
            *(Cell(f"{value:.3f}") for value in (found.nll_before, found.nll_after)),
            Cell(percent(summary.experts.recognised[code])),
        ])  # fmt: skip
    columns = ["Language", "Weights", "KL before (nats)", "KL after", "Change of KL", "NLL before (nats)", "NLL after",
               "Recognised"]  # fmt: skip
    share = summary.experts.parameters / summary.student.parameters
    note = (
        f"Experts for {', '.join(summary.experts.languages)}, {summary.experts.width} wide: "
        f"{whole(summary.experts.parameters)} parameters, {percent(share)} of the student. Frozen languages answer as "
        "before, bit for bit, where the gate recognises them or the language is given."
    )
    return [Table("forgetting", "What a new language cost the others", columns, rows, note=note)]
