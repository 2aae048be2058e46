"""Make one rival: its folder for each task, its predictions of the test rows, and what it costs.

models/rivals/NAME/TASK      a folder that `distil.predict` reads, of the first seed (LANG below it, where separate)
metrics/predictions/NAME     TASK.csv of all seeds
metrics/distil/rivals        NAME.json: base, form, bytes, dev scores with and without 8 bits, memory and speed
"""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distil.core.errors import UserError
from distil.core.files import atomic_folder, verify_checksums, write_checksums, write_json
from distil.evaluation.config import FewLabelsConfig
from distil.evaluation.few_labels import chooses, known_rows
from distil.evaluation.footprint import FootprintConfig
from distil.evaluation.footprint_worker import disk_bytes
from distil.evaluation.model_names import rival_stage
from distil.evaluation.predictions import write_predictions
from distil.evaluation.rivals import RivalConfig
from distil.finetuning.classifier import Classifier, predict_scores
from distil.finetuning.config import FineTuningConfig
from distil.finetuning.encoding import Encoded, Encoder
from distil.finetuning.saved_models import FinetunedModels, Group, Scored, groups
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.rivals.cutting import keep_pieces, kept_pieces
from distil.rivals.encoders import Training, fine_tuned, load_encoder, open_classifier, write_start
from distil.rivals.formats import Written, write_rival
from distil.rivals.scoring import graph_scores, open_graph, predictions, score_of
from distil.rivals.static import StaticClassifier, fit_static, piece_vectors
from distil.rivals.timing import measure_rival
from distil.runtime.machine import machine
from distil.serving.onnx_export import ExportConfig
from distil.tasks.data import Task

log = logging.getLogger("distil")

STATIC_SEED = 0  # nothing is drawn
TEACHER, TOKENIZER = Path("models/teacher"), Path("models/tokenizer")


class RivalSettings(NamedTuple):
    """What a rival takes of params.yaml beside its own block."""

    languages: list[str]
    mode: str  # joint or separate
    seeds: list[int]
    few_labels: FewLabelsConfig
    finetune: FineTuningConfig
    export: ExportConfig
    footprint: FootprintConfig


class RivalPaths(NamedTuple):
    """Where the results go."""

    models: Path
    predictions: Path
    figures: Path
    scratch: Path


class TaskRows(NamedTuple):
    """The rows of a task in a rival's pieces, by language."""

    train: dict[str, Encoded]
    dev: dict[str, Encoded]
    test: dict[str, Encoded]
    pad_id: int


Made = tuple[int, Group, Classifier | StaticClassifier]  # seed, languages, what it became before it is quantised


class Rival:
    """One block of `rivals:`, opened."""

    def __init__(self, name: str, config: RivalConfig, settings: RivalSettings) -> None:
        """Check what it is made from.

        Raises:
            UserError: no such base, nothing to cut, or files that are not those of their stage.
        """
        self.name, self.config, self.settings = name, config, settings
        self.stage, self.where, self.base = rival_stage(name), f"params.yaml: rivals.{name}", Path(config.base)
        if not self.base.is_dir():
            raise UserError(
                f"{self.where}.base: {self.base}: no such folder; expected one of models/finetuned, models/teacher or "
                "an XLM-R encoder's"
            )
        verify_checksums(TEACHER, "teacher")
        self.ids: np.ndarray | None = None

    def make(self, tasks: list[Task], paths: RivalPaths) -> dict[str, Any]:
        """Write everything; returns the figures of cost.

        Raises:
            UserError: see `FinetunedModels`, `kept_pieces`, `load_encoder`, `fine_tune`.
        """
        found: dict[str, Any] = {}
        rows = 0
        with atomic_folder(paths.models) as models, atomic_folder(paths.predictions) as predicted:
            for task in tasks:
                found[task.name] = self._make_task(task, models / task.name, predicted / f"{task.name}.csv",
                                                   paths.scratch)  # fmt: skip
                rows += found[task.name].pop("rows")
            write_checksums(models)
            first, code = tasks[0], self.settings.languages[0]
            joint = self.settings.mode == "joint"
            timed = measure_rival(
                self.name, models / first.name / ("" if joint else code), TEACHER, first,
                self.settings.languages if joint else [code], self.settings.footprint, self.stage,
            )  # fmt: skip
            write_json(paths.figures, {**self.config.model_dump(), "tasks": found, "machine": machine("onnxruntime"),
                                       "footprint": timed})  # fmt: skip
        return {"rows": rows}

    def _make_task(self, task: Task, out: Path, csv: Path, scratch: Path) -> dict[str, Any]:
        tokenizer = self._tokenizer(task)
        rows = self._rows(task, tokenizer)
        scores: dict[str, dict[int, Scored]] = {code: {} for code in self.settings.languages}
        dev: dict[str, dict[str, float]] = {}
        first: int | None = None
        for seed, group, model in self._models(task, rows, scratch):
            first = seed if first is None else first
            with tempfile.TemporaryDirectory(dir=out.parent) as later:
                folder = out / group.folder if seed == first else Path(later) / "rival"
                folder.mkdir(parents=True)
                if seed == first:
                    dev |= self._dev(model, group, rows, task)
                write_rival(self._written(model, task, group, tokenizer), self.config.form, self.settings.export,
                            folder)  # fmt: skip
                runtime = open_graph(folder)
                transitions = model.transitions if isinstance(model, Classifier) else None
                for code in group.languages:
                    test, count = rows.test[code], len(task.labels)
                    scores[code][seed] = Scored(graph_scores(runtime, test, rows.pad_id, count), transitions)
                    if seed == first:
                        answers = graph_scores(runtime, rows.dev[code], rows.pad_id, count)
                        dev.setdefault(code, {})["rival"] = score_of(Scored(answers, transitions), rows.dev[code],
                                                                     task)  # fmt: skip
            log.info("%s: %s, %s, seed %d done", self.stage, task.name, " ".join(group.languages), seed)
        found = {code: predictions(each, rows.test[code], task) for code, each in scores.items()}
        write_predictions(csv, found, task.labels)
        folders = [path.parent for path in out.rglob("model.onnx")]
        return {"seed": first, "bytes": sum(map(disk_bytes, folders)), "dev": dev,
                "rows": sum(len(each.ids) for each in rows.test.values())}  # fmt: skip

    def _tokenizer(self, task: Task) -> Path:
        """The folder with the rival's tokenizer; finds the kept pieces, too."""
        base = self.base
        if self.config.is_finetuned:
            opened = self._opened(task)
            base = opened.folder / opened.groups[0].run(opened.seeds[0])
        if self.config.vocabulary == "full":
            return base
        self.ids = kept_pieces(TOKENIZER, base, self.where)
        return TOKENIZER

    def _opened(self, task: Task) -> FinetunedModels:
        """The fine-tuned models, every weight as it was written, of this task's labels and languages."""
        opened = FinetunedModels(self.base / task.name)
        for key, expected in (("labels", task.labels), ("languages", self.settings.languages)):
            if opened.manifest[key] != expected:
                raise UserError(
                    f"{opened.folder}/manifest.json: {key}: expected {', '.join(expected)}, found "
                    f"{', '.join(opened.manifest[key])}; run `dvc repro --force {opened.made_by}`"
                )
        return opened

    def _rows(self, task: Task, tokenizer: Path) -> TaskRows:
        encoder, task_rows = Encoder(tokenizer, self.settings.finetune.max_length, self.stage), {}
        for split in ("dev", "test") if self.config.is_finetuned else ("train", "dev", "test"):
            task_rows[split] = {code: encoder.split(task, code, number, split)
                                for number, code in enumerate(self.settings.languages)}  # fmt: skip
        train = {code: rows.take(np.flatnonzero(known_rows(task, code, self.settings.few_labels)))
                 for code, rows in task_rows.get("train", {}).items()}  # fmt: skip
        return TaskRows(train, task_rows["dev"], task_rows["test"], encoder.pad_id)

    def _models(self, task: Task, rows: TaskRows, scratch: Path) -> Iterator[Made]:
        """The rival before it is written, of each seed and group of languages, seed by seed."""
        settings = self.settings
        if self.config.is_finetuned:
            opened = self._opened(task)
            for seed in opened.seeds:
                for group in opened.groups:
                    model = open_classifier(opened.folder / group.run(seed), task, opened.max_length, opened.made_by)
                    if self.ids is not None:
                        keep_pieces(model, self.ids)
                    yield seed, group, model
            return
        parts, encoder = (
            groups(settings.mode, settings.languages),
            load_encoder(self.base, self.config.layers, self.where),
        )
        choosing = {code: each for code, each in rows.dev.items() if chooses(code, settings.few_labels)}
        tokenizer = self.base if self.ids is None else TOKENIZER
        write_start(encoder, self.ids, tokenizer, scratch / "start")
        if self.config.form == "static":
            special = special_ids(load_tokenizer(tokenizer))
            vectors = piece_vectors(encoder, special)
            for group in parts:
                train = [rows.train[code] for code in group.languages]
                dev = {code: choosing[code] for code in group.languages if code in choosing}
                yield STATIC_SEED, group, fit_static(vectors, special, train, dev, task)
            return
        training = Training(task, settings.languages, rows.train, choosing, rows.pad_id, settings.finetune, self.stage)
        yield from fine_tuned(scratch / "start", training, [(s, g) for s in settings.seeds for g in parts], scratch)

    def _dev(self, model: Classifier | StaticClassifier, group: Group, rows: TaskRows, task: Task) -> dict[str, Any]:
        """Dev scores in float32 by language; a static model has no other."""
        if isinstance(model, StaticClassifier):
            return {}
        found = {code: predict_scores(model, rows.dev[code], rows.pad_id) for code in group.languages}
        return {code: {"float32": score_of(Scored(scores, model.transitions), rows.dev[code], task)}
                for code, scores in found.items()}  # fmt: skip

    def _written(self, model: Classifier | StaticClassifier, task: Task, group: Group, tokenizer: Path) -> Written:
        about = {
            "rival": self.name, "task": task.name, "kind": task.kind, "labels": task.labels,
            "languages": group.languages,
            **task.view, "max_length": self.settings.finetune.max_length,
            **self.config.model_dump(),
        }  # fmt: skip
        if isinstance(model, StaticClassifier):
            return Written(model, None, None, tokenizer, {**about, "ngrams": False})
        model = model.cpu()
        about |= {"ngrams": model.ngrams is not None}
        return Written(model.transformer, model.ngrams, model.chain, tokenizer, about)
