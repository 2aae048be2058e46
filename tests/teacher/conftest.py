"""What tests of a teacher share."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def root(own_world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy world, entered, with its teacher in `given` as well."""
    monkeypatch.chdir(own_world)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copytree("models/teacher", "given")
    return own_world
