"""Summaries of models, text and tokenizer, and the cost of each stage, as far as a report needs them, checked."""

from typing import Any

from distil.report.inputs.stage_file import StageFile


class Model(StageFile):
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


class CacheFigures(StageFile):
    """What the cache of teacher outputs holds."""

    logits: str
    entries: int
    bytes: int
    tokens: int
    bytes_per_token: float
    positions: int


class HeldOut(StageFile):
    """A language's figures on held-out text; `kl` and `student_nll` in nats, accuracies from 0 to 1."""

    positions: int
    kl: float
    attention: float | None = None
    student_accuracy: float
    teacher_accuracy: float
    student_nll: float


class Forgetting(StageFile):
    """A language's held-out figures on the trunk alone and with the new experts, in nats."""

    new: bool
    kl_before: float
    kl_after: float
    nll_before: float
    nll_after: float


class Experts(StageFile):
    """Language experts; `recognised` is the share of held-out texts, 0 to 1."""

    width: int
    languages: list[str]
    parameters: int
    recognised: dict[str, float]


class Summary(StageFile):
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
    forgetting: dict[str, Forgetting] = {}
    experts: Experts | None = None


class PlainHeldOut(StageFile):
    """A language's figures of a model that had no teacher."""

    student_accuracy: float
    student_nll: float


class PlainSummary(StageFile):
    """metrics/no_teacher/summary.json, metrics/distil/controls/CONTROL/summary.json."""

    steps: int
    tokens: int
    heldout: dict[str, PlainHeldOut]


class CorpusLanguage(StageFile):
    """Lines read, kept and dropped of a language's text."""

    lines_read: int
    lines: int
    words: int
    bytes: int
    dropped: dict[str, int]


class Corpus(StageFile):
    """data/raw/manifest.json."""

    source: str
    synthetic: bool
    origin: str
    languages: dict[str, CorpusLanguage]


class NewPieces(StageFile):
    """Pieces that a language got in the teacher's tokenizer, and pieces per word of held-out text."""

    pieces: int
    pieces_per_word_before: float
    pieces_per_word_after: float


class Adapted(StageFile):
    """How the teacher was adapted."""

    new_pieces: dict[str, NewPieces] = {}


class MergedTeachers(StageFile):
    """Models that were merged into the teacher; `kept` are those of which it is, none: the teacher as it came."""

    method: str
    kept: list[str]
    masked_lm: dict[str, dict[str, Any]]


class Teacher(StageFile):
    """models/teacher/manifest.json."""

    source: str
    id: str
    revision: str | None = None
    synthetic: bool
    parameters: int
    adapted: Adapted | None = None
    merged: MergedTeachers | None = None

    @property
    def new_pieces(self) -> dict[str, NewPieces]:
        """By language; empty where its tokenizer is as it came."""
        return self.adapted.new_pieces if self.adapted else {}


class TokenizerLanguage(StageFile):
    """Share of a language's tokens that the kept pieces cover, and pieces a word before and after."""

    coverage: float
    pieces_seen: int
    pieces_per_word_teacher: float
    pieces_per_word: float


class Tokenizer(StageFile):
    """models/tokenizer/manifest.json."""

    keep: str
    coverage: float
    pieces: int
    teacher_pieces: int
    languages: dict[str, TokenizerLanguage]


class GuardFigures(StageFile):
    """What a guard left out of the trainings of a stage."""

    deviations: float
    skipped: int
    rollbacks: int


class TeacherMixture(StageFile):
    """How several teachers share a language."""

    weights: dict[str, float]
    heldout_loss: dict[str, float]  # nats, by model and of `together`


class StageCost(StageFile):
    """metrics/cost/STAGE.json."""

    seconds: float
    peak_memory_mib: float
    peak_gpu_memory_mib: float | None = None
    machine: str = ""
    tokens_per_second: float | None = None
    rows_per_second: float | None = None
    data_wait_share: float | None = None
    guard: GuardFigures | None = None
    mixture: dict[str, TeacherMixture] = {}  # of cache_teacher, by language; empty for one teacher
