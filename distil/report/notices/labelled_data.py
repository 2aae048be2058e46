"""What a reader must know of the labelled data before any score. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from distil.report.data import language_name
from distil.report.format import listed, whole
from distil.report.inputs.tasks import Split, TaskData
from distil.tasks.account import unknown_labels
from distil.tasks.checks import missing_classes
from distil.tasks.data import SPLITS
from distil.tasks.tag_schemes import entity_types

NAMED_CASES = 6  # at most; the others are counted


class Notice(NamedTuple):
    """A sentence that must not be overlooked."""

    kind: Literal["synthetic", "warning", "good", "note"]
    text: str


def data_notices(task: str, data: TaskData, languages: Sequence[str]) -> list[Notice]:
    """Unlisted labels, classes that a split lacks, the same rows twice, texts with several labels, tags, lost marks.

    Args:
        task: its name.
        data: its manifest.
        languages: those of the report.
    """
    makers = (_unknown, _missing, _same, _conflicts, _scheme, _marks)
    return [notice for make in makers for notice in make(task, data, languages)]


def _splits(data: TaskData, languages: Sequence[str]) -> Iterator[tuple[str, Split]]:
    """Such as ("Kinyarwanda train", ...)."""
    for code in languages:
        for split in SPLITS:
            yield f"{language_name(code)} {split}", getattr(data.languages[code], split)


def _some(cases: Sequence[str], separator: str = ", ") -> str:
    """The first cases, and how many more there are."""
    more = [f"{len(cases) - NAMED_CASES} more"] if len(cases) > NAMED_CASES else []
    return separator.join([*cases[:NAMED_CASES], *more])


def _unknown(task: str, data: TaskData, languages: Sequence[str]) -> Iterator[Notice]:
    counts = sum((Counter(each.unknown_labels) for _, each in _splits(data, languages)), Counter[str]())
    places = [place for place, each in _splits(data, languages) if each.unknown_labels]
    if counts:
        said = unknown_labels(counts, data.labels)
        text = (
            f"Rows of {task} were left out because params.yaml does not list their labels: {said}; in {_some(places)}."
        )
        yield Notice("warning", text)


def _missing(task: str, data: TaskData, languages: Sequence[str]) -> Iterator[Notice]:
    order = entity_types(data.labels) if data.tag_scheme else data.labels
    cases = []
    for code in languages:
        by_split = {split: getattr(data.languages[code], split).classes for split in SPLITS}
        counts = {split: {name: classes.get(name, 0) for name in order} for split, classes in by_split.items()}
        for name, split, most in missing_classes(counts):
            where = f"{language_name(code)} {split}" if most else f"no split of {language_name(code)}"
            cases.append(f"{where} has {name}" if not most else f"{where} has no {name}, but {most} has")
    if cases:
        yield Notice("warning", f"Scores on {task} do not cover every label: {_some(cases, '; ')}.")


def _same(task: str, data: TaskData, languages: Sequence[str]) -> Iterator[Notice]:
    for files in data.same_rows:
        here = [file for file in files if file.split("/")[0] in languages]
        if len(here) > 1:
            yield Notice("warning", f"On {task} the same rows are in {listed(here)}: is a file there twice?")


def _conflicts(task: str, data: TaskData, languages: Sequence[str]) -> Iterator[Notice]:
    found = [(place, each.conflicts) for place, each in _splits(data, languages) if each.conflicts.texts]
    if found:
        texts, rows = (sum(getattr(each, name) for _, each in found) for name in ("texts", "rows"))
        cases = _some([f"{place} {whole(each.rows)} rows" for place, each in found])
        yield Notice(
            "note", f"{whole(texts)} texts of {task}, in {whole(rows)} rows, have several labels each: {cases}."
        )


def _scheme(task: str, data: TaskData, languages: Sequence[str]) -> Iterator[Notice]:
    scheme = data.tag_scheme
    if not scheme or (scheme.scheme == "IOB2" and not scheme.suffix and not scheme.irregular):
        return
    form = f"{scheme.scheme}, with the letter last" if scheme.suffix else scheme.scheme
    text = f"The tags of {task} came in {form} and are learned, predicted and scored in IOB2."
    if scheme.irregular:
        text += (
            f" {whole(scheme.irregular)} of {whole(scheme.entities)} entities were not tagged as {scheme.scheme} has "
            "it; they were read as conlleval reads them."
        )
    yield Notice("note", text)


def _marks(task: str, data: TaskData, languages: Sequence[str]) -> Iterator[Notice]:
    if data.marks == "drop":
        text = (
            f"The texts of {task} are read without combining marks, a loss of orthography: not only tone goes, letters "
            "such as ẹ, ọ and ị become e, o and i."
        )
        yield Notice("note", text)
