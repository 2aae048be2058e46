"""The sample shows what the product is for: few labels, much text, and a student that keeps what its teacher knows."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import yaml

from tests.support import ROOT

SEEDS = (1, 2, 3)
MODELS = ("teacher", "student", "student_plain", "no_teacher")
ONCE = [["tasks", "sentiment"], ["corpus"], ["teacher"], ["vocabulary"], ["tokenize"], ["cache_teacher"],
        ["baselines", "sentiment"]]  # fmt: skip
FOR_EACH_SEED = [["distil"], ["no_teacher"], ["finetune", "teacher", "sentiment"], ["mix_teachers", "sentiment"],
                 *(["finetune", model, "sentiment"] for model in MODELS[1:]), ["evaluate"]]  # fmt: skip


def run(root: Path, command: list[str], threads: int) -> None:
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", f"stages.{command[0]}", *command[1:]], cwd=root, env=env, check=True)


def score_with(root: Path, seed: int, threads: int) -> dict[str, Any]:
    """Scores in points of every model with one seed, and the share of held-out pieces that are found, in per cent."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["train"]["seed"], params["evaluate"]["seeds"] = seed, [seed]
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")
    for command in FOR_EACH_SEED:
        run(root, command, threads)
    found: dict[str, Any] = {}
    for model in (*MODELS, "tfidf"):
        scores = json.loads((root / f"metrics/evaluate/{model}/sentiment.json").read_text(encoding="utf-8"))["mean"]
        found[model] = 100 * scores["weighted_f1"]
        found[f"{model}_interval"] = [100 * end for end in scores["interval_95"]]
    for model in ("distil", "no_teacher"):
        heldout = json.loads((root / f"metrics/{model}/summary.json").read_text(encoding="utf-8"))["heldout"]
        found[f"{model}_heldout"] = 100 * mean(each["student_accuracy"] for each in heldout.values())
    return found


@pytest.mark.slow
def test_the_sample_shows_what_distillation_gives(tmp_path: Path) -> None:
    """About eight minutes on two free cores."""
    for name in ("distil", "stages", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    for command in ONCE:
        run(tmp_path, command, 1)
    by_seed = [score_with(tmp_path, seed, 1) for seed in SEEDS]
    two_threads = score_with(tmp_path, SEEDS[0], 2)

    of = {name: mean(each[name] for each in by_seed) for name in by_seed[0] if not name.endswith("_interval")}
    assert of["teacher"] >= of["tfidf"] + 3, of
    assert of["student"] >= 0.95 * of["teacher"], of
    assert of["student"] >= of["student_plain"] - 0.5, of
    assert of["student"] >= of["no_teacher"] + 5, of
    assert of["distil_heldout"] > of["no_teacher_heldout"], of
    for model in MODELS:
        low, high = by_seed[0][f"{model}_interval"]
        assert low <= two_threads[model] <= high, model
