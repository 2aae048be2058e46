"""A folder with a fine-tuned teacher that has n-grams, and a tokenizer with a part of its pieces; read only."""

from pathlib import Path

import pytest

from distil.tokenization.vocabulary import VocabularyConfig, build_vocabulary
from tests.support import lab, toy

NGRAMS = lab.CONFIG.ngrams.model_copy(update={"max_n": 2, "tag_window": 1})
CONFIG = lab.CONFIG.model_copy(update={"ngrams": NGRAMS})


@pytest.fixture(scope="session")
def rivals_room(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """models/finetuned/teacher for `words`, of one seed."""
    root = lab.make_lab(tmp_path_factory.mktemp("rivals"), world)
    texts = {code: world / f"data/raw/{code}.txt" for code in toy.LANGUAGES}
    kept = VocabularyConfig(keep="coverage", coverage=0.8, size=200, floor=0)
    build_vocabulary(texts, root / "models/teacher", kept, root / "models/tokenizer")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        lab.tuned("teacher", "words", config=CONFIG)
    return root


@pytest.fixture
def room(rivals_room: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, as the working directory."""
    monkeypatch.chdir(rivals_room)
    return rivals_room
