"""Fine-tuned classifiers scored: words that were cut off, and texts that are training rows too."""

from pathlib import Path

import numpy as np
import pytest

from distil.core.files import seal
from distil.finetuning.test_predictions import evaluate
from tests import lab, toy


@pytest.fixture
def room(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = lab.make_lab(tmp_path, world)
    monkeypatch.chdir(root)
    return root


def test_words_beyond_the_limit_are_outside_and_counted(room: Path) -> None:
    pace = lab.CONFIG.teacher.model_copy(update={"epochs": 1})
    config = lab.CONFIG.model_copy(update={"max_length": 8, "teacher": pace})
    models, task = lab.tuned("teacher", "names", config=config), lab.task_of("names")
    found, cut_off = evaluate(models, task, toy.LANGUAGES)
    words = sum(len(row.tokens) for language in toy.LANGUAGES for row in task.token_rows(language, "test"))
    assert 0 < cut_off < words
    ends = [tags[-1] for language in toy.LANGUAGES for tags in found[language].predicted[1]]
    assert set(ends[:5]) == {"O"}


def test_test_rows_that_are_training_rows_too_are_marked(room: Path) -> None:
    pace = lab.CONFIG.teacher.model_copy(update={"epochs": 1})
    models = lab.tuned("teacher", "words", config=lab.CONFIG.model_copy(update={"teacher": pace}))
    train, test = (room / f"data/tasks/words/swa/{split}.jsonl" for split in ("train", "test"))
    rows = test.read_text(encoding="utf-8").splitlines()
    rows[3] = train.read_text(encoding="utf-8").splitlines()[0].replace("zuri", "ZURI!")
    test.write_text("\n".join(rows) + "\n", encoding="utf-8")
    seal(room / "data/tasks/words")
    found, _ = evaluate(models, lab.task_of("words"), toy.LANGUAGES)
    assert np.flatnonzero(found["swa"].seen).tolist() == [3]
    assert not found["yor"].seen.any()
