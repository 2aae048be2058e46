"""What the stages evaluate and merge_student wrote, as far as a report needs it, checked."""

from typing import Literal

from pydantic import model_validator

from distil.report.inputs.stage_file import StageFile


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
