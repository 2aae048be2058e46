"""A plausible full set of metrics and manifests, as docs/reference/output-files.md has them, to test the report."""

import copy
import csv
import json
import math
import random
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

from distil.core.files import write_json, write_text
from distil.evaluation.comparison import compare_models
from distil.evaluation.config import EvaluateConfig
from distil.evaluation.counts import Predictions, TagPredictions
from distil.evaluation.model_names import BASELINES, FINE_TUNED, MERGED, MODEL_TITLES, PARTS, models_of
from distil.evaluation.predictions import predictions_file, write_predictions
from distil.evaluation.scores import score
from distil.report.data import cost_file, costed_stages
from tests.support import ROOT

LABELS = ["positive", "neutral", "negative"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
LANGUAGES = ["kin", "swa", "hau", "ibo", "yor"]
# Share of rows that a model knows.
SKILL = {
    "majority": 0.0, "tfidf": 0.55, "teacher": 0.72, "student": 0.66, "student_plain": 0.63, "no_teacher": 0.52,
    "student_transformer": 0.58, "student_linear": 0.7, "teachers": 0.76, "student_start": 0.61,
    "student_masked_lm": 0.58, "student_merged": 0.68,
}  # fmt: skip
SHIFT = {"kin": -0.1, "swa": -0.06, "hau": 0.06, "ibo": 0.08, "yor": 0.0}
RESAMPLES = 500


def write_inputs(
    root: Path,
    *,
    languages: list[str] | None = None,
    tasks: list[str] | None = None,
    tagged: tuple[str, ...] = (),
    synthetic: bool = False,
    seeds: tuple[int, ...] = (1, 2, 3),
    rows: int = 120,
    steps: int = 40,
    skill: dict[str, dict[str, float]] | None = None,
    texts: list[str] | None = None,
    ngrams: bool = False,
    teachers: bool = False,
    linear: bool = False,
    controls: tuple[str, ...] = (),
    merged: tuple[str, ...] = (),
    rivals: dict[str, dict] | None = None,
) -> dict:
    """Write everything that a report reads below `root`; returns the params.

    `tagged` are the tasks of token classification. `skill` overrides the share of rows a model knows, by model and
    language. `texts` come first in every test set. With `ngrams` the student of a text classification has a table,
    with `teachers` it learns from several, with `linear` it has a linear companion.
    `controls` are those of `evaluate.controls`, `merged` the tasks of `evaluate.merge.tasks`. `rivals` are by
    name `base`, `skill`, `bytes` and `speed`, times the teacher's.
    """
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    languages, tasks = languages or LANGUAGES, tasks or ["sentiment"]
    params["languages"] = languages
    block = params["tasks"].pop("sentiment")
    params["tasks"] = {task: copy.deepcopy(block) for task in tasks}
    params["evaluate"] |= {"tasks": tasks, "seeds": list(seeds), "bootstrap_resamples": RESAMPLES}
    params["evaluate"]["controls"] = list(controls)
    params["evaluate"]["linear_companion"]["tasks"] = tasks if linear else []
    params["evaluate"]["merge"]["tasks"] = list(merged)
    rivals = rivals or {}
    block = {"layers": 0, "vocabulary": "full", "form": "dynamic"}
    params["rivals"] = {name: {**block, "base": about["base"]} for name, about in rivals.items()}
    scoring = EvaluateConfig.model_validate(params["evaluate"])
    if not synthetic:
        params["teacher"]["source"] = params["corpus"]["source"] = "hub"
    write_text(root / "params.yaml", yaml.safe_dump(params, sort_keys=False, allow_unicode=True))
    write_models(root, languages, synthetic)
    write_distil(root, languages, synthetic, steps)
    plain = {code: {"student_accuracy": 0.31, "student_nll": 3.92} for code in languages}
    write_json(root / "metrics/no_teacher/summary.json", {"steps": 400, "tokens": 31_872_024, "heldout": plain})
    for control in controls:
        summary = {"steps": 0, "tokens": 0, "heldout": plain}
        write_json(root / f"metrics/distil/controls/{control}/summary.json", summary)
    write_footprint(root)
    for name, about in rivals.items():
        write_rival(root, name, {**params["rivals"][name], **about}, languages, tasks)
    write_export(root, languages, tasks)
    for task in tasks:
        write = write_tagged if task in tagged else write_texts
        known = {name: dict.fromkeys(languages, about["skill"]) for name, about in rivals.items()}
        found, labels = write(root, task, languages, synthetic, seeds, rows, {**(skill or {}), **known}, texts or [])
        scored = [
            *models_of(scoring),
            *(["student_transformer"] if ngrams else []),
            *(["teachers"] if teachers else []),
            *(["student_linear"] if linear else []),
            *(["student_merged"] if task in merged else []),
            *rivals,
        ]
        found = {model: each for model, each in found.items() if model in scored}
        write_scored(root, task, labels, found)
    for task in merged:
        about = {
            "members": "all",
            "method": "linear",
            "seeds": list(seeds),
            "kept": {"seed-0": list(seeds)[:2]},
            "dev": {},
        }
        write_json(root / f"metrics/predictions/student_merged/{task}.json", about)
    for at, stage in enumerate(costed_stages(scoring, [f"rival@{name}" for name in rivals])):
        cost = {"seconds": 3.5 * (at + 1) ** 2, "peak_memory_mib": 310 + 173 * at, "machine": "x86_64, 2 CPU cores"}
        if stage in ("distil", "cache_teacher"):
            cost |= {"tokens_per_second": 51234.5, "data_wait_share": 0.0123}
        write_json(root / "metrics" / cost_file(stage), cost)
    return params


def write_models(root: Path, languages: list[str], synthetic: bool) -> None:
    """Manifests of the corpus, the teacher and the tokenizer."""
    corpus = {"files": [], "lines_read": 81_022, "lines": 79_610, "words": 1_048_383, "bytes": 6_567_822}
    corpus["dropped"] = {"too_short": 812, "repeated": 577, "held_out": 23}
    origin = "the project's own sentences" if synthetic else "HuggingFaceFW/fineweb-2"
    write_json(
        root / "data/raw/manifest.json",
        {"source": "sample" if synthetic else "hub", "synthetic": synthetic, "origin": origin,
         "languages": {code: corpus for code in languages}},
    )  # fmt: skip
    write_json(
        root / "models/teacher/manifest.json",
        {"source": "train" if synthetic else "hub", "id": "sample teacher" if synthetic else "Davlan/afro-xlmr-large",
         "revision": None if synthetic else "8d7c9c1f0a6f3e4b5c6d7e8f9a0b1c2d3e4f5a6b", "synthetic": synthetic,
         "parameters": 559_890_432, "num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16,
         "vocabulary": 250_002, "weights_sha256": "ab" * 32, "tokenizer_sha256": "cd" * 32},
    )  # fmt: skip
    piece = {"coverage": 0.9991, "pieces_seen": 21_310, "pieces_per_word_teacher": 1.712, "pieces_per_word": 1.731}
    write_json(
        root / "models/tokenizer/manifest.json",
        {"keep": "coverage", "coverage": 0.999, "pieces": 32_768, "teacher_pieces": 250_002,
         "tokenizer_sha256": "ef" * 32, "teacher_tokenizer_sha256": "cd" * 32,
         "languages": {code: piece for code in languages}},
    )  # fmt: skip


def write_distil(root: Path, languages: list[str], synthetic: bool, steps: int) -> None:
    """summary.json, train.csv and heldout.csv."""
    heldout = {
        code: {"positions": 40_000 + 1000 * at, "kl": 0.81 + 0.07 * at, "attention": 0.00021 + 0.00002 * at,
               "student_accuracy": 0.412 - 0.02 * at, "teacher_accuracy": 0.583 - 0.02 * at, "student_nll": 3.11}
        for at, code in enumerate(languages)
    }  # fmt: skip
    teacher = {"id": "sample teacher" if synthetic else "Davlan/afro-xlmr-large", "revision": None,
               "synthetic": synthetic, "parameters": 559_890_432, "embedding_parameters": 256_002_048,
               "num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16,
               "vocabulary": 250_002}  # fmt: skip
    student = {"parameters": 13_127_936, "embedding_parameters": 8_388_608, "body_parameters": 4_739_328,
               "num_hidden_layers": 6, "hidden_size": 256, "num_attention_heads": 8, "vocabulary": 32_768}  # fmt: skip
    cache = {"logits": "sampled", "entries": 24, "bytes": 812_345_678, "tokens": 5_312_004, "bytes_per_token": 152.9,
             "positions": 796_800}  # fmt: skip
    write_json(
        root / "metrics/distil/summary.json",
        {"key": "0123abcd" * 8, "steps": steps * 10, "epochs": 6, "tokens": 31_872_024, "best_step": steps * 9,
         "stopped_early": False, "student": student, "teacher": teacher, "cache": cache, "heldout": heldout},
    )  # fmt: skip
    terms = [f"{code}.{term}" for code in languages for term in ("logit_kd", "attention")]
    chance = random.Random(3)
    with _writer(root / "metrics/distil/train.csv") as rows:
        names = [
            "step",
            "epoch",
            "tokens",
            "learning_rate",
            "loss",
            "grad_norm",
            "skipped",
            "logit_kd",
            "attention",
            "masked_lm",
        ]
        rows.writerow([*names, *terms])
        for step in range(steps):
            fall = math.exp(-4 * step / steps)
            values = [
                (1 + 30 * fall + 0.2 * at) * chance.uniform(0.9, 1.1) * (1 if at % 2 == 0 else 0.0004)
                for at in range(len(terms))
            ]
            values = ["" if at == step % 10 else f"{value:.6g}" for at, value in enumerate(values)]
            logit, attention = 1 + 30 * fall, 0.0004 + 0.01 * fall
            row = [
                step * 10,
                step // 10,
                step * 2048,
                0.001,
                (logit + attention) / 2,
                1 + fall,
                0,
                logit,
                attention,
                "",
            ]
            rows.writerow([*row, *values])
    with _writer(root / "metrics/distil/heldout.csv") as rows:
        names = [f"{code}.{name}" for code in languages for name in ("kl", "attention", "accuracy")]
        rows.writerow(["step", "loss", *names])
        for look in range(0, steps + 1, 5):
            fall = math.exp(-3 * look / steps)
            figures = [[0.8 + 4 * fall + 0.1 * at, 0.0003, 0.4 - 0.3 * fall] for at in range(len(languages))]
            rows.writerow([look * 10, 1 + 2 * fall, *(figure for each in figures for figure in each)])


def write_footprint(root: Path) -> None:
    """metrics/footprint.json."""
    speed = {"tokens": 16.0, "milliseconds": 61.2, "tokens_per_second": 1210.0, "texts_per_second": 75.6}
    quick = {"tokens": 16.0, "milliseconds": 1.9, "tokens_per_second": 52_100.0, "texts_per_second": 3256.0}
    sizes = {"empty_memory_mib": 402, "parameters": 1, "embedding_parameters": 1, "body_parameters": 0}
    models = {
        "teacher": {**sizes, "disk_bytes": 2_262_000_000, "peak_memory_mib": 2714, "short": speed, "long": speed},
        "student": {**sizes, "disk_bytes": 57_200_000, "peak_memory_mib": 488, "short": quick, "long": quick},
    }
    write_json(
        root / "metrics/footprint.json",
        {"machine": "x86_64, 2 CPU cores", "threads": 1, "rounds": 7, "batch_size": 32,
         "words": {"short": 10, "long": 80}, "models": models},
    )  # fmt: skip


def write_rival(root: Path, name: str, about: dict, languages: list[str], tasks: list[str]) -> None:
    """metrics/distil/rivals/NAME.json."""
    speed = {"tokens": 16.0, "milliseconds": 60.0, "tokens_per_second": 1200.0, "texts_per_second": 75.0}
    quick = {name: value * (1 / about["speed"] if name == "milliseconds" else about["speed"])
             for name, value in speed.items()} | {"tokens": 16.0}  # fmt: skip
    sizes = {"disk_bytes": about["bytes"], "empty_memory_mib": 400, "peak_memory_mib": 440}
    models = {"teacher": {**sizes, "short": speed, "long": speed}, name: {**sizes, "short": quick, "long": quick}}
    dev = {code: {"float32": 0.7, "rival": 0.7 - about.get("lost", 0.002)} for code in languages}
    write_json(root / f"metrics/distil/rivals/{name}.json", {
        **{key: about[key] for key in ("base", "layers", "vocabulary", "form")}, "machine": "x86_64",
        "tasks": {task: {"seed": 1, "bytes": about["bytes"], "dev": dev} for task in tasks},
        "footprint": {"models": models},
    })  # fmt: skip


def write_export(root: Path, languages: list[str], tasks: list[str], rates: dict | None = None) -> None:
    """metrics/export.json; `rates` are tokens/s by number of threads and model."""
    drops = {code: 0.0031 for code in languages}
    own = {"languages": {code: {"weighted_f1_drop_int8": drop} for code, drop in drops.items()}}
    write_json(
        root / "metrics/export.json",
        {"fp32_bytes": 53_400_000, "int8_bytes": 14_100_000, "int8_folder_bytes": 16_300_000,
         "speedup_vs_teacher_fp32": 43.2, "speedup_vs_teacher_fp32_all_threads": 39.4,
         "tokens_per_second": rates or {"1": {"teacher_fp32": 1210.0, "student_fp32": 33_000.0,
                                              "student_int8": 52_300.0},
                                        "2": {"teacher_fp32": 2280.0, "student_fp32": 61_000.0,
                                              "student_int8": 89_800.0}},
         "max_abs_logit_diff_fp32": 0.0000021, "weighted_f1_drop_int8": drops, "serving_peak_mb": 96.0,
         "models": {task: own for task in tasks} | {"masked_lm": {"languages": {}}}},
    )  # fmt: skip


def _manifest(root: Path, task: str, kind: str, labels: list[str], languages: list[str], synthetic: bool, rows: int):
    classes = ["PER", "LOC"] if labels == TAGS else labels
    split = {
        "rows_read": rows + 9,
        "rows": rows,
        "dropped": {"empty": 2, "unknown_label": 7},
        "converted": {},
        "unknown_labels": {},
        "classes": dict.fromkeys(classes, rows),
        "conflicts": {"texts": 0, "rows": 0},
    }
    scheme = {"scheme": "IOB2", "suffix": False, "entities": 3 * rows, "irregular": 0} if labels == TAGS else None
    overlap = {"dev_in_train": 32, "test_in_train": 27, "test_in_dev": 8}
    write_json(
        root / f"data/tasks/{task}/manifest.json",
        {"task": task, "kind": kind, "labels": labels, "source": "sample", "synthetic": synthetic,
         "normalised": kind == "text_classification", "same_rows": [], "tag_scheme": scheme,
         "languages": {code: {"train": split, "dev": split, "test": split, "overlap": overlap} for code in languages}},
    )  # fmt: skip


def _knows(model: str, code: str, skill: dict[str, dict[str, float]]) -> float:
    usual = SKILL.get(model, 0.0)
    return skill.get(model, {}).get(code, usual + (SHIFT[code] if usual else 0))


def _seeds(model: str, seeds: tuple[int, ...]) -> tuple[int, ...]:
    return (0,) if model in (*BASELINES, MERGED) else seeds


def write_texts(root, task, languages, synthetic, seeds, rows, skill, texts):
    """Test texts and manifest of a text classification; returns its predictions by model and language."""
    chance = random.Random(7)
    _manifest(root, task, "text_classification", LABELS, languages, synthetic, rows)
    gold = {code: [chance.choices(LABELS, (3, 4, 3))[0] for _ in range(rows)] for code in languages}
    for code in languages:
        said = [*texts, *(f"umunsi mwiza cyane kuri twese nomero {row}" for row in range(len(texts), rows))]
        lines = [json.dumps({"text": text, "label": label}) for text, label in zip(said, gold[code], strict=True)]
        write_text(root / f"data/tasks/{task}/{code}/test.jsonl", "\n".join(lines) + "\n")
    found = {model: {} for model in dict.fromkeys((*BASELINES, *FINE_TUNED, *PARTS, *skill))}
    for model, by_language in found.items():
        for code in languages:
            knows = _knows(model, code, skill)
            said = {
                seed: np.array([LABELS.index(label) if chance.random() < knows else 1 if model == "majority"
                                else chance.randrange(3) for label in gold[code]])
                for seed in _seeds(model, seeds)
            }  # fmt: skip
            right = np.array([LABELS.index(label) for label in gold[code]])
            by_language[code] = Predictions(right, said, 3302, np.arange(rows) < 27)
    return found, LABELS


def write_tagged(root, task, languages, synthetic, seeds, rows, skill, texts):
    """As `write_texts`, of a token classification; `texts` play no part."""
    chance = random.Random(8)
    _manifest(root, task, "token_classification", TAGS, languages, synthetic, rows)
    gold = {}
    for code in languages:
        gold[code] = [[*chance.choice((["B-PER", "I-PER"], ["B-LOC"], ["O"])), "O", "O"] for _ in range(rows)]
        lines = [
            json.dumps({"tokens": [f"ijambo{at}" for at in range(len(tags))], "tags": tags}) for tags in gold[code]
        ]
        write_text(root / f"data/tasks/{task}/{code}/test.jsonl", "\n".join(lines) + "\n")
    found = {model: {} for model in dict.fromkeys((*BASELINES, *FINE_TUNED, MERGED, "teachers", *skill))}
    for model, by_language in found.items():
        for code in languages:
            knows = _knows(model, code, skill)
            said = {
                seed: [[tag if chance.random() < knows else chance.choice(TAGS) for tag in tags] for tags in gold[code]]
                for seed in _seeds(model, seeds)
            }
            by_language[code] = TagPredictions(gold[code], said, 2100, np.zeros(rows, np.bool_))
    return found, TAGS


def write_scored(root: Path, task: str, labels: list[str], found: dict) -> None:
    """Scores, predictions and comparisons, by the project's own code."""
    kind = "token_classification" if labels == TAGS else "text_classification"
    for model, by_language in found.items():
        write_predictions(predictions_file(root, model, task), by_language, labels)
        scores = score(model, task, kind, labels, "joint", by_language, RESAMPLES)
        write_json(root / f"metrics/evaluate/{model}/{task}.json", scores)
    order = [
        *(model for model in MODEL_TITLES if model in found),
        *(each for each in found if each not in MODEL_TITLES),
    ]
    by_language = {code: {model: found[model][code] for model in order} for code in next(iter(found.values()))}
    write_json(root / f"metrics/compare/{task}.json", compare_models(task, kind, labels, by_language, RESAMPLES))


@contextmanager
def _writer(path: Path):
    """A CSV file to write rows to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        yield csv.writer(stream, lineterminator="\n")
