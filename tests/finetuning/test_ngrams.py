"""The n-gram table: the very rows and sums, what it learns beside a transformer, and a file that is refused."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForSequenceClassification

from distil.core.errors import UserError
from distil.core.files import read_json
from distil.evaluation.predictions import read_predictions
from distil.finetuning import trainer as module
from distil.finetuning.classifier import load_classifier, predict_scores
from distil.finetuning.config import FineTuningConfig
from distil.finetuning.encoding import Encoder
from distil.finetuning.ngrams import (
    FORMAT_VERSION,
    MODULUS,
    MULTIPLIER,
    NGRAMS_FILE,
    NgramShape,
    NgramTable,
    QuantisedNgramTable,
    load_table,
    ngram_buckets,
    save_table,
)
from distil.finetuning.row_predictions import predict_test
from distil.finetuning.run import FineTuning, FineTuningPaths, fine_tune_task
from distil.finetuning.saved_models import FinetunedModels
from distil.finetuning.trainer import TrainingRows
from tests.support import lab, toy

SPECIAL = [0, 1, 2, 3, 49]
ON = lab.CONFIG.model_copy(update={"ngrams": lab.CONFIG.ngrams.model_copy(update={"max_n": 3})})


def shape(max_n: int = 3, bits: int = 10, pieces: int = 50) -> NgramShape:
    return NgramShape(max_n, bits, ["good", "bad"], pieces, SPECIAL)


def config(labels: list[str], pieces: int = 50) -> dict[str, Any]:
    """What is read of config.json."""
    return {"id2label": {str(number): label for number, label in enumerate(labels)}, "vocab_size": pieces}


def random_table(of: NgramShape, seed: int = 0) -> NgramTable:
    table = NgramTable(of)
    with torch.no_grad():
        table.weight.normal_(generator=torch.Generator().manual_seed(seed))
    return table


def rows_of_text(ids: list[int], of: NgramShape) -> list[int]:
    """The rows that a text without padding sums, in Python's own whole numbers."""
    found = []
    for size in range(1, of.max_n + 1):
        for start in range(len(ids) - size + 1):
            ngram = ids[start : start + size]
            if not set(ngram) & set(of.special):
                hashed = 1
                for piece in ngram:
                    hashed = (hashed * MULTIPLIER + piece + 1) % MODULUS
                found.append(hashed % 2**of.bits)
    return found


def in_numpy(ids: np.ndarray, mask: np.ndarray, of: NgramShape) -> tuple[np.ndarray, np.ndarray]:
    """`ngram_buckets` in numpy."""
    usable = mask.astype(bool) & ~np.isin(ids, of.special)
    ids, usable = (np.pad(each, ((0, 0), (0, of.max_n - 1))) for each in (ids, usable))
    length = ids.shape[1] - of.max_n + 1
    hashed, counted = np.ones((len(ids), length), np.int64), np.ones((len(ids), length), bool)
    buckets, counts = [], []
    for offset in range(of.max_n):
        hashed = (hashed * np.int64(MULTIPLIER) + ids[:, offset : offset + length] + 1) % MODULUS
        counted = counted & usable[:, offset : offset + length]
        buckets.append(hashed % 2**of.bits)
        counts.append(counted)
    return np.stack(buckets, -1), np.stack(counts, -1)


def random_batch(rng: np.random.Generator, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts of 0 to 12 pieces between `<s>` and `</s>`, special pieces among them, padded."""
    texts = [[0, *rng.integers(0, pieces, size).tolist(), 2] for size in rng.integers(0, 13, 6)]
    width = max(map(len, texts)) + int(rng.integers(0, 3))
    ids = np.array([text + [1] * (width - len(text)) for text in texts], np.int64)
    return ids, np.array([[1] * len(text) + [0] * (width - len(text)) for text in texts], np.int64)


@pytest.mark.parametrize("max_n", [1, 2, 3, 5])
@pytest.mark.parametrize("pieces", [50, 250_002])
def test_torch_numpy_and_whole_numbers_find_the_same_rows(max_n: int, pieces: int) -> None:
    rng, of = np.random.default_rng(max_n), shape(max_n, bits=18, pieces=pieces)
    for _ in range(30):
        ids, mask = random_batch(rng, pieces)
        found, counted = (each.numpy() for each in ngram_buckets(torch.from_numpy(ids), torch.from_numpy(mask), of))
        expected, expected_counted = in_numpy(ids, mask, of)
        np.testing.assert_array_equal(counted, expected_counted)
        np.testing.assert_array_equal(found, expected)
        for row in range(len(ids)):
            text = ids[row][mask[row] == 1].tolist()
            assert sorted(found[row][counted[row]].tolist()) == sorted(rows_of_text(text, of))


def test_the_sum_is_over_the_root_of_the_number_of_ngrams() -> None:
    table, ids = random_table(shape(2)), [0, 7, 8, 3, 9, 2]  # 7, 8, 9 and the pair 7 8; 3 is <unk>
    rows = rows_of_text(ids, table.shape)
    assert len(rows) == 4
    expected = table.weight[rows].sum(0) / 2
    found = table(torch.tensor([ids]), torch.ones(1, 6))
    torch.testing.assert_close(found[0], expected)


def test_padding_and_a_text_without_a_piece_count_for_nothing() -> None:
    table = random_table(shape())
    one = table(torch.tensor([[0, 7, 2]]), torch.ones(1, 3, dtype=torch.int64))
    padded = table(torch.tensor([[0, 7, 2, 1, 8], [0, 2, 1, 1, 1]]), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]))
    torch.testing.assert_close(padded[0], one[0])
    assert one.abs().sum() > 0 and padded[1].tolist() == [0.0, 0.0]


def test_single_pieces_do_not_collide_where_there_are_rows_for_all() -> None:
    ids = torch.arange(4, 250_000)[:, None]
    buckets, _ = ngram_buckets(ids, torch.ones_like(ids), shape(1, bits=18, pieces=250_002))
    assert len(buckets.unique()) == len(ids)


def test_eight_bits_keep_the_sums_with_a_scale_for_each_label() -> None:
    table = random_table(shape())
    with torch.no_grad():
        table.weight[:, 1] *= 1000
    ids = torch.randint(4, 49, (20, 15), generator=torch.Generator().manual_seed(1))
    exact, rounded = (each(ids, torch.ones_like(ids)) for each in (table, QuantisedNgramTable(table)))
    # 42 rows, each off by at most half a step of 1/127 of the largest, over the root of 42.
    largest = table.weight.abs().amax(0)
    assert bool(((exact - rounded).abs() <= largest / 254 * 42**0.5).all())
    assert not torch.equal(exact, rounded)


def test_a_saved_table_comes_back_and_has_the_same_bytes(tmp_path: Path) -> None:
    table = random_table(shape())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_table(table, tmp_path / name)
    assert (tmp_path / "a" / NGRAMS_FILE).read_bytes() == (tmp_path / "b" / NGRAMS_FILE).read_bytes()
    read = load_table(tmp_path / "a", config(["good", "bad"]), "again")
    assert read is not None and read.shape == table.shape and torch.equal(read.weight, table.weight)
    assert load_table(tmp_path, config(["good", "bad"]), "again") is None
    with pytest.raises(UserError, match="no such file, but the model of config.json has an n-gram table; again"):
        load_table(tmp_path, config(["good", "bad"]) | {"ngrams": NGRAMS_FILE}, "again")


def test_a_table_of_other_labels_or_pieces_or_a_damaged_one_is_refused_in_one_sentence(tmp_path: Path) -> None:
    def refusal(labels: list[str], pieces: int = 50) -> str:
        with pytest.raises(UserError) as found:
            load_table(tmp_path, config(labels, pieces), "do it again")
        assert "\n" not in str(found.value) and str(found.value).endswith("; do it again")
        return str(found.value)

    save_table(random_table(shape()), tmp_path)
    path = tmp_path / NGRAMS_FILE
    assert "made for the labels good, bad, but the model has bad, good" in refusal(["bad", "good"])
    assert "made for 50 pieces, but the model has 51" in refusal(["good", "bad"], 51)
    whole, about = path.read_bytes(), {"format_version": FORMAT_VERSION, **shape()._asdict()}
    weight = load_file(path)["weight"]
    for metadata, words in (
        ({"ngrams": json.dumps({**about, "format_version": 2})}, "expected format version 1, found 2"),
        ({"ngrams": json.dumps({**about, "bits": 11})}, "expected float32 of (2048, 2)"),
        ({"ngrams": "{"}, "damaged"),
        ({"ngrams": "[]"}, "damaged"),
        ({"other": "1"}, "damaged"),
        (None, "damaged"),
    ):  # fmt: skip
        save_file({"weight": weight}, path, metadata=metadata)
        assert words in refusal(["good", "bad"])
    save_file({"table": weight}, path, metadata={"ngrams": json.dumps(about)})
    assert "damaged" in refusal(["good", "bad"])
    for data in (whole[:-100], whole[:20], b""):
        path.write_bytes(data)
        assert "damaged" in refusal(["good", "bad"])


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A lab with the teacher fine-tuned on a text task, with n-grams."""
    return lab.make_tuned_lab(tmp_path_factory.mktemp("lab"), world, "teacher", "words", ON)


@pytest.fixture
def here(room: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(room)
    return room


def scores(models: FinetunedModels) -> np.ndarray:
    encoder = models.encoder()
    rows = {code: encoder.split(lab.task_of("words"), code, at, "test") for at, code in enumerate(toy.LANGUAGES)}
    return models.scores(rows, encoder.pad_id)["swa"][1].logits


def test_a_folder_with_a_table_scores_with_it_and_from_pretrained_gives_the_transformer_alone(here: Path) -> None:
    models = FinetunedModels(here / "models/finetuned/teacher/words")
    folder, encoder = models.folder / "seed-1", models.encoder()
    assert models.manifest["ngrams"] and models.manifest["recipe"]["ngrams"] == ON.ngrams.model_dump()
    rows = encoder.split(lab.task_of("words"), "swa", 0, "test")
    table = load_table(folder, read_json(folder / "config.json", ""), "")
    assert table is not None
    alone = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for number, found in enumerate(scores(models)):
        ids = torch.tensor([rows.ids[number]])
        with torch.no_grad():
            transformer, ngrams = alone(ids).logits[0].numpy(), table(ids, torch.ones_like(ids))[0].numpy()
        np.testing.assert_allclose(found, transformer + ngrams, atol=1e-5)
        assert np.abs(ngrams).max() > 1e-3


def test_a_table_of_zeros_gives_the_logits_of_the_transformer(here: Path, tmp_path: Path) -> None:
    encoder = FinetunedModels(here / "models/finetuned/teacher/words").encoder()
    rows = encoder.split(lab.task_of("words"), "swa", 0, "test")
    model = load_classifier(Path("models/teacher"), "text_classification", lab.LABELS["words"], 40, "teacher")
    before = predict_scores(model, rows, encoder.pad_id)
    model.ngrams = NgramTable(shape(pieces=200))
    np.testing.assert_array_equal(predict_scores(model, rows, encoder.pad_id), before)


def test_ngrams_are_learned_where_the_transformer_stands_still(here: Path) -> None:
    slow = ON.student.model_copy(update={"learning_rate": 1e-12})
    for config, low, high in ((ON, 0.9, 1.0), (lab.CONFIG, 0.0, 0.75)):
        still = config.model_copy(update={"student": slow})
        found, _ = predict_test(lab.tuned("student_plain", "words", out=f"still{low}", config=still),
                                lab.task_of("words"))  # fmt: skip
        right = np.mean([np.mean(each.predicted[1] == each.gold) for each in found.values()])
        assert low <= right <= high


def test_the_student_learns_from_a_teacher_with_ngrams_as_well(here: Path) -> None:
    only = ON.model_copy(update={"task_weight": 1.0})  # no gold label reaches it
    found, _ = predict_test(lab.tuned("student", "words", out="taught", config=only), lab.task_of("words"))
    assert np.mean([np.mean(each.predicted[1] == each.gold) for each in found.values()]) > 0.8


@pytest.mark.parametrize("taught", [False, True])
def test_the_transformer_has_its_share_of_the_loss_to_itself(here: Path, taught: bool) -> None:
    models, labels = FinetunedModels(here / "models/finetuned/teacher/words"), lab.LABELS["words"]
    rows = models.encoder().split(lab.task_of("words"), "swa", 0, "train")
    if taught:
        teacher = torch.randn(len(rows.gold), 2, generator=torch.Generator().manual_seed(0)).log_softmax(-1).numpy()
        rows = rows._replace(teacher=teacher)
    model = load_classifier(models.folder / "seed-1", "text_classification", labels, 40, "finetune").eval()
    given = TrainingRows("text_classification", labels, ["swa"], rows, {}, 1)
    recipe = ON.recipe("student", "text_classification")

    def losses(alone_weight: float) -> torch.Tensor:
        ngrams = ON.ngrams.model_copy(update={"alone_weight": alone_weight})
        run = module.FineTuningRun(model, given, recipe._replace(ngrams=ngrams), 1, "a test", models.folder / "none")
        return run._losses(np.arange(10)).detach()

    model_losses = losses(0.0)
    table, model.ngrams = model.ngrams, NgramTable(shape(pieces=200))
    transformer_losses = losses(0.0)
    model.ngrams = table
    torch.testing.assert_close(losses(0.3), 0.7 * model_losses + 0.3 * transformer_losses)
    assert not torch.allclose(model_losses, transformer_losses, atol=1e-3)


def test_a_run_with_ngrams_that_is_killed_goes_on_to_the_same_bytes(here: Path, monkeypatch) -> None:
    with lab.killed_at(monkeypatch, 30):  # in the second epoch of 24 batches
        lab.tuned("student_plain", "words", out="killed", config=ON)
    killed, whole = (lab.tuned("student_plain", "words", out=out, config=ON).folder for out in ("killed", "whole"))
    for name in ("seed-1/model.safetensors", f"seed-1/{NGRAMS_FILE}"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert np.abs(load_file(whole / "seed-1" / NGRAMS_FILE)["weight"]).max() > 0


def test_without_ngrams_nothing_of_them_is_written_or_decides(here: Path) -> None:
    other = lab.CONFIG.ngrams.model_copy(update={"bits": 12, "learning_rate": 0.9, "alone_weight": 0.0})
    first, second = (lab.tuned("student_plain", "words", out=out, config=config).folder for out, config in
                     (("off", lab.CONFIG), ("other", lab.CONFIG.model_copy(update={"ngrams": other}))))  # fmt: skip
    assert (first / "checksums.json").read_bytes() == (second / "checksums.json").read_bytes()
    assert not list(first.rglob(NGRAMS_FILE)) and not read_json(first / "manifest.json", "")["ngrams"]


@pytest.mark.parametrize("on", [True, False])
def test_the_transformer_alone_is_predicted_apart_where_there_is_a_table(here: Path, on: bool) -> None:
    config = ON if on else lab.CONFIG.model_copy(update={"task_distillation": False})
    task, out = lab.task_of("words"), Path(f"apart{on}")
    job = FineTuning("student_plain", task, toy.LANGUAGES, "joint", [1], config, None)
    paths = FineTuningPaths(out, Path(f"{out}.csv"), None, Path("scratch"), Path(f"{out}-alone.csv"))
    fine_tune_task(job, paths)
    alone = read_predictions(Path(f"{out}-alone.csv"), "")
    if not on:
        assert alone == {}
        return
    folder = out / "seed-1"
    rows = Encoder(folder, 40, "").split(task, "swa", 0, "test")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        said = [int(model(torch.tensor([ids])).logits.argmax()) for ids in rows.ids]
    assert alone["swa"][1].predicted == [task.labels[number] for number in said]
    whole = read_predictions(Path(f"{out}.csv"), "")
    assert whole["swa"][1].gold == alone["swa"][1].gold


def test_without_a_window_a_tagger_has_no_table_and_the_log_says_so(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tagger = lab.tuned("teacher", "names", out="tagger", config=ON)
    assert "finetune.ngrams.tag_window is 0, so this tagger has no n-gram table" in caplog.text
    assert not list(tagger.folder.rglob(NGRAMS_FILE)) and not tagger.manifest["ngrams"]


def test_a_lost_or_damaged_table_of_a_finetuned_model_is_refused(here: Path) -> None:
    folder = lab.tuned("student_plain", "words", out="lost", config=ON).folder
    path = folder / "seed-1" / NGRAMS_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=r"ngrams\.safetensors: sha256: expected"):
        FinetunedModels(folder)
    path.unlink()
    with pytest.raises(UserError, match=r"ngrams\.safetensors: no such file; run `dvc repro"):
        FinetunedModels(folder)


def test_the_switch_is_one_for_all_models() -> None:
    for model in ("teacher", "student", "student_plain", "no_teacher"):
        assert ON.recipe(model, "text_classification").ngrams == ON.ngrams
        assert ON.recipe(model, "token_classification").ngrams is None
        tagging = ON.model_copy(update={"ngrams": ON.ngrams.model_copy(update={"tag_window": 1})})
        assert tagging.recipe(model, "token_classification").ngrams == tagging.ngrams
        assert lab.CONFIG.recipe(model, "text_classification").ngrams is None
    assert FineTuningConfig.model_validate(ON.model_dump()) == ON
