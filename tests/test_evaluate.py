"""Fine-tuning and scoring: learns what can be learned, the same for the same seed, JSON as documented."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from distil.baselines import majority, tfidf
from distil.errors import UserError
from distil.evaluate import EvaluateConfig, evaluate
from distil.scoring import Predictions, score, write_scores
from distil.tasks import read_task
from distil.tasks.config import TaskConfig
from distil.tasks.write import write_task
from tests import toy

CONFIG = EvaluateConfig.model_validate({
    "tasks": ["words"], "seeds": [1, 2], "languages": "joint", "epochs": 4, "batch_size": 8, "max_length": 24,
    "learning_rate": {"teacher": 0.002, "student": 0.002}, "dropout": 0.0, "warmup_fraction": 0.1, "weight_decay": 0.01,
    "bootstrap_resamples": 200,
})  # fmt: skip


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory):
    """Texts whose first word tells the label, in two languages."""
    root = tmp_path_factory.mktemp("task")
    for number, language in enumerate(toy.LANGUAGES):
        lines = toy.sentences(210, 20 + number)
        rows = [f"{('zuri', 'baya')[i % 2]} {line}\t{('good', 'bad')[i % 2]}" for i, line in enumerate(lines)]
        for split, part in (("train", rows[:150]), ("dev", rows[150:170]), ("test", rows[170:])):
            path = root / "in" / language / f"{split}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(["text\tlabel", *part]) + "\n", encoding="utf-8")
    config = TaskConfig(
        source="files", path=str(root / "in"), pattern="{lang}/{split}.tsv", verify="", kind="text_classification",
        text_column="text", label_column="label", labels=["good", "bad"], normalise=False, max_train_rows=0,
        max_dev_rows=0, max_test_rows=0,
    )  # fmt: skip
    write_task("words", config, toy.LANGUAGES, 1, root / "words")
    return read_task(root / "words")


def test_a_model_learns_a_task_and_the_same_seed_gives_the_same_predictions(world: Path, task) -> None:
    found = evaluate(world / "models/teacher", "teacher", task, toy.LANGUAGES, CONFIG)
    again = evaluate(world / "models/teacher", "teacher", task, toy.LANGUAGES, CONFIG)
    for language in toy.LANGUAGES:
        assert list(found[language].predicted) == [1, 2]
        assert found[language].train_rows == 150
        for seed, predicted in found[language].predicted.items():
            assert np.mean(predicted == found[language].gold) > 0.8
            np.testing.assert_array_equal(predicted, again[language].predicted[seed])


def test_separate_models_see_one_language_each(world: Path, task, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil import evaluate as module

    rows = []
    original = module.finetune
    monkeypatch.setattr(module, "finetune", lambda *args: rows.append(len(args[2].ids)) or original(*args))
    config = CONFIG.model_copy(update={"languages": "separate", "seeds": (1,), "epochs": 1})
    evaluate(world / "models/teacher", "teacher", task, toy.LANGUAGES, config)
    assert rows == [150, 150]


def test_baselines_by_hand_and_on_what_can_be_learned(task) -> None:
    assert set(majority(task, "swa").predicted[0].tolist()) == {0}
    found = tfidf(task, "swa")
    assert np.mean(found.predicted[0] == found.gold) > 0.95


def test_scores_as_documented(tmp_path: Path) -> None:
    found = {"swa": Predictions(np.array([0, 0, 1, 1]), {1: np.array([0, 0, 1, 0]), 2: np.array([0, 0, 1, 1])}, 9)}
    scores = score("student", "words", "text_classification", ["good", "bad"], "joint", found, 500)
    language = scores["languages"]["swa"]
    assert (language["n"], language["n_train"]) == (4, 9)
    assert [seed["accuracy"] for seed in language["seeds"]] == [0.75, 1.0]
    # seed 1: F1 of good 4/5, of bad 2/3, weighted 0.733333; seed 2: 1
    assert language["weighted_f1"] == pytest.approx((0.733333 + 1) / 2, abs=1e-6)
    assert language["confusion"] == [[4, 0], [1, 3]]
    assert language["interval_95"][0] <= language["weighted_f1"] <= language["interval_95"][1]
    write_scores(tmp_path, scores, found)
    assert json.loads((tmp_path / "evaluate/student/words.json").read_text()) == scores
    with (tmp_path / "predictions/student/words.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8
    assert rows[3] == {"seed": "1", "language": "swa", "row": "3", "gold": "bad", "predicted": "good"}


def test_a_kind_that_cannot_be_scored_is_refused(world: Path, task) -> None:
    with pytest.raises(UserError, match=r"kind token_classification: only text_classification is scored"):
        evaluate(world / "models/teacher", "teacher", task._replace(kind="token_classification"), toy.LANGUAGES, CONFIG)
