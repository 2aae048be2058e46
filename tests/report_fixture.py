"""A plausible full set of metrics and manifests, as docs/design.md describes them, for the tests of the report."""

import copy
import csv
import json
import math
import random
from contextlib import contextmanager
from pathlib import Path

import yaml

from distil.files import write_json, write_text
from distil.report import cost_file, costed_stages

ROOT = Path(__file__).parents[1]
LABELS = ["positive", "neutral", "negative"]
LANGUAGES = ["kin", "swa", "hau", "ibo", "yor"]
SKILL = {"majority": 0.0, "tfidf": 0.55, "teacher": 0.72, "student": 0.66}  # share of rows that a model knows
SHIFT = {"kin": -0.1, "swa": -0.06, "hau": 0.06, "ibo": 0.08, "yor": 0.0}


def write_inputs(
    root: Path,
    *,
    languages: list[str] | None = None,
    tasks: list[str] | None = None,
    synthetic: bool = False,
    seeds: tuple[int, ...] = (1, 2, 3),
    rows: int = 120,
    steps: int = 40,
    skill: dict[str, dict[str, float]] | None = None,
    texts: list[str] | None = None,
) -> dict:
    """Write everything that a report reads below `root`; returns the params.

    `skill` overrides the share of rows a model knows, by model and language. `texts` come first in every test set.
    """
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    languages, tasks = languages or LANGUAGES, tasks or ["sentiment"]
    params["languages"] = languages
    block = params["tasks"].pop("sentiment")
    params["tasks"] = {task: copy.deepcopy(block) for task in tasks}
    params["evaluate"] |= {"tasks": tasks, "seeds": list(seeds), "bootstrap_resamples": 500}
    if not synthetic:
        params["teacher"]["source"] = params["corpus"]["source"] = "hub"
    write_text(root / "params.yaml", yaml.safe_dump(params, sort_keys=False, allow_unicode=True))
    write_models(root, languages, synthetic)
    write_distil(root, languages, synthetic, steps)
    for task in tasks:
        write_task(root, task, languages, synthetic, seeds, rows, skill or {}, texts or [])
    for at, stage in enumerate(costed_stages(tasks)):
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
        names = ["step", "epoch", "tokens", "learning_rate", "loss", "logit_kd", "attention", "masked_lm"]
        rows.writerow([*names, *terms])
        for step in range(steps):
            fall = math.exp(-4 * step / steps)
            values = [
                (1 + 30 * fall + 0.2 * at) * chance.uniform(0.9, 1.1) * (1 if at % 2 == 0 else 0.0004)
                for at in range(len(terms))
            ]
            values = ["" if at == step % 10 else f"{value:.6g}" for at, value in enumerate(values)]
            logit, attention = 1 + 30 * fall, 0.0004 + 0.01 * fall
            row = [step * 10, step // 10, step * 2048, 0.001, (logit + attention) / 2, logit, attention, ""]
            rows.writerow([*row, *values])
    with _writer(root / "metrics/distil/heldout.csv") as rows:
        names = [f"{code}.{name}" for code in languages for name in ("kl", "attention", "accuracy")]
        rows.writerow(["step", "loss", *names])
        for look in range(0, steps + 1, 5):
            fall = math.exp(-3 * look / steps)
            figures = [[0.8 + 4 * fall + 0.1 * at, 0.0003, 0.4 - 0.3 * fall] for at in range(len(languages))]
            rows.writerow([look * 10, 1 + 2 * fall, *(figure for each in figures for figure in each)])


def write_task(
    root: Path, task: str, languages: list[str], synthetic: bool, seeds: tuple[int, ...], rows: int,
    skill: dict[str, dict[str, float]], texts: list[str],
) -> None:  # fmt: skip
    """Test texts, manifest, scores and predictions of a task; the scores are those of the predictions."""
    chance = random.Random(7)
    split = {"rows_read": rows + 9, "rows": rows, "dropped": {"empty": 2, "unknown_label": 7}}
    overlap = {"dev_in_train": 32, "test_in_train": 27, "test_in_dev": 8}
    write_json(
        root / f"data/tasks/{task}/manifest.json",
        {"task": task, "kind": "text_classification", "labels": LABELS, "source": "sample", "synthetic": synthetic,
         "normalised": True, "languages": {code: {"train": split, "dev": split, "test": split, "overlap": overlap}
                                           for code in languages}},
    )  # fmt: skip
    gold = {code: [chance.choices(LABELS, (3, 4, 3))[0] for _ in range(rows)] for code in languages}
    for code in languages:
        said = [*texts, *(f"umunsi mwiza cyane kuri twese nomero {row}" for row in range(len(texts), rows))]
        lines = [json.dumps({"text": text, "label": label}) for text, label in zip(said, gold[code], strict=True)]
        write_text(root / f"data/tasks/{task}/{code}/test.jsonl", "\n".join(lines) + "\n")
    for model, usual in SKILL.items():
        table, results = [], {}
        own_seeds = seeds if model in ("teacher", "student") else (0,)
        for code in languages:
            knows = skill.get(model, {}).get(code, usual + (SHIFT[code] if usual else 0))
            by_seed = []
            for seed in own_seeds:
                guess = [label if chance.random() < knows else "neutral" if model == "majority"
                         else chance.choice(LABELS) for label in gold[code]]  # fmt: skip
                by_seed.append(guess)
                table += [(seed, code, at, *pair) for at, pair in enumerate(zip(gold[code], guess, strict=True))]
            results[code] = scores(gold[code], by_seed, own_seeds)
        names = ("weighted_f1", "macro_f1", "accuracy")
        mean = {name: sum(result[name] for result in results.values()) / len(results) for name in names}
        write_json(
            root / f"metrics/evaluate/{model}/{task}.json",
            {"model": model, "task": task, "kind": "text_classification", "labels": LABELS, "metric": "weighted_f1",
             "languages_mode": "joint", "languages": results, "mean": mean},
        )  # fmt: skip
        with _writer(root / f"metrics/predictions/{model}/{task}.csv") as out:
            out.writerow(["seed", "language", "row", "gold", "predicted"])
            out.writerows(table)


def scores(gold: list[str], by_seed: list[list[str]], seeds: tuple[int, ...]) -> dict:
    """The entry of one language in TASK.json."""
    confusion = [[0] * len(LABELS) for _ in LABELS]
    each = []
    for seed, guess in zip(seeds, by_seed, strict=True):
        for right, said in zip(gold, guess, strict=True):
            confusion[LABELS.index(right)][LABELS.index(said)] += 1
        each.append({"seed": seed} | _f1(gold, guess)[0])
    names = ("weighted_f1", "macro_f1", "accuracy")
    means = {name: sum(one[name] for one in each) / len(each) for name in names}
    f1 = means["weighted_f1"]
    return means | {
        "n": len(gold), "n_train": 3302, "interval_95": [f1 - 0.05, f1 + 0.05],
        "per_label": _f1(gold, by_seed[0])[1], "confusion": confusion, "seeds": each,
    }  # fmt: skip


def _f1(gold: list[str], guess: list[str]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    labels = {}
    for label in LABELS:
        found = sum(right == said == label for right, said in zip(gold, guess, strict=True))
        predicted, n = guess.count(label), gold.count(label)
        labels[label] = {"precision": found / max(predicted, 1), "recall": found / max(n, 1),
                         "f1": 2 * found / max(predicted + n, 1), "n": n}  # fmt: skip
    accuracy = sum(right == said for right, said in zip(gold, guess, strict=True)) / len(gold)
    weighted = sum(score["f1"] * score["n"] for score in labels.values()) / len(gold)
    macro = sum(score["f1"] for score in labels.values()) / len(labels)
    return {"weighted_f1": weighted, "macro_f1": macro, "accuracy": accuracy}, labels


@contextmanager
def _writer(path: Path):
    """A CSV file to write rows to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        yield csv.writer(stream, lineterminator="\n")
