"""JavaScript gives what Python gives: transformers.js on the folder of `distil web`, the page's own modules in Node."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distil.core.files import read_json, write_json
from distil.modeling.tokenizer import read_as_text, special_ids
from distil.serving.line_stream import read_line
from distil.serving.predictor import Predictor, split_words
from distil.tasks.tag_decoding import Decoder
from distil.text.normalisation import normalise
from distil.text.views import without_marks
from distil.web.folder import write_web_folder
from distil.web.normalizer import read_spec
from distil.web.runtime import FILES, NPM, versions
from distil.web.trigrams import trigrams
from tests.support import ROOT
from tests.support.exported import LABELS, MAX_LENGTH
from tests.support.javascript import MODULES, needs_node, run_node
from tests.web.conftest import EACH
from tests.web.texts import odd_texts

HERE = Path(__file__).parent
TRANSFORMERS = MODULES / "@huggingface/transformers/dist/transformers.node.mjs"
SAMPLE = ROOT / "distil/sample_teacher/tokenizer.json"  # of 2,600 pieces, trained on the five languages
pytestmark = needs_node


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """1,000 texts of five languages, and odd ones."""
    return odd_texts(EACH)


def cleaned(texts: list[str]) -> list[str]:
    return [read_line(text.encode(), len(text.encode())).text for text in texts]


@pytest.fixture(scope="module")
def classified(exports: Path, texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("web") / "words"
    write_web_folder(exports / "models/onnx/words", folder)
    plain = [text for text in cleaned(texts) if text and "<" not in text]  # to transformers.js <s> is its special piece
    found = run_node(HERE / "transformers.mjs", TRANSFORMERS, "text-classification", folder, given=plain)
    return {"texts": plain, **found}


def test_transformers_js_classifies_1000_texts_as_python_does(exports, classified) -> None:
    model = Predictor(exports / "models/onnx/words/fp32", 1)
    expected = [model([text])[0] for text in classified["texts"]]
    assert len(expected) >= 1000 and len({str(answer) for answer in expected}) > 500
    assert classified["fetched"] == []
    for text, answer, found in zip(classified["texts"], expected, classified["answers"], strict=True):
        scores = {one["label"]: one["score"] for one in found}
        long = len(model.encode([text])[0]) == MAX_LENGTH
        assert set(scores) == set(answer["scores"])
        assert long or scores == pytest.approx(answer["scores"], abs=2e-5), text
        assert long or found[0]["label"] == answer["label"]


def test_transformers_js_gives_the_ids_of_python_and_cuts_a_text_at_the_same_length(exports, classified) -> None:
    """It leaves out the </s> of a text that it cuts; nothing in a folder changes that."""
    expected = Predictor(exports / "models/onnx/words/fp32", 1).encode(classified["texts"])
    assert classified["longest"] == MAX_LENGTH and max(map(len, expected)) == MAX_LENGTH
    for text, ids, found in zip(classified["texts"], expected, classified["ids"], strict=True):
        assert found[:-1] == ids[:-1] and (found[-1] == ids[-1] or len(ids) == MAX_LENGTH), text


def test_transformers_js_tags_with_the_labels_and_scores_of_python(exports, texts, tmp_path) -> None:
    write_web_folder(exports / "models/onnx/names", tmp_path / "names")
    model = Predictor(exports / "models/onnx/names/fp32", 1)
    short = [text for text in (" ".join(text.split()[:3]) for text in cleaned(texts[:60])) if "<" not in text]
    short = [text for text in short if text and len(model.encode([text])[0]) < MAX_LENGTH]
    found = run_node(HERE / "transformers.mjs", TRANSFORMERS, "token-classification", tmp_path / "names", given=short)
    rows = model.encode(short)
    logits, labels = dict(model.rows(rows)), LABELS["token_classification"]
    assert len(short) > 5 and found["fetched"] == [] and found["ids"] == rows
    for number, answer in enumerate(found["answers"]):
        best = logits[number].argmax(axis=-1)
        assert len(answer) > 2
        assert [one["entity"] for one in answer] == [labels[best[one["index"]]] for one in answer]


def test_the_ids_of_a_vocabulary_of_the_five_languages_are_those_of_python(texts, demo, sample) -> None:
    lines = [line for line in cleaned(texts) if line]
    found = page(demo, sample, lines, [], 512)
    tokenizer = read_as_text(SAMPLE)
    assert found["ids"] == [encoding.ids for encoding in tokenizer.encode_batch(lines)]
    assert found["size"] == tokenizer.get_vocab_size()
    assert sum(map(len, found["ids"])) > 10 * len(lines) > 10_000


def test_transformers_js_reads_raw_and_bare_texts_alike_where_marks_were_dropped(exports, texts, tmp_path) -> None:
    exported = Path(shutil.copytree(exports / "models/onnx/words", tmp_path / "words"))
    for precision in ("fp32", "int8"):
        path = exported / precision / "manifest.json"
        write_json(path, {**read_json(path, ""), "marks": "drop"})
    write_web_folder(exported, tmp_path / "web")
    short = [" ".join(line.split()[:3]) for line in cleaned(texts) if "<" not in line]  # none is cut
    lines = [line for line in short if line != without_marks(line)][:40]
    given = [*lines, *map(without_marks, lines)]
    found = run_node(HERE / "transformers.mjs", TRANSFORMERS, "text-classification", tmp_path / "web", given=given)
    assert (
        len(lines) == 40 and found["ids"][:40] == found["ids"][40:] and found["answers"][:40] == found["answers"][40:]
    )
    expected = Predictor(exported / "fp32", 1).predict(lines)
    for answer, one in zip(found["answers"], expected, strict=False):
        assert {each["label"]: each["score"] for each in answer} == pytest.approx(one["scores"], abs=2e-5)


def test_the_page_takes_marks_off_as_python_does(texts, demo, tmp_path) -> None:
    lines = [line for line in cleaned(texts) if line]
    write_json(tmp_path / "tokenizer.json", read_spec(SAMPLE.parent, "drop"))
    found, tokenizer = page(demo, tmp_path / "tokenizer.json", lines, [], 512), read_as_text(SAMPLE)
    assert found["ids"] == [encoding.ids for encoding in tokenizer.encode_batch(list(map(without_marks, lines)))]
    assert found["ids"] != [encoding.ids for encoding in tokenizer.encode_batch(lines)]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample teacher's tokenizer as a demo has it."""
    path = tmp_path_factory.mktemp("sample") / "tokenizer.json"
    write_json(path, read_spec(SAMPLE.parent))
    return path


def page(demo: Path, sample: Path, texts: list[str], tagged: list[dict[str, Any]], longest: int) -> dict[str, Any]:
    return run_node(HERE / "page.mjs", demo, sample, given={"texts": texts, "tagged": tagged, "longest": longest})


@pytest.fixture(scope="module")
def made(demo: Path, sample: Path, texts: list[str]) -> dict[str, Any]:
    """What the page makes of all texts, with rows of at most 16 tokens."""
    return page(demo, sample, texts, list(sequences()), 16)


def sequences() -> Iterator[dict[str, Any]]:
    """Scores of sentences, words without a score among them, for sets of labels of several forms."""
    rng = np.random.default_rng(3)
    for labels in (["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], ["I-PER", "O"], ["x", "B-y", "I-y"]):
        for _ in range(60):
            logits = rng.normal(0, 3, (int(rng.integers(1, 9)), len(labels))).round(2)
            transitions = rng.normal(0, 2, (len(labels) + 1, len(labels))).round(2) if rng.random() < 0.5 else None
            yield {"labels": labels, "logits": [None if rng.random() < 0.1 else row.tolist() for row in logits],
                   "transitions": None if transitions is None else transitions.tolist()}  # fmt: skip


def test_a_text_is_cleaned_and_normalised_as_in_python(made, texts) -> None:
    lines = cleaned(texts)
    assert made["lines"] == lines
    assert made["normalised"] == [normalise(line) for line in lines]
    assert made["trigrams"] == [trigrams(line) for line in lines]


def test_the_words_of_a_tagger_are_split_into_rows_as_in_python(made, texts) -> None:
    tokenizer = read_as_text(SAMPLE)
    special, cut = special_ids(tokenizer), 0
    for line, found in zip(cleaned(texts), made["words"], strict=True):
        words = line.split() or [""]
        encoding = tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False)
        expected = split_words(words, encoding, special, 16)
        cut += len(expected.rows) > 1
        assert found == {"rows": expected.rows, "places": [place and list(place) for place in expected.places]}, line
    assert cut > 300


def test_tags_are_the_valid_sequences_of_python_and_entities_begin_at_b(made) -> None:
    for given, found in zip(sequences(), made["tags"], strict=True):
        placed = np.array([row is not None for row in given["logits"]])
        logits = np.array([row or [0.0] * len(given["labels"]) for row in given["logits"]])
        assert found == decoder(given)(logits, placed).tolist()
    for given, tags, found in zip(sequences(), made["tags"], made["entities"], strict=True):
        names = [given["labels"][tag] for tag in tags]
        assert sum(name.startswith("B-") for name in names) <= len(found)
        inside = {word for one in found for word in range(one["first"], one["last"] + 1)}
        assert inside == {word for word, name in enumerate(names) if name[:2] in ("B-", "I-")}


def decoder(given: dict[str, Any]) -> Decoder:
    return Decoder(given["labels"], None if given["transitions"] is None else np.array(given["transitions"]))


def test_the_probabilities_of_tags_are_the_marginals_of_python(made) -> None:
    for given, found in zip(sequences(), made["marginals"], strict=True):
        placed = np.array([row is not None for row in given["logits"]])
        logits = np.array([row or [0.0] * len(given["labels"]) for row in given["logits"]])
        np.testing.assert_allclose(found, decoder(given).marginals(logits, placed), atol=1e-9)


def test_the_language_of_a_sentence_is_guessed(made) -> None:
    """Sentences that the tables have not seen; a text that says little gives no guess."""
    expected = [code for code in ("hau", "ibo", "kin", "swa", "yor") for _ in range(EACH)]
    found = made["languages"]
    right = sum(guess == code for guess, code in zip(found, expected, strict=False))
    assert right > 0.95 * len(expected)
    assert found[len(expected)] is None  # an emoji


def test_the_runtime_is_the_one_that_is_tested_and_no_lock_names_a_host() -> None:
    tested, locks = read_json(ROOT / "tests/web/package.json", ""), [NPM, ROOT / "tests/web"]
    assert versions().items() <= tested["dependencies"].items()
    assert tested["overrides"] == {"onnxruntime-web": versions()["onnxruntime-web"]}
    for lock in locks:
        text = (lock / "package-lock.json").read_text(encoding="utf-8")
        assert "resolved" not in text and not re.search(r"https?://[^\"]*(?:registry|npm)", text)
    assert all((MODULES / file).is_file() for file in FILES.values())
