"""The files of earlier stages, as far as a report needs them, checked; formats: docs/internals/design.md."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator


class StageFile(BaseModel):
    """Part of a file that an earlier stage wrote; keys that no report needs are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


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


class LabelScore(StageFile):
    """Scores of one label; `n` counts its gold cases."""

    precision: float
    recall: float
    f1: float
    n: int


class SeedScore(StageFile):
    """The scores of one fine-tuning; `entity_f1` of tagged entities only."""

    seed: int
    weighted_f1: float
    entity_f1: float | None = None


class Unseen(StageFile):
    """The score on the test rows whose text is not in train."""

    n: int
    weighted_f1: float | None = None
    entity_f1: float | None = None


class LanguageScore(StageFile):
    """A language's scores of one model on one task, from 0 to 1, means over seeds."""

    n: int
    n_train: int | None = None
    n_train_hidden: int = 0
    weighted_f1: float
    macro_f1: float
    accuracy: float
    entity_f1: float | None = None
    interval_95: tuple[float, float]
    unseen: Unseen | None = None
    per_label: dict[str, LabelScore]
    confusion: list[list[int]]
    seeds: list[SeedScore]


class MeanScore(StageFile):
    """The plain mean over the languages that were scored."""

    interval_95: tuple[float, float]


class TaskScores(StageFile):
    """metrics/evaluate/MODEL/TASK.json."""

    kind: str
    labels: list[str]
    metric: Literal["weighted_f1", "entity_f1"]
    languages_mode: str | None = None
    languages: dict[str, LanguageScore]
    mean: MeanScore

    @model_validator(mode="after")
    def _has_its_metric(self) -> "TaskScores":
        for code, scores in self.languages.items():
            if self.of(scores) is None or any(self.of(seed) is None for seed in scores.seeds):
                raise ValueError(f"{code} lacks {self.metric}")
        return self

    def of(self, scores: LanguageScore | SeedScore | Unseen) -> float | None:
        """The metric, from 0 to 1."""
        return scores.entity_f1 if self.metric == "entity_f1" else scores.weighted_f1

    def score(self, language: str) -> float:
        """The metric in one language, from 0 to 1."""
        value = self.of(self.languages[language])
        assert value is not None, "checked when the file was read"
        return value


class Difference(StageFile):
    """How much more one model scores than another on the same rows; `p` is two-sided."""

    difference: float
    interval_95: tuple[float, float]
    p: float


class Pair(StageFile):
    """Two models compared."""

    model: str
    baseline: str
    mean: Difference
    languages: dict[str, Difference]


class Retention(StageFile):
    """A model's score over the teacher's."""

    ratio: float
    interval_95: tuple[float, float]


class TaskRetention(StageFile):
    """What share of the teacher's score a model keeps; None where the teacher scores 0."""

    mean: Retention | None
    languages: dict[str, Retention | None]


class Comparison(StageFile):
    """metrics/compare/TASK.json."""

    resamples: int
    models: list[str]
    differences: list[Pair]
    retention: dict[str, TaskRetention]

    def over(self, model: str, baseline: str) -> Pair | None:
        """`model` minus `baseline`, None when they were not compared in this order."""
        found = [pair for pair in self.differences if (pair.model, pair.baseline) == (model, baseline)]
        return found[0] if found else None


class MergedStudent(StageFile):
    """metrics/predictions/student_merged/TASK.json: the seeds that were merged, of each group of languages."""

    method: str
    seeds: list[int]
    kept: dict[str, list[int]]


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
