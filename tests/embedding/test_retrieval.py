"""Accuracy at 1: by hand, beside sentence-transformers' own evaluator, and with intervals that hold what they say."""

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.evaluation import TranslationEvaluator

from distil.embedding.retrieval import accuracy, all_hits, centred, difference, hits


def test_a_sentence_finds_its_translation_in_each_direction_for_itself() -> None:
    # Cosines, a row for each of `one`:
    #   0.6  0.96 0.8      there: 0 finds 1, 1 finds 0, 2 finds 1
    #   1    0.8  0        back: 0 finds 1, 1 finds 2, 2 finds 0
    #   0.8  1    0.6
    one = np.array([[0.6, 0.8], [1, 0], [0.8, 0.6]])
    other = np.array([[1, 0], [0.8, 0.6], [0, 1]])
    assert hits(one, other).tolist() == [[False] * 3, [False] * 3]
    # In the order 1, 2, 0: there all but the last, whose nearest is 1; back all.
    assert hits(one[[1, 2, 0]], other).tolist() == [[True, True, False], [True, True, True]]


def test_the_length_of_a_vector_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40, 6))
    np.testing.assert_array_equal(hits(one, other), hits(one * rng.uniform(1, 9, (40, 1)), other))


def test_accuracies_are_those_of_sentence_transformers() -> None:
    class Encoder:
        def __init__(self, vectors: np.ndarray) -> None:
            self.vectors = torch.from_numpy(vectors)
            self.model_card_data = self

        def set_evaluation_metrics(self, *_: object) -> None: ...

        def encode(self, texts: list[str], **_: object) -> list[torch.Tensor]:
            return [self.vectors[int(text)] for text in texts]

    rng = np.random.default_rng(1)
    one = rng.normal(size=(60, 8))
    other = one + rng.normal(size=(60, 8))
    evaluator = TranslationEvaluator([str(n) for n in range(60)], [str(n) for n in range(60, 120)], write_csv=False)
    theirs = evaluator(Encoder(np.concatenate([one, other])))
    there, back = accuracy([hits(one, other)], 100)["directions"]
    assert 5 < there < 95
    assert there == pytest.approx(100 * theirs["src2trg_accuracy"])
    assert back == pytest.approx(100 * theirs["trg2src_accuracy"])


def test_a_mean_that_a_language_shares_hides_translations_and_centring_brings_them_back() -> None:
    rng = np.random.default_rng(2)
    meaning = rng.normal(size=(50, 16))
    one, other = (meaning + 0.1 * rng.normal(size=(50, 16)) + 20 * rng.normal(size=16) for _ in range(2))
    assert accuracy([hits(one, other)], 100)["accuracy"] < 60
    assert accuracy([hits(centred(one), centred(other))], 100)["accuracy"] > 95


def test_means_are_over_pairs_of_languages_and_both_directions() -> None:
    vectors = {"eng": np.eye(4), "swa": np.eye(4), "yor": np.roll(np.eye(4), 1, axis=0)}
    found = all_hits(vectors)
    assert list(found) == [("eng", "swa"), ("eng", "yor"), ("swa", "yor")]
    assert accuracy(list(found.values()), 100)["accuracy"] == pytest.approx(100 / 3)


def test_an_interval_covers_the_rate_of_the_population_about_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(3), 0
    for _ in range(200):
        low, high = accuracy([np.tile(rng.random(100) < 0.6, (2, 1))], 400)["interval"]
        covered += low <= 60 <= high
    assert 175 <= covered <= 200  # 190 expected


def test_a_difference_is_paired_over_sentences() -> None:
    rng = np.random.default_rng(4)
    one = np.tile(rng.random(300) < 0.5, (2, 1))
    other = one.copy()
    other[:, np.flatnonzero(one[0])[:30]] = False
    gain = difference([one], [other], 500)
    assert gain["accuracy"] == pytest.approx(10)
    assert 6 < gain["interval"][0] < 10 < gain["interval"][1] < 14  # unpaired it would be +-8
    assert difference([one], [one], 500)["interval"] == [0, 0]


def test_vectors_of_another_number_of_sentences_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(2, 2\)"):
        hits(np.ones((3, 2)), np.ones((2, 2)))
