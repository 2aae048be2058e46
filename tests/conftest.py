"""Shared by all tests: two threads at most, no network, one toy world a session (copied where a test changes it)."""

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from filelock import FileLock

from tests.support import toy
from tests.support.repository import made, repository  # noqa: F401  # fixtures of all


def pytest_collection_finish() -> None:
    gc.freeze()  # a million objects of torch and transformers, which each full collection would look at


def pytest_unconfigure() -> None:
    gc.unfreeze()


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of the whole run, read only: made by the first of its processes that asks for it."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / f"{name}-of-all", root / f"{name}-of-all.done"
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy world; read only."""
    return made_once(tmp_path_factory, "world", toy.make_world)


@pytest.fixture
def own_world(world: Path, tmp_path: Path) -> Path:
    """A copy of the toy world that a test may damage."""
    return Path(shutil.copytree(world, tmp_path / "world"))


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy models of every kind and models/onnx; read only."""
    from tests.support.exported import make_exports

    return made_once(tmp_path_factory, "exports", make_exports)
