"""The linear model as a teacher: probabilities that are no surer than the model is right."""

from pathlib import Path

import numpy as np
import pytest

from distil.evaluation.baselines import label_numbers
from distil.evaluation.linear_teacher import LEAST, linear_soft_labels
from distil.finetuning.soft_labels import SOFT_LABEL_SPLITS
from distil.tasks.data import Task
from tests.evaluation.test_baselines import make_task

LABELS = ["bad", "good", "never"]


def texts(count: int, seed: int, noise: float) -> list[dict]:
    """A word that carries the label, which is wrong in a share of the rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        good, wrong = bool(rng.integers(2)), rng.random() < noise
        word = rng.choice(["amahoro", "ibyiza"] if good else ["ububabare", "ibibi"])
        rows.append({"text": f"{word} w{rng.integers(999)} w{rng.integers(999)}", "label": LABELS[int(good != wrong)]})
    return rows


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    splits = {"train": texts(200, 1, 0.2), "dev": texts(200, 2, 0.2), "test": texts(40, 3, 0.2)}
    splits["unlabelled"] = [{"text": row["text"]} for row in texts(30, 4, 0.2)]
    return make_task(tmp_path_factory.mktemp("linear") / "toy", "text_classification", LABELS, splits)


def test_every_split_has_probabilities_for_every_label(task: Task) -> None:
    found = linear_soft_labels(task, "kin", SOFT_LABEL_SPLITS)
    assert {split: len(each) for split, each in found.items()} == {
        "train": 200,
        "unlabelled": 30,
        "dev": 200,
        "test": 40,
    }
    for each in found.values():
        assert each.dtype == np.float32 and each.shape[1] == len(LABELS)
        np.testing.assert_allclose(np.exp(each).sum(axis=1), 1, atol=1e-5)
        assert np.exp(each[:, 2]).max() < 2 * LEAST  # a label of no training row


def test_rows_that_it_was_fitted_on_are_predicted_as_if_it_had_not_seen_them(task: Task) -> None:
    found = linear_soft_labels(task, "kin", ("train", "dev"))
    right = {split: np.mean(each.argmax(axis=1) == label_numbers(task, "kin", split)) for split, each in found.items()}
    sure = {split: np.exp(each).max(axis=1).mean() for split, each in found.items()}
    assert 0.65 < right["train"] < 0.9  # a model that had seen them would be right nearly always
    assert abs(sure["train"] - right["train"]) < 0.08 and abs(sure["dev"] - right["dev"]) < 0.08


def test_words_of_a_sentence_are_held_out_together(tmp_path: Path) -> None:
    train = [{"tokens": [f"a{at}", "in", f"b{at}"], "tags": ["B-PER", "O", "B-LOC"]} for at in range(12)]
    splits = {"train": train, "dev": train[:2], "test": train[:1]}
    task = make_task(tmp_path / "toy", "token_classification", ["O", "B-PER", "B-LOC"], splits)
    found = linear_soft_labels(task, "kin", ("train", "test"))
    assert found["train"].shape == (36, 3) and found["test"].argmax(axis=1).tolist() == [1, 0, 2]


@pytest.mark.parametrize("labels", [["good"] * 6, ["good"] * 5 + ["bad"]])
def test_one_label_alone_or_too_rare_for_folds_gives_the_frequencies(tmp_path: Path, labels: list[str]) -> None:
    rows = [{"text": f"w{at}", "label": label} for at, label in enumerate(labels)]
    task = make_task(tmp_path / "toy", "text_classification", LABELS, {"train": rows, "dev": rows, "test": rows})
    found = linear_soft_labels(task, "kin", ("train", "test"))
    share = labels.count("good") / 6
    np.testing.assert_allclose(np.exp(found["test"]), [[1 - share, share, 0]] * 6, atol=1e-5)
