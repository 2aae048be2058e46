"""A random decoder with the words of the lab's tasks."""

from pathlib import Path

import pytest

from tests.support import lab
from tests.support.decoders import PROMPT, write_decoder


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A lab with a decoder beside its tasks; read only but for new folders."""
    root = lab.make_lab(tmp_path_factory.mktemp("decoders"), world)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        task = lab.task_of("words")
        texts = [text for code in task.languages for text in task.texts(code, "train")]
    lines = [PROMPT.replace("{text}", text).replace("{label}", label) for text in texts for label in ("good", "bad")]
    write_decoder(root / "decoder", lines)
    return root


@pytest.fixture
def here(room: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lab as the working directory."""
    monkeypatch.chdir(room)
    return room
