"""What was done to the teacher before it was distilled, where a reader would take it for the published model."""

from collections.abc import Mapping
from statistics import fmean

from distil.report.format import listed, percent, whole
from distil.report.inputs.manifests import Teacher, TeacherMixture
from distil.report.notices.labelled_data import Notice


def teacher_notices(teacher: Teacher, mixture: Mapping[str, TeacherMixture]) -> list[Notice]:
    """New pieces of its tokenizer, the models that were merged into it, and those that taught beside it.

    Args:
        teacher: models/teacher.
        mixture: of the teacher and the models beside it by language; empty without them.
    """
    found = [Notice("note", new_pieces_text(teacher))] if teacher.new_pieces else []
    if merged := teacher.merged:
        models = listed(list(merged.masked_lm["models"]))
        kept = {0: "the teacher as it came", 1: f"{listed(merged.kept)} alone"}.get(len(merged.kept), "what was merged")
        text = f"{models} were merged by {merged.method}; {kept} predicts held-out text best and is the teacher here."
        found.append(Notice("note", text))
    if mixture:
        found.append(Notice("note", _mixture_text(mixture)))
    return found


def _mixture_text(mixture: Mapping[str, TeacherMixture]) -> str:
    """Which models taught together, with what share and loss, as means over the languages."""
    names = list(next(iter(mixture.values())).weights)
    said = [
        f"{name} {percent(fmean(each.weights[name] for each in mixture.values()), 0)} "
        f"({fmean(each.heldout_loss[name] for each in mixture.values()):.3f} nats)"
        for name in names
    ]
    together = fmean(each.heldout_loss["together"] for each in mixture.values())
    return (
        f"The student learned from a mixture of {len(names)} models: {listed(said)}; together {together:.3f} nats. "
        "Shares and held-out masked-LM losses are means over the languages."
    )


def new_pieces_text(teacher: Teacher) -> str:
    """How many pieces the tokenizer was extended by, and how much shorter texts are."""
    each = teacher.new_pieces.values()
    saved = [1 - new.pieces_per_word_after / new.pieces_per_word_before for new in each]
    added, less, more = sum(new.pieces for new in each), percent(min(saved), 0), percent(max(saved), 0)
    return (
        f"The teacher's tokenizer was extended by {whole(added)} pieces before its adaptation: it is not that of "
        f"{teacher.id}. Held-out text has {less} to {more} fewer tokens, by language."
    )
