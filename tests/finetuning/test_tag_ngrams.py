"""The n-gram table of a tagger: n-grams around each word, marked with their distance."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForTokenClassification

from distil.core.errors import UserError
from distil.core.files import read_json
from distil.evaluation.counts import metric_from_counts, metric_of, per_row_counts
from distil.evaluation.predictions import read_predictions, split_tags
from distil.finetuning.classifier import decode_labels
from distil.finetuning.ngrams import (
    MODULUS,
    MULTIPLIER,
    NGRAMS_FILE,
    NgramShape,
    load_table,
    ngram_buckets,
    save_table,
)
from distil.finetuning.row_predictions import predict_test
from distil.finetuning.run import FineTuning, FineTuningPaths, fine_tune_task
from distil.finetuning.saved_models import FinetunedModels, Scored
from tests.finetuning.test_ngrams import SPECIAL, config, random_batch, random_table
from tests.support import lab, toy

NGRAMS = lab.CONFIG.ngrams.model_copy(update={"max_n": 2, "tag_window": 2})
ON = lab.CONFIG.model_copy(update={"ngrams": NGRAMS})
CHAIN = ON.model_copy(update={"tagger": "chain"})


def shape(window: int = 2, max_n: int = 2, pieces: int = 50) -> NgramShape:
    return NgramShape(max_n, 10, ["good", "bad"], pieces, SPECIAL, window)


def rows_at(ids: list[int], token: int, of: NgramShape) -> list[int]:
    """The rows that are summed for a token of a text without padding, in Python's own whole numbers."""
    found = []
    for distance in range(-of.window, of.window + 1):
        for size in range(1, of.max_n + 1):
            start = token + distance
            ngram = ids[start : start + size] if start >= 0 else []
            if len(ngram) == size and not set(ngram) & set(of.special):
                hashed = distance + of.window + 1
                for piece in ngram:
                    hashed = (hashed * MULTIPLIER + piece + 1) % MODULUS
                found.append(hashed % 2**of.bits)
    return found


@pytest.mark.parametrize(("window", "max_n"), [(1, 1), (1, 3), (3, 2), (5, 5)])
@pytest.mark.parametrize("pieces", [50, 250_002])
def test_torch_and_whole_numbers_find_the_same_rows_around_each_token(window: int, max_n: int, pieces: int) -> None:
    rng, of = np.random.default_rng(window), shape(window, max_n, pieces)
    for _ in range(10):
        ids, mask = random_batch(rng, pieces)
        found, counted = (each.numpy() for each in ngram_buckets(torch.from_numpy(ids), torch.from_numpy(mask), of))
        assert found.shape == (*ids.shape, max_n * (2 * window + 1))
        for row in range(len(ids)):
            text = ids[row][mask[row] == 1].tolist()
            for token in range(len(text)):
                rows = found[row, token][counted[row, token]].tolist()
                assert sorted(rows) == sorted(rows_at(text, token, of))


def test_each_token_has_the_sum_around_it_over_the_root_of_its_number() -> None:
    table, ids = random_table(shape(1)), [0, 7, 8, 3, 9, 2]  # 3 is <unk>
    found = table(torch.tensor([ids]), torch.ones(1, 6))[0]
    for token, expected in ((1, 3), (2, 3), (3, 2), (4, 1)):  # of 8: itself, the 7 before it, and both as a pair
        rows = rows_at(ids, token, table.shape)
        assert len(rows) == expected
        torch.testing.assert_close(found[token], table.weight[rows].sum(0) / expected**0.5)


def test_a_piece_before_a_word_is_not_the_same_piece_after_it() -> None:
    table, mask = random_table(shape(1, 1)), torch.ones(1, 5)
    before, after = (table(torch.tensor([[0, *words, 2]]), mask)[0, 2] for words in ([7, 8, 9], [9, 8, 7]))
    assert not torch.allclose(before, after)


def test_padding_changes_no_token_and_a_text_without_a_piece_counts_for_nothing() -> None:
    table = random_table(shape())
    one = table(torch.tensor([[0, 7, 8, 2]]), torch.ones(1, 4, dtype=torch.int64))
    padded = table(torch.tensor([[0, 7, 8, 2, 1], [0, 2, 1, 1, 1]]), torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]))
    torch.testing.assert_close(padded[0, :4], one[0])
    assert one.abs().sum() > 0 and padded[1].abs().sum() == 0


def test_a_table_of_words_beside_a_model_of_texts_is_refused_and_the_other_way_round(tmp_path: Path) -> None:
    about = config(["good", "bad"])
    for window, architecture, words in (
        (2, "XLMRobertaForSequenceClassification", "made for words, but the model classifies texts; again"),
        (0, "XmodForTokenClassification", "made for texts, but the model classifies words; again"),
    ):
        save_table(random_table(shape(window)), tmp_path)
        with pytest.raises(UserError, match=words):
            load_table(tmp_path, about | {"architectures": [architecture]}, "again")
    save_table(table := random_table(shape(2)), tmp_path)
    read = load_table(tmp_path, about | {"architectures": ["XLMRobertaForTokenClassification"]}, "again")
    assert read is not None and read.shape == table.shape and torch.equal(read.weight, table.weight)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A lab with the teacher fine-tuned as a tagger, with n-grams."""
    return lab.make_tuned_lab(tmp_path_factory.mktemp("lab"), world, "teacher", "names", ON)


@pytest.fixture
def here(room: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(room)
    return room


def swahili(models: FinetunedModels) -> Scored:
    """What a tagger says of the test rows of one language."""
    encoder = models.encoder()
    rows = {code: encoder.split(lab.task_of("names"), code, at, "test") for at, code in enumerate(toy.LANGUAGES)}
    return models.scores(rows, encoder.pad_id)["swa"][1]


def test_scores_are_the_transformers_and_the_tables_at_each_words_first_piece(here: Path) -> None:
    models, task = FinetunedModels(here / "models/finetuned/teacher/names"), lab.task_of("names")
    folder, encoder = models.folder / "seed-1", models.encoder()
    rows = encoder.split(task, "swa", 0, "test")
    table = load_table(folder, read_json(folder / "config.json", ""), "")
    assert table is not None and table.shape.window == 2
    found = swahili(models)
    alone = AutoModelForTokenClassification.from_pretrained(folder).eval()
    assert found.alone is not None
    for number, ids in enumerate(rows.ids):
        units = np.arange(rows.starts[number], rows.starts[number + 1])
        units = units[rows.places[units] >= 0]
        with torch.no_grad():
            transformer = alone(torch.tensor([ids])).logits[0].numpy()[rows.places[units]]
            ngrams = table(torch.tensor([ids]), torch.ones(1, len(ids)))[0].numpy()[rows.places[units]]
        np.testing.assert_allclose(found.alone[units], transformer, atol=1e-5)
        np.testing.assert_allclose(found.logits[units], transformer + ngrams, atol=1e-5)
        assert np.abs(ngrams).max() > 1e-3


@pytest.mark.parametrize("config", [ON, CHAIN])
def test_tags_are_learned_where_the_transformer_stands_still(here: Path, config) -> None:
    task, reached = lab.task_of("names"), []
    for each in (config, config.model_copy(update={"ngrams": lab.CONFIG.ngrams})):
        still = each.model_copy(update={"student": each.student.model_copy(update={"tagger_learning_rate": 1e-12})})
        found, _ = predict_test(lab.tuned("student_plain", "names", out="still", config=still), task)
        metric = metric_of(task.kind, task.labels)
        counts = sum(per_row_counts(one, task.labels, metric).sum(axis=0) for one in found.values())
        reached.append(float(metric_from_counts(counts, metric)[0]))
    assert reached[0] > 0.7 and reached[1] < 0.3


def test_a_run_that_is_killed_goes_on_to_the_same_bytes(here: Path, monkeypatch) -> None:
    with lab.killed_at(monkeypatch, 30):
        lab.tuned("student_plain", "names", out="killed", config=CHAIN)
    killed, whole = (lab.tuned("student_plain", "names", out=out, config=CHAIN).folder for out in ("killed", "whole"))
    for name in ("model.safetensors", NGRAMS_FILE, "transitions.json"):
        assert (killed / "seed-1" / name).read_bytes() == (whole / "seed-1" / name).read_bytes()
    assert np.abs(load_file(whole / "seed-1" / NGRAMS_FILE)["weight"]).max() > 0


def test_the_transformer_alone_is_predicted_apart(here: Path) -> None:
    task = lab.task_of("names")
    job = FineTuning("student_plain", task, toy.LANGUAGES, "joint", [1], CHAIN, None)
    fine_tune_task(job, FineTuningPaths(Path("apart"), Path("apart.csv"), None, Path("scratch"), Path("alone.csv")))
    models = FinetunedModels(Path("apart"), "a test")
    rows = models.encoder().split(task, "swa", 0, "test")
    scored = swahili(models)
    for path, scores in (("apart.csv", scored.logits), ("alone.csv", scored.alone)):
        assert scores is not None
        decided = decode_labels(scores, rows, task.kind, task.labels, scored.transitions)
        written = read_predictions(Path(path), "")["swa"][1].predicted
        tags = [tag for sentence in written for tag in split_tags(sentence)]
        assert tags == [task.labels[number] for number in decided]
