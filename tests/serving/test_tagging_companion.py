"""A linear model beside an exported tagger: its features, what it knows, and that served tags are the scored ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from distil.core.files import read_json, write_json
from distil.evaluation.config import CompanionConfig
from distil.evaluation.counts import TagPredictions
from distil.serving.companion_fit import Fitted, fit_companion, write_companion
from distil.serving.hashed_ngrams import hashed_windows
from distil.serving.predictor import Predictor
from distil.tasks.data import Task, read_task
from distil.tasks.tag_decoding import Decoder, write_transitions
from tests.support.companion import without_share
from tests.support.exported import LABELS, MAX_LENGTH

TAGS = LABELS["token_classification"]  # O, B-PER, I-PER
BITS = 10
NAMES = {"kin": ["Mugisha", "Uwase"], "swa": ["Juma", "Asha"]}
CONFIG = CompanionConfig(tasks=("names",), bits=BITS)


def sentence(rng: np.random.Generator, code: str) -> dict[str, list[str]]:
    """Two names in a row and small words of the language around them; one in ten is longer than the tagger reads."""
    small = [f"{code}{letter}" for letter in rng.choice(list("aeiou"), 4 if rng.random() > 0.1 else MAX_LENGTH)]
    at = int(rng.integers(1, 4))
    tokens = [*small[:at], *rng.choice(NAMES[code], 2).tolist(), *small[at:]]
    return {
        "tokens": tokens,
        "tags": ["B-PER" if n == at else "I-PER" if n == at + 1 else "O" for n in range(len(tokens))],
    }


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder, rng, languages = tmp_path_factory.mktemp("task") / "names", np.random.default_rng(0), {}
    for code in NAMES:
        (folder / code).mkdir(parents=True)
        languages[code] = {}
        for split, count in (("train", 60), ("dev", 30), ("test", 30)):
            rows = [json.dumps(sentence(rng, code)) for _ in range(count)]
            (folder / code / f"{split}.jsonl").write_text("".join(f"{row}\n" for row in rows))
            languages[code][split] = {"rows": count}
    write_json(folder / "manifest.json",
               {"task": "names", "kind": "token_classification", "labels": TAGS, "languages": languages})  # fmt: skip
    return read_task(folder)


@pytest.fixture(scope="module", params=["words", "chain"])
def exported(request: pytest.FixtureRequest, exports: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tagger, without and with learned transitions."""
    folder = tmp_path_factory.mktemp("tagger") / "names/int8"
    shutil.copytree(exports / "models/onnx/names/int8", folder)
    if request.param == "chain":
        write_transitions(folder, TAGS, np.random.default_rng(1).normal(size=(4, 3)))
        config = read_json(folder / "config.json", "")
        write_json(folder / "config.json", {**config, "transitions": "transitions.json"})
    return folder


@pytest.fixture(scope="module")
def fitted(task: Task, exported: Path) -> Fitted:
    return fit_companion(task, Predictor(exported), list(NAMES), CONFIG)


def test_a_word_has_the_rows_of_its_window_and_its_characters() -> None:
    first, second = hashed_windows(["Aka", "aka"], 16)
    half = [rows < 2**16 for rows, _ in (first, second)]
    # Five places, those outside of the sentence empty; ` Aka ` has 4, 4, 3, 2 and 1 different n-grams of 1 to 5
    # characters, ` aka ` one fewer, since its two a are one.
    assert [mask.sum() for mask in half] == [5, 5] and [(~mask).sum() for mask in half] == [14, 13]
    assert set(first[0].tolist()) != set(second[0].tolist())
    for rows, values in (first, second):
        assert (np.diff(rows) > 0).all() and np.square(values[rows < 2**16]).sum() == pytest.approx(1)
    assert hashed_windows([], 16) == []


def test_the_mixture_knows_what_the_random_tagger_does_not(fitted: Fitted, exported: Path, task: Task) -> None:
    for code, found in fitted.predictions.items():
        assert isinstance(found, TagPredictions)
        alone = Predictor(exported).tag(Predictor(exported).encode_words(found.gold))
        assert np.mean([gold == said for gold, said in zip(found.gold, found.predicted[0], strict=True)]) > 0.9
        assert np.mean([gold == said["tags"] for gold, said in zip(found.gold, alone, strict=True)]) < 0.2
        assert fitted.figures[code]["share"] > 0.8 and fitted.figures[code]["language_guessed"] > 0.9


def test_the_served_folder_says_what_was_scored(fitted: Fitted, exported: Path, task: Task, tmp_path: Path) -> None:
    write_companion(fitted, exported, tmp_path / "int8")
    predictor = Predictor(tmp_path / "int8")
    for code, found in fitted.predictions.items():
        answers = predictor.predict([" ".join(row.tokens) for row in task.token_rows(code, "test")])
        assert [each["tags"] for each in answers] == found.predicted[0]
        assert {each["language"] for each in answers} == {code}
        assert all(0 < score <= 1 for each in answers for score in each["scores"])
    assert {each["language"] for each in Predictor(tmp_path / "int8", language="kin").predict(["swaa Juma"])} == {"kin"}


def test_without_a_share_the_tags_are_those_of_the_taggers_probabilities(
    fitted: Fitted, exported: Path, task: Task, tmp_path: Path
) -> None:
    write_companion(without_share(fitted), exported, tmp_path / "int8")
    predictor = Predictor(exported)
    sentences = predictor.encode_words([row.tokens for row in task.token_rows("kin", "test")])
    served = Predictor(tmp_path / "int8").tag(sentences)
    for (logits, placed), found in zip(predictor.word_logits(sentences), served, strict=True):
        probs = predictor.word_probs(logits, placed)
        best = Decoder(TAGS, None)(np.log(probs), placed)
        assert found["tags"] == [TAGS[number] for number in best]
        assert found["scores"] == pytest.approx(probs[np.arange(len(best)), best], abs=1e-6)
