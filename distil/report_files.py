"""The files that earlier stages wrote, as far as a report needs them, checked; their formats are in docs/design.md."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class MadeFile(BaseModel):
    """Part of a file that an earlier stage wrote; keys that no report needs are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Model(MadeFile):
    """Size and shape of the teacher or the student."""

    parameters: int
    embedding_parameters: int
    num_hidden_layers: int
    hidden_size: int | None = None
    num_attention_heads: int | None = None
    vocabulary: int | None = None

    @property
    def body_parameters(self) -> int:
        """All parameters that are no embedding."""
        return self.parameters - self.embedding_parameters


class CacheFigures(MadeFile):
    """What the cache of teacher outputs holds."""

    logits: str
    entries: int
    bytes: int
    tokens: int
    bytes_per_token: float
    positions: int


class HeldOut(MadeFile):
    """A language's figures on held-out text; `kl` and `student_nll` in nats, accuracies from 0 to 1."""

    positions: int
    kl: float
    attention: float | None = None
    student_accuracy: float
    teacher_accuracy: float
    student_nll: float


class Summary(MadeFile):
    """metrics/distil/summary.json."""

    key: str
    steps: int
    epochs: float
    tokens: int
    best_step: int
    stopped_early: bool
    student: Model
    teacher: Model
    cache: CacheFigures
    heldout: dict[str, HeldOut]


class LabelScore(MadeFile):
    """Scores of one label; `n` counts its gold cases."""

    precision: float
    recall: float
    f1: float
    n: int


class SeedScore(MadeFile):
    """The score of one fine-tuning."""

    seed: int
    weighted_f1: float


class LanguageScore(MadeFile):
    """A language's scores of one model on one task, from 0 to 1, means over seeds."""

    n: int
    n_train: int | None = None
    weighted_f1: float
    macro_f1: float
    accuracy: float
    interval_95: tuple[float, float]
    per_label: dict[str, LabelScore]
    confusion: list[list[int]]
    seeds: list[SeedScore]


class TaskScores(MadeFile):
    """metrics/evaluate/MODEL/TASK.json."""

    kind: str
    labels: list[str]
    metric: Literal["weighted_f1"]
    languages_mode: str | None = None
    languages: dict[str, LanguageScore]

    def score(self, language: str) -> float:
        """Weighted F1, from 0 to 1."""
        return self.languages[language].weighted_f1


class CorpusLanguage(MadeFile):
    """Lines read, kept and dropped of a language's text."""

    lines_read: int
    lines: int
    words: int
    bytes: int
    dropped: dict[str, int]


class Corpus(MadeFile):
    """data/raw/manifest.json."""

    source: str
    synthetic: bool
    origin: str
    languages: dict[str, CorpusLanguage]


class Split(MadeFile):
    """Rows read, kept and dropped of a split."""

    rows_read: int
    rows: int
    dropped: dict[str, int]


class TaskLanguage(MadeFile):
    """The splits of a language's labelled data, and rows that occur in two of them."""

    train: Split
    dev: Split
    test: Split
    overlap: dict[str, int]


class TaskData(MadeFile):
    """data/tasks/NAME/manifest.json."""

    kind: str
    labels: list[str]
    source: str
    synthetic: bool
    normalised: bool
    languages: dict[str, TaskLanguage]


class Teacher(MadeFile):
    """models/teacher/manifest.json."""

    source: str
    id: str
    revision: str | None = None
    synthetic: bool
    parameters: int


class TokenizerLanguage(MadeFile):
    """Share of a language's tokens that the kept pieces cover, and pieces a word before and after."""

    coverage: float
    pieces_seen: int
    pieces_per_word_teacher: float
    pieces_per_word: float


class Tokenizer(MadeFile):
    """models/tokenizer/manifest.json."""

    keep: str
    coverage: float
    pieces: int
    teacher_pieces: int
    languages: dict[str, TokenizerLanguage]


class StageCost(MadeFile):
    """metrics/cost/STAGE.json."""

    seconds: float
    peak_memory_mib: float
    machine: str = ""
    tokens_per_second: float | None = None
    rows_per_second: float | None = None
    data_wait_share: float | None = None
