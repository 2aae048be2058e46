"""A folder at work: what transformers would say, each text for itself, and one sentence for a folder that is none."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distil.core.errors import UserError
from distil.core.files import read_json, sha256_file, write_json
from distil.serving.model_info import open_tokenizer, read_card
from distil.serving.predictor import Predictor, split_words
from distil.serving.runtime import pad_rows, plan_batches
from distil.text.views import in_latin_script, romaniser, without_marks
from tests.support import toy
from tests.support.exported import LABELS, MAX_LENGTH

TEXTS = [*toy.sentences(40, 5), " ".join(toy.sentences(20, 6))]


@pytest.fixture
def folder(exports, tmp_path) -> Path:
    """A copy of an exported classifier that a test may damage."""
    return Path(shutil.copytree(exports / "models/onnx/words/fp32", tmp_path / "words"))


def test_labels_and_scores_are_those_of_transformers_one_text_at_a_time(exports) -> None:
    folder = exports / "models/onnx/words/fp32"
    found = Predictor(folder, 1)(TEXTS)
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for text, result in zip(TEXTS, found, strict=True):
        given = tokenizer(text, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        with torch.no_grad():
            probs = model.eval()(**given).logits.softmax(-1)[0].numpy()
        assert result["label"] == LABELS["text_classification"][probs.argmax()]
        np.testing.assert_allclose(list(result["scores"].values()), probs, atol=1e-5)
    assert len({result["scores"]["good"] for result in found}) == len(TEXTS)


def test_a_torch_folder_and_its_float32_export_give_the_same(exports) -> None:
    for name in ("words", "names"):
        trained = Predictor(exports / "models/finetuned/student" / name / "seed-1")
        assert trained.card.max_length == MAX_LENGTH and trained.card.task == name
        exported = Predictor(exports / "models/onnx" / name / "fp32", 1)
        for one, other in zip(trained(TEXTS), exported(TEXTS), strict=True):
            scores = [[*found["scores"].values()] if name == "words" else found["scores"] for found in (one, other)]
            np.testing.assert_allclose(*scores, atol=2e-5)
            assert one.get("label") == other.get("label") and one.get("tags") == other.get("tags")


def test_a_tagger_gives_a_tag_to_every_word_of_a_text_of_any_length(exports) -> None:
    for text, found in zip(TEXTS, Predictor(exports / "models/onnx/names/int8", 1)(TEXTS), strict=True):
        assert found["tokens"] == text.split()
        assert len(found["tags"]) == len(found["scores"]) == len(found["tokens"])
        assert set(found["tags"]) <= set(LABELS["token_classification"])


def test_words_are_cut_between_rows_and_only_a_word_too_long_is_cut_itself(exports) -> None:
    predictor = Predictor(exports / "models/onnx/names/fp32", 1)
    words = ["ab", "cd", "a" * 60, "ef"]
    encoding = predictor.tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False)
    cut = split_words(words, encoding, predictor.special, 10)
    assert all(len(row) <= 10 and row[0] == predictor.special.bos and row[-1] == predictor.special.eos
               for row in cut.rows)  # fmt: skip
    firsts = [encoding.word_to_tokens(number)[0] for number in range(4)]
    assert [cut.rows[row][token] for row, token in cut.places] == [encoding.ids[first] for first in firsts]
    assert cut.places[2] == (1, 1) and cut.places[3] == (2, 1)


def test_a_masked_lm_fills_each_mask_and_says_when_there_is_none(exports) -> None:
    found = Predictor(exports / "models/onnx/masked_lm/int8", 1)(["a <mask> b <mask>", "no mask", "<mask>"])
    assert [len(result.get("masks", [])) for result in found] == [2, 0, 1]
    assert found[1]["error"].startswith("no <mask> among the first 512 tokens")
    scores = [piece["score"] for piece in found[0]["masks"][0]]
    assert len(scores) == 5 and scores == sorted(scores, reverse=True)


def test_texts_are_normalised_where_the_models_were(folder) -> None:
    write_json(folder / "manifest.json", {**read_json(folder / "manifest.json", "export"), "normalised": True})
    predictor = Predictor(folder, 1)
    first, second, nothing = predictor(["@user Zuri SANA!!! http://a.b", "zuri sana", "😀 123"])
    assert first == second
    assert nothing == {"error": "no letter is left once the text is normalised as in training"}


def in_view(folder: Path, **view: str) -> Predictor:
    """A folder whose manifest asks for a view."""
    write_json(folder / "manifest.json", {**read_json(folder / "manifest.json", "export"), **view})
    return Predictor(folder, 1)


MARKED = ["Ọ̀rọ̀ yìí dára púpọ̀", "Ó burú gan-an ni", "ụlọ akwụkwọ", "bàbá", "plain"]


def test_raw_and_bare_texts_get_one_answer_where_marks_were_dropped(folder) -> None:
    bare = list(map(without_marks, MARKED))
    kept, dropped = Predictor(folder, 1), in_view(folder, marks="drop")
    assert dropped.predict(MARKED) == dropped.predict(bare) == kept.predict(bare) != kept.predict(MARKED)
    assert dropped.predict(["\u0301"]) == [{"error": "no letter is left once the text is normalised as in training"}]


def test_a_tagger_that_drops_marks_answers_with_the_words_as_they_were_written(exports, tmp_path) -> None:
    folder = Path(shutil.copytree(exports / "models/onnx/names/fp32", tmp_path / "names"))
    bare = list(map(without_marks, MARKED))
    expected = Predictor(folder, 1).predict(bare)
    found = in_view(folder, marks="drop").predict(MARKED)
    assert [one["tokens"] for one in found] == [text.split() for text in MARKED] != [one["tokens"] for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one["tags"], one["scores"]) == (other["tags"], other["scores"])


def test_texts_of_another_script_are_transliterated_where_the_models_were(folder, exports, tmp_path) -> None:
    texts = ["ሰላም ለዓለም", "ጥሩ ነው!"]
    latin = list(map(in_latin_script, texts))
    kept, transliterated = Predictor(folder, 1), in_view(folder, script="latin")
    assert transliterated.predict(texts) == kept.predict(latin) != kept.predict(texts)
    tagger = Path(shutil.copytree(exports / "models/onnx/names/fp32", tmp_path / "names"))
    assert [one["tokens"] for one in in_view(tagger, script="latin").predict(texts)] == [t.split() for t in texts]


def test_a_view_that_nobody_knows_is_refused(folder) -> None:
    for key, change in (("marks", "drop"), ("script", "latin")):
        with pytest.raises(UserError, match=f"manifest.json: {key}: expected keep or {change}, found ascii; export"):
            in_view(folder, **{key: "ascii"})
        in_view(folder, **{key: "keep"})


def test_a_model_that_transliterates_says_at_once_that_uroman_is_missing(folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "uroman", None)
    romaniser.cache_clear()
    with pytest.raises(UserError, match="needs the package uroman"):
        in_view(folder, script="latin")


def test_batches_hold_every_row_once_and_bound_padded_tokens() -> None:
    rng = np.random.default_rng(0)
    rows = [[5] * int(length) for length in rng.integers(3, 90, 400)]
    for outputs in (3, 2**17):
        batches = list(plan_batches(rows, outputs))
        assert sorted(row for batch in batches for row in batch.tolist()) == list(range(400))
        for batch in batches:
            ids, mask = pad_rows([rows[row] for row in batch], 1)
            assert ids.size <= min(1024, 2**23 // outputs) or len(batch) == 1
            assert (ids == 1).sum() == (mask == 0).sum() == ids.size - sum(len(rows[row]) for row in batch)


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as found:
        Predictor(folder, 1)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_a_folder_without_a_model_is_refused(tmp_path, folder) -> None:
    assert "nowhere: no such folder; give one" in refusal(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "expected config.json and model.onnx or model.safetensors, found an empty folder" in refusal(
        tmp_path / "empty"
    )
    (folder / "model.onnx").unlink()
    (folder / "model.safetensors").unlink()
    assert "found config.json, manifest.json" in refusal(folder)


def test_a_damaged_file_is_refused_by_name(folder) -> None:
    whole = (folder / "model.onnx").read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for data in (whole[: len(whole) // 2], bytes(changed), b""):
        (folder / "model.onnx").write_bytes(data)
        assert "model.onnx: damaged or of another model (sha256" in refusal(folder)
    (folder / "manifest.json").unlink()
    (folder / "model.onnx").write_bytes(whole[:1000])
    assert "model.onnx: damaged (" in refusal(folder)
    (folder / "config.json").write_text("{")
    assert "config.json: damaged (" in refusal(folder)


def test_a_tokenizer_that_does_not_match_the_embedding_is_refused(folder, exports) -> None:
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    spec["model"]["vocab"].append(["zzzz", -20.0])
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    size = read_card(folder).pieces
    assert f"tokenizer.json: {size + 1:,} pieces, but the embedding table has {size:,} rows" in refusal(folder)
    del spec["model"]["vocab"][-1]
    spec["model"]["vocab"][10][1] -= 1.0
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    assert "tokenizer.json: damaged or of another model" in refusal(folder)
    (folder / "tokenizer.json").write_text("{}")
    assert "tokenizer.json: damaged (" in refusal(folder)
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json: no such file" in refusal(folder)


def test_another_kind_of_model_is_refused(folder) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["XLMRobertaModel"]}))
    assert "expected an architecture that ends with ForSequenceClassification" in refusal(folder)
    (folder / "config.json").write_text(json.dumps({"architectures": ["XLMRobertaForMaskedLM"]}))
    assert "config.json: expected an XLM-R model's config, found no usable 'vocab_size'" in refusal(folder)


def test_an_onnx_file_with_other_inputs_is_refused(folder) -> None:
    import onnx

    model = onnx.load(folder / "model.onnx")
    for node in model.graph.node:
        node.input[:] = ["ids" if name == "input_ids" else name for name in node.input]
    model.graph.input[0].name = "ids"
    onnx.save(model, folder / "model.onnx")
    manifest = read_json(folder / "manifest.json", "export")
    manifest["sha256"]["model.onnx"] = sha256_file(folder / "model.onnx")
    write_json(folder / "manifest.json", manifest)
    assert "expected the inputs input_ids and attention_mask, found attention_mask, ids" in refusal(folder)


def test_a_folder_of_transformers_alone_serves_with_its_own_labels(exports, tmp_path) -> None:
    trained = exports / "models/finetuned/student/words/seed-1"
    alone = Path(shutil.copytree(trained, tmp_path / "alone"))
    card = read_card(alone)
    assert (card.labels, card.normalised, card.max_length) == (LABELS["text_classification"], False, 512)
    assert open_tokenizer(alone, card).get_vocab_size() == card.pieces
