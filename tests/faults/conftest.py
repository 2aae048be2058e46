"""What all fault tests share: the fork server, one small pipeline made once, and the counts of what was done."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.pipeline import Zygote, make_pipeline

NAMES = ("killed", "recovered", "damaged", "detected", "bad_inputs", "crashes", "rows_unaccounted")
COUNTS: Counter[str] = Counter()


@pytest.fixture(scope="session")
def counts() -> Counter[str]:
    """Tests add to it what they did and what became of it; `make test-faults` ends with it as one line of JSON."""
    return COUNTS


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Starts stages."""
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Path:
    """A small pipeline, every stage run once; read only."""
    return make_pipeline(tmp_path_factory.mktemp("pipeline") / "repository", zygote)


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.getoption("markexpr") == "faults":
        sys.stdout.write(json.dumps({name: COUNTS[name] for name in NAMES}) + "\n")
