"""The real stages in two processes against one: the same cache to the byte, the same training up to rounding."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from distil.compute.distributed import Processes, RoundRobin
from tests.support import ROOT, toy

SETTINGS: dict[str, dict[str, Any]] = {
    "tokenize": toy.TOKENIZE.model_dump(),
    "cache_teacher": toy.CACHE.model_dump(mode="json"),
    "student": toy.SHAPE.model_dump(mode="json") | {"dropout": 0.0},
    "train": {"epochs": 4, "batch_tokens": 256, "evaluate_every": 20, "checkpoint_every": 20, "patience": 0},
    "loss": {"alpha": 0.5},
}


def make_root(root: Path, world: Path, processes: int) -> Path:
    shutil.copytree(world, root)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, values in SETTINGS.items():
        params[section] |= values
    params |= {"languages": toy.LANGUAGES, "launch": {"processes": processes}}
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for name in ("distil", "stages", "dvc.yaml"):
        (root / name).symlink_to(ROOT / name)
    return root


ACCELERATE = ("-m", "accelerate.commands.launch", "--cpu", "--num_machines", "1", "--num_processes", "2",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--module")  # fmt: skip


def run(root: Path, stage: str, launcher: tuple[str, ...] = ("-m",)) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    env |= {"OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"}
    command = [sys.executable, *launcher, f"stages.{stage}"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def losses(root: Path, stage: str) -> np.ndarray:
    """Every loss of train.csv, a row every ten steps."""
    with (root / "metrics" / stage / "train.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    kept = [name for name in rows[0] if name not in ("step", "epoch", "tokens", "learning_rate")]
    return np.array([[float(row[name]) for name in kept] for row in rows])


@pytest.fixture(scope="module")
def pair(world: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two copies of the toy world, for one process and for two; both have run cache_teacher."""
    folder = tmp_path_factory.mktemp("ranks")
    roots = [make_root(folder / str(processes), world, processes) for processes in (1, 2)]
    for root in roots:
        shutil.rmtree(root / "data/teacher")
        run(root, "cache_teacher")
    return roots


@pytest.mark.slow
def test_two_processes_write_the_same_cache_to_the_byte(pair: list[Path]) -> None:
    one, two = ({path.relative_to(root): path.read_bytes() for path in sorted((root / "data/teacher").rglob("*.*"))}
                for root in pair)  # fmt: skip
    assert len(one) >= 8 and one == two


@pytest.mark.slow
def test_accelerate_launch_writes_the_same_cache_and_trains_the_same_student(pair: list[Path], world: Path) -> None:
    root = make_root(pair[0].parent / "accelerate", world, 1)
    shutil.rmtree(root / "data/teacher")
    run(root, "cache_teacher", ACCELERATE)
    one, two = ({path.relative_to(each): path.read_bytes() for path in sorted((each / "data/teacher").rglob("*.*"))}
                for each in (pair[0], root))  # fmt: skip
    assert len(one) >= 8 and one == two
    run(root, "distil", ACCELERATE)
    run(pair[0], "distil")
    np.testing.assert_allclose(losses(root, "distil"), losses(pair[0], "distil"), rtol=1e-5, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["distil", "no_teacher"])
def test_two_processes_train_as_one_does_up_to_rounding(pair: list[Path], stage: str) -> None:
    for root in pair:
        run(root, stage)
    one, two = (losses(root, stage) for root in pair)
    assert len(one) >= 5  # fifty steps
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=2e-6)  # a row's numbers have six decimals
    models = [load_file(root / "models" / ("student" if stage == "distil" else stage) / "model.safetensors")
              for root in pair]  # fmt: skip
    for name, weights in models[0].items():
        np.testing.assert_allclose(models[1][name], weights, atol=1e-4, err_msg=name)


def test_work_is_dealt_out_in_turn_and_all_of_it() -> None:
    shares = [RoundRobin(Processes(rank, 3)) for rank in range(3)]
    taken = [[share.takes_next() for _ in range(7)] for share in shares]
    assert taken[0] == [True, False, False] * 2 + [True]
    assert np.sum(taken, axis=0).tolist() == [1] * 7
