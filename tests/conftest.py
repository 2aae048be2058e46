"""Shared by all tests: two threads at most, no network, one toy world a session (copied where a test changes it)."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

from tests.support import toy
from tests.support.repository import made, repository  # noqa: F401  # fixtures of all


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy world; read only."""
    return toy.make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def own_world(world: Path, tmp_path: Path) -> Path:
    """A copy of the toy world that a test may damage."""
    return Path(shutil.copytree(world, tmp_path / "world"))


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy models of every kind and models/onnx; read only."""
    from tests.support.exported import make_exports

    return make_exports(tmp_path_factory.mktemp("exports"))
