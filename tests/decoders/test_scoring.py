"""Scores of labels: equal to a loop by hand, whatever the batch; calibration, shots and cut texts."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from distil.core.errors import UserError
from distil.decoders.loading import Decoder, load_decoder
from distil.decoders.prompts import TaskPrompt, draw_shots
from distil.decoders.scoring import LabelScorer
from distil.evaluation.config import FewLabelsConfig
from distil.sources.synthetic import LISTS_OF, Draws, labelled_rows, read_lexicon
from distil.tasks.data import TextRow
from tests.support import ROOT, lab
from tests.support.decoders import PROMPT, train_decoder, write_decoder

ALL = lab.SCORING.few_labels
NAMES = {"good": "good", "bad": "really not good"}  # of one token, and of several


@pytest.fixture(scope="module")
def decoder(room: Path) -> Decoder:
    return load_decoder(room / "decoder", "the decoder", "float32")


def scorer(decoder: Decoder, calibrate: bool = False, batch: int = 4096, cut: int = 128) -> LabelScorer:
    return LabelScorer(decoder, TaskPrompt(PROMPT, NAMES), batch, cut, calibrate)


def by_hand(decoder: Decoder, context: str, answer: str) -> float:
    """The sum of log p of an answer's tokens, one forward pass for each."""
    before = [0, *decoder.tokenizer(context, add_special_tokens=False).input_ids]
    whole = [0, *decoder.tokenizer(context + answer, add_special_tokens=False).input_ids]
    total = 0.0
    for place in range(len(before), len(whole)):
        with torch.no_grad():
            logits = decoder.model(torch.tensor([whole[:place]])).logits[0, -1]
        total += float(torch.log_softmax(logits.double(), dim=-1)[whole[place]])
    return total


def texts(count: int = 12) -> Sequence[str]:
    return [text for code in ("swa", "yor") for text in lab.task_of("words").texts(code, "test")][::5][:count]


def test_log_likelihoods_equal_a_loop_by_hand(here: Path, decoder: Decoder) -> None:
    contexts = [f"text: {text}\nlabel:" for text in texts()]
    expected = [[by_hand(decoder, context, f" {name}") for name in NAMES.values()] for context in contexts]
    found = scorer(decoder).log_likelihoods(contexts)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_batch_gives_what_single_texts_give(here: Path, decoder: Decoder) -> None:
    together = scorer(decoder, True).log_probs(texts())
    alone = [scorer(decoder, True, batch=64).log_probs([text])[0] for text in texts()]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.exp(together).sum(axis=1), 1, atol=1e-6)


def test_calibration_takes_the_score_of_an_empty_text_off(here: Path, decoder: Decoder) -> None:
    plain, calibrated = (scorer(decoder, on).log_probs(texts()) for on in (False, True))
    empty = [by_hand(decoder, "text: \nlabel:", f" {name}") for name in NAMES.values()]
    expected = plain - empty
    expected -= np.logaddexp.reduce(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(calibrated, expected, atol=1e-5)
    np.testing.assert_allclose(scorer(decoder, True).log_probs([""]), np.log([[0.5, 0.5]]), atol=1e-6)


def test_shots_change_nothing_but_what_stands_in_front(here: Path, decoder: Decoder) -> None:
    task = lab.task_of("words")
    shots = draw_shots(task, "swa", 2, ALL)
    assert sorted(row.label for row in shots) == ["bad", "bad", "good", "good"]
    few = FewLabelsConfig(languages=("swa",), rows=1)
    assert len(draw_shots(task, "swa", 2, few)) == 1 and len(draw_shots(task, "yor", 2, few)) == 4
    assert shots == draw_shots(task, "swa", 2, ALL) and not draw_shots(task, "swa", 0, ALL)
    front = "".join(f"text: {row.text}\nlabel: {NAMES[row.label]}\n\n" for row in shots)
    expected = scorer(decoder).log_likelihoods([f"{front}text: {text}\nlabel:" for text in texts(3)])
    found = scorer(decoder).log_probs(texts(3), shots)
    np.testing.assert_allclose(found, expected - np.logaddexp.reduce(expected, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("calibrate", [False, True])
def test_a_text_that_is_a_shot_is_read_without_it(here: Path, decoder: Decoder, calibrate: bool) -> None:
    shots = [TextRow(text, "good") for text in texts(3)]
    found = scorer(decoder, calibrate).log_probs([shots[1].text], shots)
    expected = scorer(decoder, calibrate).log_probs([shots[1].text], [shots[0], shots[2]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_text_is_cut_at_the_limit_of_tokens(here: Path, decoder: Decoder) -> None:
    text = " ".join(texts())
    ids = decoder.tokenizer(text, add_special_tokens=False).input_ids[:9]
    short = decoder.tokenizer.decode(ids)
    assert text.startswith(short) and short != text
    np.testing.assert_array_equal(scorer(decoder, cut=9).log_probs([text]), scorer(decoder).log_probs([short]))


def test_prompts_longer_than_the_model_reads_are_counted(here: Path, decoder: Decoder) -> None:
    shots = [TextRow(f"{text} {text} {text}", "good") for text in texts()]
    with pytest.raises(UserError, match=r"the decoder: 2 of 2 prompts are longer than its 256 positions; use fewer sh"):
        scorer(decoder).log_probs([texts()[0]], shots)


@pytest.mark.slow
def test_a_small_decoder_that_has_read_labelled_lines_scores_the_sample_above_90_points(tmp_path: Path) -> None:
    """Lines of the sample's generator, none of them a row of its test set."""
    from sklearn.metrics import f1_score

    lexicon = read_lexicon(ROOT / "distil/lexicons", "swa")
    test, rng = labelled_rows(lexicon)["test"], random.Random(1)
    known, draws, lines = {text for text, _ in test}, Draws(rng), []
    for label, (plain, turned, share) in LISTS_OF.items():
        lines += [(draws.take(lexicon, turned if rng.random() < share else plain), label) for _ in range(1300)]
    lines = [line for line in lines if line[0] not in known]
    prompt = TaskPrompt(PROMPT, {label: label for label in LISTS_OF})
    pairs = [(prompt.context(text), f" {label}") for text, label in lines]
    rng.shuffle(pairs)
    write_decoder(tmp_path, ["".join(pair) for pair in pairs], pieces=1200)
    gold = [list(LISTS_OF).index(label) for _, label in test]

    def score() -> float:
        loaded = load_decoder(tmp_path, "small", "float32")
        said = LabelScorer(loaded, prompt, 1024, 128, False).log_probs([text for text, _ in test]).argmax(axis=1)
        return float(f1_score(gold, said, average="weighted"))

    assert score() < 0.6  # random weights
    train_decoder(tmp_path, pairs, 500)
    assert score() >= 0.9
