"""What was done to the teacher before it was distilled, where a reader would take it for the published model."""

from distil.report.data_notices import Notice
from distil.report.format import listed, percent, whole
from distil.report.inputs import Teacher


def teacher_notices(teacher: Teacher) -> list[Notice]:
    """New pieces of its tokenizer, and the models that were merged into it."""
    found = [Notice("note", new_pieces_text(teacher))] if teacher.new_pieces else []
    if merged := teacher.merged:
        models = listed(list(merged.masked_lm["models"]))
        kept = {0: "the teacher as it came", 1: f"{listed(merged.kept)} alone"}.get(len(merged.kept), "what was merged")
        text = f"{models} were merged by {merged.method}; {kept} predicts held-out text best and is the teacher here."
        found.append(Notice("note", text))
    return found


def new_pieces_text(teacher: Teacher) -> str:
    """How many pieces the tokenizer was extended by, and how much shorter texts are."""
    each = teacher.new_pieces.values()
    saved = [1 - new.pieces_per_word_after / new.pieces_per_word_before for new in each]
    added, less, more = sum(new.pieces for new in each), percent(min(saved), 0), percent(max(saved), 0)
    return (
        f"The teacher's tokenizer was extended by {whole(added)} pieces before its adaptation: it is not that of "
        f"{teacher.id}. Held-out text has {less} to {more} fewer tokens, by language."
    )
