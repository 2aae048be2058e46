"""Where teacher and student disagree, row by row."""

from collections import Counter
from dataclasses import dataclass

from distil.evaluation.predictions import GoldAndPredicted

AGREED, DIFFERING = 2, 3  # examples per language


@dataclass(frozen=True)
class Example:
    """A test row; of a sentence the tags as `join_tags` joins them."""

    row: int
    text: str
    gold: str
    teacher: str
    student: str


@dataclass(frozen=True)
class Disagreement:
    """Test rows of one seed, counted by who was right.

    `examples` are up to DIFFERING rows on which the two differ, `agreed` up to AGREED that both have right.
    """

    seed: int
    rows: int
    both_right: int
    teacher_only: int
    student_only: int
    both_wrong: int
    differ: int
    examples: list[Example]
    agreed: list[Example]


def disagreement(
    teacher: dict[int, GoldAndPredicted], student: dict[int, GoldAndPredicted], texts: list[str]
) -> Disagreement:
    """Rows of the student's first seed by who was right, and the first examples of each kind in turn.

    Args:
        teacher: answers by seed, of one language; the first where it lacks the student's seed.
        student: answers by seed.
        texts: of the same rows.
    """
    seed = min(student)
    theirs, ours = teacher.get(seed, teacher[min(teacher)]), student[seed]
    right: Counter[tuple[bool, bool]] = Counter()
    kinds: dict[tuple[bool, bool], list[Example]] = {}
    rows = zip(texts, ours.gold, theirs.predicted, ours.predicted, strict=True)
    for row, (text, gold, by_teacher, by_student) in enumerate(rows):
        outcome = (by_teacher == gold, by_student == gold)
        right[outcome] += 1
        if by_teacher != by_student or by_teacher == gold:
            kinds.setdefault(outcome, []).append(Example(row, text, gold, by_teacher, by_student))
    queues = [kinds.get(outcome, []) for outcome in ((True, False), (False, True), (False, False))]
    mixed = [queue[turn] for turn in range(DIFFERING) for queue in queues if turn < len(queue)]
    return Disagreement(
        seed=seed,
        rows=len(texts),
        both_right=right[True, True],
        teacher_only=right[True, False],
        student_only=right[False, True],
        both_wrong=right[False, False],
        differ=sum(len(queue) for queue in queues),
        examples=sorted(mixed[:DIFFERING], key=lambda example: example.row),
        agreed=_varied(kinds.get((True, True), [])),
    )


def _varied(right: list[Example]) -> list[Example]:
    """The first example of each label, sentences without an entity last."""
    first = {example.gold: example for example in reversed(right)}.values()
    return sorted(first, key=lambda example: (not set(example.gold.split()) - {"O"}, example.row))[:AGREED]
