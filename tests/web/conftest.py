"""A demo of the toy classifier and tagger, made once a session."""

from pathlib import Path

import pytest

from distil.web.demo import write_demo
from tests.support.javascript import MODULES, THERE
from tests.web.texts import sentences

EACH = 220  # texts of each language


@pytest.fixture(scope="session")
def demo(exports: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier in 8 bits, the tagger in 32 beside it, languages guessed from the sample's text; read only."""
    if not THERE:
        pytest.fail("CI is set and there is no Node.js or no npm packages; .ci/run installs them")
    root = tmp_path_factory.mktemp("demo")
    (root / "package.json").write_text('{"type": "module"}')  # Node then takes the page's files for what they are
    (root / "raw").mkdir()
    for code, texts in sentences(1500).items():
        (root / "raw" / f"{code}.txt").write_text("\n".join(texts[EACH:]) + "\n", encoding="utf-8")
    models = [exports / "models/onnx" / name for name in ("words/int8", "names/fp32")]
    write_demo(models, root / "demo", MODULES, root / "raw")
    return root / "demo"
