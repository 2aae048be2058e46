"""All data of a report, read from the metrics and manifests on disk into one checked structure.

The formats are those of docs/internals/design.md. Files are looked up for the languages and tasks of params.yaml, never
by listing a folder: a file left over from a removed language is not read. sections.py makes the tables, html.py the
page, markdown.py the Markdown, model_card.py the card.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from distil.core.errors import UserError
from distil.core.files import verify_checksums
from distil.core.languages import language
from distil.core.params import load_languages, read_params
from distil.evaluation.config import EvaluateConfig, load_evaluate
from distil.evaluation.controls import finetune_stage, is_left_over
from distil.evaluation.decoders import decoders_of
from distil.evaluation.model_names import (
    MERGED,
    fine_tuned_models,
    models_of,
    predictions_stage,
    scored_models,
)
from distil.evaluation.optional_models import names_of, optional_models
from distil.evaluation.predictions import ByLanguage
from distil.evaluation.rivals import rivals_of
from distil.evaluation.task_predictions import read_task_predictions, read_texts
from distil.report.disagreement import Disagreement, disagreement
from distil.report.inputs.manifests import Corpus, PlainSummary, StageCost, Summary, Teacher, Tokenizer
from distil.report.inputs.rivals import RivalFigures, read_rivals
from distil.report.inputs.scores import Comparison, MergedStudent, TaskScores
from distil.report.inputs.speed import Export, Footprint
from distil.report.inputs.stage_file import read_stage_file
from distil.report.inputs.tasks import TaskData

SPLITS = ("train", "dev", "test")
PACKAGES = (
    "accelerate", "datasets", "dvc", "matplotlib", "mlflow", "numpy", "scikit-learn", "sentencepiece", "tokenizers",
    "torch", "transformers",
)  # fmt: skip


Curve = dict[str, list[float | None]]


class ScoreSource(Protocol):
    """What the tables of scores need of a report."""

    @property
    def languages(self) -> Sequence[str]:
        """Codes in the order of tables."""
        ...

    @property
    def models(self) -> Sequence[str]:
        """Names in the order of tables."""
        ...

    @property
    def scores(self) -> Mapping[str, Mapping[str, TaskScores]]:
        """By task and model."""
        ...

    @property
    def comparisons(self) -> Mapping[str, Comparison]:
        """By task."""
        ...


@dataclass(frozen=True)
class Report:
    """All that is reported. Dicts by task, model, language and stage are in the order of tables.

    `models` are those of every task, baselines among them; a task's tables have those of its `scores`. `controls` are
    those of `evaluate.controls`, `rivals` those of `rivals:`, with a table of their own.
    """

    params: dict[str, Any]
    languages: list[str]
    tasks: list[str]
    models: list[str]
    seeds: list[int]
    summary: Summary
    without_teacher: PlainSummary
    controls: dict[str, PlainSummary]
    train: Curve
    heldout: Curve
    corpus: Corpus
    teacher: Teacher
    tokenizer: Tokenizer
    task_data: dict[str, TaskData]
    scores: dict[str, dict[str, TaskScores]]
    comparisons: dict[str, Comparison]
    disagreements: dict[str, dict[str, Disagreement]]
    merged: dict[str, MergedStudent]
    footprint: Footprint
    export: Export
    rivals: dict[str, RivalFigures]
    rival_scores: dict[str, dict[str, TaskScores]]
    decoder_scores: dict[str, dict[str, TaskScores]]
    costs: dict[str, StageCost]
    versions: dict[str, str]

    @property
    def synthetic(self) -> list[str]:
        """What of this is made up: none, or some of text, teacher and the tasks' labels."""
        made_up = [f"the labelled data of {task}" for task in self.tasks if self.task_data[task].synthetic]
        made_up = (["the teacher"] if self.teacher.synthetic else []) + made_up
        return (["the text"] if self.corpus.synthetic else []) + made_up


def language_name(code: str) -> str:
    """Kinyarwanda for kin."""
    return language(code).name


def load_report(root: Path = Path()) -> Report:
    """Read every file that a report needs, below `root`.

    Raises:
        UserError: a file is missing, damaged, or lacks a language of params.yaml; names the stage to run again.
    """
    params = read_params(root / "params.yaml")
    languages = load_languages(root / "params.yaml")
    scoring = load_evaluate(root / "params.yaml")
    tasks, models, metrics = list(scoring.tasks), models_of(scoring), root / "metrics"
    rivals, decoders = (kind(tasks, root / "params.yaml") for kind in (rivals_of, decoders_of))
    optional = optional_models(tasks, root / "params.yaml")
    for folder, stage in (("data/raw", "corpus"), ("models/teacher", "teacher"), ("models/tokenizer", "vocabulary")):
        verify_checksums(root / folder, stage, "manifest.json")
    for task in tasks:
        verify_checksums(root / "data/tasks" / task, f"tasks@{task}")
    return Report(
        params=params,
        languages=languages,
        tasks=tasks,
        models=models,
        seeds=list(scoring.seeds),
        summary=read_stage_file(metrics / "distil/summary.json", Summary, "distil", languages, "heldout"),
        without_teacher=read_stage_file(
            metrics / "no_teacher/summary.json", PlainSummary, "no_teacher", languages, "heldout"
        ),
        controls={
            control: read_stage_file(
                metrics / f"distil/controls/{control}/summary.json",
                PlainSummary,
                f"control@{control}",
                languages,
                "heldout",
            )
            for control in scoring.controls
        },  # fmt: skip
        train=read_curve(metrics / "distil/train.csv", "distil"),
        heldout=read_curve(metrics / "distil/heldout.csv", "distil"),
        corpus=read_stage_file(root / "data/raw/manifest.json", Corpus, "corpus", languages),
        teacher=read_stage_file(root / "models/teacher/manifest.json", Teacher, "teacher"),
        tokenizer=read_stage_file(root / "models/tokenizer/manifest.json", Tokenizer, "vocabulary", languages),
        task_data={
            task: read_stage_file(root / f"data/tasks/{task}/manifest.json", TaskData, f"tasks@{task}", languages)
            for task in tasks
        },
        scores={task: _scores_of(metrics, scored_models(metrics, models, task), task, languages) for task in tasks},
        comparisons={task: _comparison(metrics, task, [*models, *optional[task]], languages) for task in tasks},
        disagreements={task: _disagreements(root, task, languages) for task in tasks},
        merged={
            task: read_stage_file(
                metrics / f"predictions/{MERGED}/{task}.json", MergedStudent, predictions_stage(MERGED, task)
            )
            for task in scoring.merge.tasks
        },  # fmt: skip
        footprint=read_stage_file(metrics / "footprint.json", Footprint, "footprint", ["teacher", "student"], "models"),
        export=read_stage_file(metrics / "export.json", Export, "export"),
        rivals=read_rivals(metrics, list(names_of(rivals)), tasks),
        rival_scores={task: _scores_of(metrics, rivals[task], task, languages) for task in tasks},
        decoder_scores={task: _scores_of(metrics, decoders[task], task, languages) for task in tasks},
        costs=_costs(metrics, scoring, list(names_of(optional).values())),
        versions=package_versions(),
    )


def costed_stages(scoring: EvaluateConfig, optional: Sequence[str] = ()) -> list[str]:
    """Names of the stages whose cost is always there, in the order in which they run."""
    tasks = scoring.tasks
    return [
        *(f"tasks@{task}" for task in tasks),
        *("corpus", "teacher", "vocabulary", "tokenize", "cache_teacher", "distil", "no_teacher"),
        *(f"control@{control}" for control in scoring.controls),
        *(f"mix_teachers@{task}" for task in tasks),
        *(finetune_stage(model, task) for task in tasks for model in fine_tuned_models(scoring)),
        *(f"{stage}@{task}" for stage, asked in scoring.optional_stages().items() for task in asked),
        *(f"baselines@{task}" for task in tasks),
        *optional,
        *("evaluate", "footprint", "export"),
    ]


def cost_file(stage: str) -> str:
    """Where a stage writes its cost, below metrics/."""
    return f"cost/{stage.replace('@', '-')}.json"


def _costs(metrics: Path, scoring: EvaluateConfig, optional: Sequence[str]) -> dict[str, StageCost]:
    """What every stage cost: those that always run, then others by name; left-overs of other settings passed over."""
    tasks, known = scoring.tasks, {cost_file(stage): stage for stage in costed_stages(scoring, optional)}
    costs = {stage: read_stage_file(metrics / file, StageCost, stage) for file, stage in known.items()}
    for path in sorted((metrics / "cost").glob("*.json")):
        if is_left_over(path.stem, scoring.controls, scoring.optional_stages()):
            continue
        of_a_task = "-" in path.stem
        if f"cost/{path.name}" not in known and (not of_a_task or path.stem.endswith(tuple(f"-{t}" for t in tasks))):
            costs[path.stem] = read_stage_file(path, StageCost, path.stem)
    return costs


def _scores_of(metrics: Path, models: Iterable[str], task: str, languages: list[str]) -> dict[str, TaskScores]:
    return {
        model: read_stage_file(metrics / f"evaluate/{model}/{task}.json", TaskScores, "evaluate", languages)
        for model in models
    }


def _comparison(metrics: Path, task: str, models: list[str], languages: list[str]) -> Comparison:
    path = metrics / f"compare/{task}.json"
    found = read_stage_file(path, Comparison, "evaluate")
    lacking = [model for model in models if model not in found.models]
    lacking += [code for code in languages if any(code not in pair.languages for pair in found.differences)]
    if lacking:
        raise UserError(f"{path}: lacks {lacking[0]!r}, which params.yaml lists; run `dvc repro --force evaluate`")
    return found


def _disagreements(root: Path, task: str, languages: list[str]) -> dict[str, Disagreement]:
    """Teacher and student row by row."""
    read = read_task_predictions(root, task, ["teacher", "student"], languages)
    found = {}
    for code in languages:
        path = root / "data/tasks" / task / code / "test.jsonl"
        texts = read_texts(path, f"tasks@{task}")
        _check_rows(read["student"], code, len(texts), path, task)
        found[code] = disagreement(read["teacher"][code], read["student"][code], texts)
    return found


def _check_rows(student: ByLanguage, code: str, rows: int, path: Path, task: str) -> None:
    answers = next(iter(student[code].values()))
    if len(answers.gold) != rows:
        raise UserError(
            f"{path}: expected the {len(answers.gold)} rows that the student was scored on, found {rows}; run "
            f"`dvc repro --force {predictions_stage('student', task)}`"
        )


def read_curve(path: Path, stage: str) -> Curve:
    """Columns of a CSV of numbers by name; an empty cell is None. One is `step`.

    Raises:
        UserError: missing, without rows, or a cell is no number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        if not rows or "step" not in rows[0]:
            raise ValueError("no rows with a step")
        return {name: [float(row[name]) if row[name] else None for row in rows] for name in rows[0]}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro {stage}`") from None
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{path}: damaged ({error}); run `dvc repro --force {stage}`") from None


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that decide results."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
