"""Everything that a report tells, gathered from the metrics and manifests on disk into one checked structure.

The formats are those of docs/design.md. Files are looked up for the languages and tasks of params.yaml, never by
listing a folder: a file left over from a language that was taken out is not read. report_tables.py makes tables of
the structure, report_html.py the page, model_card.py the card.
"""

import csv
import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ConfigDict, ValidationError

from distil.errors import UserError
from distil.files import read_json
from distil.languages import language
from distil.params import Params, load_languages, load_params, read_params
from distil.predictions import (
    Disagreement,
    Ratio,
    check_pairs,
    disagreement,
    ratio_interval,
    read_predictions,
    read_texts,
)
from distil.report_files import Corpus, MadeFile, StageCost, Summary, TaskData, TaskScores, Teacher, Tokenizer

MODELS = ("majority", "tfidf", "teacher", "student")
SPLITS = ("train", "dev", "test")
PACKAGES = (
    "accelerate", "datasets", "dvc", "matplotlib", "mlflow", "numpy", "scikit-learn", "sentencepiece", "tokenizers",
    "torch", "transformers",
)  # fmt: skip


class EvaluateParams(Params):
    """What a report needs of the section `evaluate:`; the evaluate stage checks the whole of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tasks: list[str]
    seeds: list[int]
    bootstrap_resamples: int


Curve = dict[str, list[float | None]]


@dataclass(frozen=True)
class Report:
    """All that is reported. Dicts by task, model, language and stage are in the order of tables."""

    params: dict[str, Any]
    languages: list[str]
    tasks: list[str]
    seeds: list[int]
    summary: Summary
    train: Curve
    heldout: Curve
    corpus: Corpus
    teacher: Teacher
    tokenizer: Tokenizer
    task_data: dict[str, TaskData]
    scores: dict[str, dict[str, TaskScores]]
    retention: dict[str, dict[str, Ratio | None]]
    disagreements: dict[str, dict[str, Disagreement]]
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


F = TypeVar("F", bound=MadeFile)


def gather(root: Path = Path()) -> Report:
    """Read every file that a report needs, below `root`.

    Raises:
        UserError: a file is missing, damaged, or lacks a language of params.yaml; names the stage to run again.
    """
    params = read_params(root / "params.yaml")
    languages = load_languages(root / "params.yaml")
    evaluate = load_params("evaluate", EvaluateParams, root / "params.yaml")
    tasks, metrics = evaluate.tasks, root / "metrics"
    scores = {task: _scores(root, task, languages) for task in tasks}
    compared = {task: _compare(root, task, languages, scores[task], evaluate.bootstrap_resamples) for task in tasks}
    return Report(
        params=params,
        languages=languages,
        tasks=tasks,
        seeds=evaluate.seeds,
        summary=_read(metrics / "distil/summary.json", Summary, "distil", languages, "heldout"),
        train=read_curve(metrics / "distil/train.csv", "distil"),
        heldout=read_curve(metrics / "distil/heldout.csv", "distil"),
        corpus=_read(root / "data/raw/manifest.json", Corpus, "corpus", languages),
        teacher=_read(root / "models/teacher/manifest.json", Teacher, "teacher"),
        tokenizer=_read(root / "models/tokenizer/manifest.json", Tokenizer, "vocabulary", languages),
        task_data={
            task: _read(root / f"data/tasks/{task}/manifest.json", TaskData, f"tasks@{task}", languages)
            for task in tasks
        },
        scores=scores,
        retention={task: {code: ratio for code, (ratio, _) in compared[task].items()} for task in tasks},
        disagreements={task: {code: rows for code, (_, rows) in compared[task].items()} for task in tasks},
        costs={stage: _read(metrics / cost_file(stage), StageCost, stage) for stage in costed_stages(tasks)},
        versions=package_versions(),
    )


def costed_stages(tasks: list[str]) -> list[str]:
    """Names of the stages whose cost is reported, in the order in which they run."""
    return [
        *(f"tasks@{task}" for task in tasks),
        *("corpus", "teacher", "vocabulary", "tokenize", "cache_teacher", "distil"),
        *(f"baselines@{task}" for task in tasks),
        *(f"evaluate@{model}-{task}" for task in tasks for model in ("teacher", "student")),
    ]


def cost_file(stage: str) -> str:
    """Where a stage writes its cost, below metrics/."""
    return f"cost/{stage.replace('@', '-')}.json"


def _stage(model: str, task: str) -> str:
    return f"baselines@{task}" if model in ("majority", "tfidf") else f"evaluate@{model}-{task}"


def _read(path: Path, kind: type[F], stage: str, languages: list[str] | None = None, key: str = "languages") -> F:
    """A checked file. With `languages`, its mapping `key` must name each of them."""
    again = f"run `dvc repro --force {stage}`"
    try:
        value = kind.model_validate(read_json(path, stage))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the whole file"
        raise UserError(f"{path}: {where}: {fault['msg']}; {again}") from None
    for code in languages or []:
        if code not in getattr(value, key):
            raise UserError(f"{path}: {key} lacks {code!r}, which params.yaml lists; {again}")
    return value


def _scores(root: Path, task: str, languages: list[str]) -> dict[str, TaskScores]:
    folder = root / "metrics/evaluate"
    return {
        model: _read(folder / model / f"{task}.json", TaskScores, _stage(model, task), languages) for model in MODELS
    }


def _compare(
    root: Path, task: str, languages: list[str], scores: dict[str, TaskScores], resamples: int
) -> dict[str, tuple[Ratio | None, Disagreement]]:
    """Teacher and student row by row: their ratio (None when the teacher scores 0), and where they disagree."""
    folder = root / "metrics/predictions"
    teacher, student = (
        read_predictions(folder / model / f"{task}.csv", _stage(model, task)) for model in ("teacher", "student")
    )
    compared: dict[str, tuple[Ratio | None, Disagreement]] = {}
    for code in languages:
        texts = read_texts(root / "data/tasks" / task / code / "test.jsonl", f"tasks@{task}")
        check_pairs(teacher, student, code, len(texts), str(folder / "student" / f"{task}.csv"))
        below, above = scores["teacher"].score(code), scores["student"].score(code)
        ratio = None
        if below > 0:
            rng = np.random.default_rng(0)  # as behind the scores' own intervals
            ratio = Ratio(above / below, *ratio_interval(teacher, student, code, resamples, rng))
        compared[code] = ratio, disagreement(teacher, student, code, texts)
    return compared


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


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """{"loss.alpha": "0.5", ...} of nested sections; lists in one line as JSON."""
    if not isinstance(value, dict):
        return {prefix: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}
    parts = [flat(inner, f"{prefix}.{name}" if prefix else str(name)) for name, inner in value.items()]
    return {name: text for part in parts for name, text in part.items()}
