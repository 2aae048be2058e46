"""What the stage `tasks` wrote of labelled data, as far as a report needs it (docs: output-files)."""

from distil.report.inputs.stage_file import StageFile


class Conflicts(StageFile):
    """Texts that have several labels, and the rows that they are in."""

    texts: int
    rows: int


class Split(StageFile):
    """Rows read, kept and dropped of a split, and their labels."""

    rows_read: int
    rows: int
    dropped: dict[str, int]
    unknown_labels: dict[str, int]
    classes: dict[str, int]
    conflicts: Conflicts
    second_views: int = 0


class TaskLanguage(StageFile):
    """The splits of a language's labelled data, and rows that occur in two of them."""

    train: Split
    dev: Split
    test: Split
    overlap: dict[str, int]


class TagScheme(StageFile):
    """The scheme that the entity tags of the files were in; `irregular` ones of its entities are tagged otherwise."""

    scheme: str
    suffix: bool
    entities: int
    irregular: int


class TaskData(StageFile):
    """data/tasks/NAME/manifest.json."""

    kind: str
    labels: list[str]
    source: str
    synthetic: bool
    normalised: bool
    marks: str = "keep"
    script: str = "keep"
    tag_scheme: TagScheme | None
    same_rows: list[list[str]]
    languages: dict[str, TaskLanguage]

    @property
    def read_as(self) -> str:
        """How its texts are read, such as "normalised, without marks"."""
        changes = {"normalised": self.normalised, "in Latin letters": self.script == "latin",
                   "without marks": self.marks == "drop"}  # fmt: skip
        return ", ".join(name for name, made in changes.items() if made) or "as they came"
