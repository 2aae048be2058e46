"""What a rival is made of: a cut vocabulary with its n-grams, 8-bit forms, large files, static embeddings."""

from pathlib import Path

import numpy as np
import pytest
import torch

from distil.finetuning.classifier import Classifier, predict_scores
from distil.finetuning.encoding import Encoder
from distil.finetuning.saved_models import Scored
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.rivals import formats
from distil.rivals.cutting import keep_pieces, kept_pieces
from distil.rivals.encoders import load_encoder, open_classifier
from distil.rivals.formats import Written, write_rival
from distil.rivals.scoring import graph_scores, open_graph, score_of
from distil.rivals.static import fit_static, piece_vectors, unit_means
from distil.serving import onnx_export
from distil.serving.onnx_export import quantise, write_onnx
from distil.serving.runtime import OnnxRuntime
from tests.rivals.support import EXPORT
from tests.support import lab, toy
from tests.support.exported import make_model

FOLDER, TOKENIZER = Path("models/finetuned/teacher/words/seed-1"), Path("models/tokenizer")


def teacher() -> Classifier:
    return open_classifier(FOLDER, lab.task_of("words"), 40, "finetune_teacher@words")


def rows_of(tokenizer: Path, split: str = "test"):
    encoder = Encoder(tokenizer, 40, "r")
    return {code: encoder.split(lab.task_of("words"), code, at, split) for at, code in enumerate(toy.LANGUAGES)}


def test_a_cut_vocabulary_changes_no_score_of_a_text_of_its_pieces_n_grams_included(room: Path) -> None:
    ids, rows = kept_pieces(TOKENIZER, FOLDER, "r"), rows_of(TOKENIZER)["swa"]
    assert 20 < len(ids) < 200
    whole, cut = teacher(), teacher()
    keep_pieces(cut, ids)
    before = rows._replace(ids=[ids[row].tolist() for row in rows.ids])
    found, expected = predict_scores(cut, rows, 1), predict_scores(whole, before, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    whole.ngrams = None
    assert np.abs(predict_scores(whole, before, 1) - expected).max() > 0.01  # the table takes part
    assert cut.transformer.config.vocab_size == len(ids) == cut.transformer.get_input_embeddings().weight.shape[0]


def test_8_bits_of_a_cut_model_with_n_grams_stay_near_it(room: Path, tmp_path: Path) -> None:
    ids, rows, task = kept_pieces(TOKENIZER, FOLDER, "r"), rows_of(TOKENIZER)["swa"], lab.task_of("words")
    model = teacher()
    keep_pieces(model, ids)
    expected = predict_scores(model, rows, 1)
    rival = Written(model.transformer, model.ngrams, None, TOKENIZER, {"kind": task.kind, "max_length": 40})
    write_rival(rival, "dynamic", EXPORT, tmp_path)
    found = graph_scores(open_graph(tmp_path), rows, 1, len(task.labels))
    assert np.abs(found - expected).mean() < 0.05 * expected.std()
    whole = sum(each.numel() for each in model.parameters()) * 4
    assert (tmp_path / "model.onnx").stat().st_size < whole
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json", "manifest.json", "model.onnx", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_weights_beyond_protobufs_limit_are_a_file_beside_and_quantise_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(tmp_path / "model", "text_classification")
    model = onnx_export.load_torch(tmp_path / "model", "text_classification", attn_implementation="eager")
    (tmp_path / "one").mkdir()
    write_onnx(model, None, tmp_path / "one/model.onnx", 20)
    monkeypatch.setattr(onnx_export, "LARGEST_WEIGHTS", 10_000)
    (tmp_path / "two").mkdir()
    for _ in range(2):  # over the file of a killed run, too
        write_onnx(model, None, tmp_path / "two/model.onnx", 20)
    beside = tmp_path / "two/model.onnx.data"
    assert beside.stat().st_size > 10_000 > (tmp_path / "two/model.onnx").stat().st_size - 60_000
    assert beside.stat().st_size < (tmp_path / "one/model.onnx").stat().st_size
    ids = np.arange(12, dtype=np.int64).reshape(2, 6) + 5
    answers = []
    for name in ("one", "two"):
        quantise(tmp_path / name / "model.onnx", tmp_path / name / "small.onnx", True)
        formats.quantise_weights(tmp_path / name / "model.onnx", tmp_path / name / "weights.onnx")
        answers.append([OnnxRuntime(tmp_path / name / f"{graph}.onnx", 1).logits(ids, np.ones_like(ids))
                        for graph in ("model", "small", "weights")])  # fmt: skip
    np.testing.assert_array_equal(answers[0], answers[1])
    whole, *smaller = answers[0]
    assert all(0 < np.abs(each - whole).mean() < 0.1 * whole.std() for each in smaller)


def test_a_static_model_is_its_vectors_mean_and_head_in_one_table_and_learns(room: Path, tmp_path: Path) -> None:
    task, special = lab.task_of("words"), special_ids(load_tokenizer(TOKENIZER))
    encoder = load_encoder(Path("models/teacher"), 0, "r")
    vectors = piece_vectors(encoder, special)
    assert vectors.shape == (200, 32) and not vectors[sorted(special)].any()
    tokenizer = Path("models/teacher")
    train, dev, test = (rows_of(tokenizer, split) for split in ("train", "dev", "test"))
    model = fit_static(vectors, special, list(train.values()), dev, task)
    write_rival(
        Written(model, None, None, tokenizer, {"kind": task.kind, "max_length": 40}), "static", EXPORT, tmp_path
    )
    found = {code: graph_scores(open_graph(tmp_path), rows, special.pad, 2) for code, rows in test.items()}
    with torch.inference_mode():
        ids = torch.tensor([test["swa"].ids[0] + [special.pad] * 3])
        mask = ids != special.pad
        np.testing.assert_allclose(model(ids, mask).logits[0], found["swa"][0], atol=1e-5)
    # By hand: the mean of the rows of the table without special pieces, and the bias.
    row = [piece for piece in test["swa"].ids[0] if piece not in set(special)]
    by_hand = model.table.numpy()[row].mean(axis=0) + model.bias.numpy()
    np.testing.assert_allclose(found["swa"][0], by_hand, atol=1e-5)
    features = unit_means(vectors, special, test["swa"], True)
    np.testing.assert_allclose(features[0], vectors[row].mean(axis=0), atol=1e-6)
    assert min(score_of(Scored(found[code], None), test[code], task) for code in found) > 0.8
    assert (tmp_path / "model.onnx").stat().st_size < 20_000


def test_a_static_tagger_reads_a_word_at_its_first_piece(room: Path) -> None:
    special = special_ids(load_tokenizer(Path("models/teacher")))
    vectors = np.arange(400, dtype=np.float32).reshape(200, 2)
    rows = Encoder(Path("models/teacher"), 8, "r").split(lab.task_of("names"), "swa", 0, "dev")
    found = unit_means(vectors, special, rows, False)
    first = rows.ids[0][rows.places[0]]
    assert found[0].tolist() == [2 * first, 2 * first + 1]
    assert np.isnan(found[rows.places < 0]).all() and (rows.places < 0).any()
