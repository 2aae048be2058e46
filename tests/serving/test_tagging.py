"""Served tags are the scored ones: one decoder for evaluation, torch, ONNX and the comparison of an export."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from distil.core.errors import UserError
from distil.core.files import read_json, write_json
from distil.finetuning.classifier import decode_labels, load_classifier, predict_scores
from distil.finetuning.encoding import Encoder
from distil.serving.predictor import Predictor, Words, word_logits
from distil.tasks.tag_decoding import Decoder
from distil.tasks.tag_schemes import spans, split_tag
from tests.support import toy
from tests.support.exported import LABELS, MAX_LENGTH

TAGS = LABELS["token_classification"]  # O, B-PER, I-PER
TEXTS = toy.sentences(120, 7)


class FixedScores:
    """A runtime that gives each token the same scores in every text, by its place in the row."""

    workers = 1

    def __init__(self, scores: list[list[float]]) -> None:
        self.scores = np.array(scores, np.float32)

    def logits(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """(B, T, C)."""
        return np.stack([self.scores[: input_ids.shape[1]]] * len(input_ids))


def valid(tags: list[str]) -> bool:
    """Whether no I- is without its beginning."""
    found = [tag for name in tags if (tag := split_tag(name))]
    return all(name.startswith("B-") for name in (tags[span.start] for span in spans(found)))


def argmax_tags(predictor: Predictor, sentence: Words) -> list[str]:
    rows = [logits for _, logits in sorted(predictor.rows(sentence.rows), key=lambda pair: pair[0])]
    logits, placed = word_logits(sentence, rows, len(TAGS))
    assert placed.all()
    return [TAGS[number] for number in logits.argmax(axis=1)]


@pytest.mark.parametrize("folder", ["models/onnx/names/fp32", "models/finetuned/student/names/seed-1"])
def test_predicted_tags_are_those_of_evaluation_also_where_the_best_tag_of_each_word_is_not_valid(
    exports: Path, folder: str
) -> None:
    predictor = Predictor(exports / folder, 1)
    sentences = predictor.encode_words([text.split() for text in TEXTS])
    fitting = [number for number, sentence in enumerate(sentences) if len(sentence.rows) == 1]
    trained = exports / "models/finetuned/student/names/seed-1"
    encoder = Encoder(trained, MAX_LENGTH, "finetune_student")
    words = [TEXTS[number].split() for number in fitting]
    rows = encoder._sentences(words, [[0] * len(each) for each in words], 0)
    model = load_classifier(trained, "token_classification", TAGS, MAX_LENGTH, "finetune_student")
    scored = [
        TAGS[number]
        for number in decode_labels(
            predict_scores(model, rows, encoder.pad_id), rows, "token_classification", TAGS, None
        )
    ]
    served = [found["tags"] for found in predictor([TEXTS[number] for number in fitting])]
    assert [tag for tags in served for tag in tags] == scored
    plain = [argmax_tags(predictor, sentences[number]) for number in fitting]
    assert sum(not valid(tags) for tags in plain) >= 5, "expected sentences whose best tags are not valid"
    assert all(map(valid, served))
    assert all(tags == best for tags, best in zip(served, plain, strict=True) if valid(best))


def test_a_word_has_the_tag_of_the_best_valid_sequence_and_its_probability(exports: Path) -> None:
    predictor = Predictor(exports / "models/onnx/names/fp32", 1)
    words = [word for text in TEXTS for word in text.split() if len(predictor.tokenizer.encode(
        [word], is_pretokenized=True, add_special_tokens=False).ids) == 1][:2]  # fmt: skip
    # <s>, two words, </s>. Word by word the best tags are O I-PER, which is not valid; log-probabilities of the pairs:
    # O O: -0.4 - 3.2, O B-PER: -0.4 - 2.2, B-PER I-PER: -1.4 - 0.2 and so the best one.
    predictor.runtime = FixedScores([[0, 0, 0], [2, 1, -2], [-2, -1, 1], [0, 0, 0]])
    (found,) = predictor([" ".join(words)])
    assert found["tags"] == ["B-PER", "I-PER"]
    first, second = np.exp([2, 1, -2]), np.exp([-2, -1, 1])
    assert found["scores"] == pytest.approx([first[1] / first.sum(), second[2] / second.sum()], abs=1e-6)


def test_a_sentence_over_several_rows_is_decoded_as_one() -> None:
    # The second row begins inside of an entity that the first one began.
    sentence = Words(["a", "b", "c"], [[0, 5, 2], [0, 6, 7, 2]], [(0, 1), (1, 1), None])
    rows = [np.array([[0, 0, 0], [0, 9, 0], [0, 0, 0]]), np.array([[0, 0, 0], [0, 0, 9], [0, 0, 0], [0, 0, 0]])]
    logits, placed = word_logits(sentence, rows, 3)
    assert logits.tolist() == [[0, 9, 0], [0, 0, 9], [0, 0, 0]] and placed.tolist() == [True, True, False]
    assert Decoder(TAGS, None)(logits, placed).tolist() == [1, 2, 0]


def test_a_word_that_no_model_read_is_outside_or_has_the_first_label() -> None:
    nothing, placed = np.full((2, 3), np.nan), np.array([False, False])
    assert Decoder(["B-PER", "I-PER", "O"], None)(nothing, placed).tolist() == [2, 2]
    assert Decoder(["NOUN", "VERB", "ADP"], None)(nothing, placed).tolist() == [0, 0]


def test_labels_of_config_and_manifest_that_differ_are_refused(exports: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exports / "models/onnx/names/int8", tmp_path / "names")
    manifest = read_json(folder / "manifest.json", "export")
    write_json(folder / "manifest.json", manifest | {"labels": ["O", "B-LOC", "I-LOC"]})
    with pytest.raises(
        UserError, match="manifest.json has the labels O, B-LOC, I-LOC, config.json O, B-PER, I-PER; export"
    ):
        Predictor(folder, 1)
