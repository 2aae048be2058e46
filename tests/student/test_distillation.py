"""Distilling a student: what is said before it begins, and what is beside its weights."""

import logging
from pathlib import Path

import pytest

from distil.serving.model_info import read_card
from distil.student.distillation import DistillationConfig, distil_student
from tests.support import toy
from tests.training.test_trainer import LAST, LOSS, TRAIN, caches, distil, paths_of


@pytest.mark.parametrize(("epochs", "warned"), [(1, True), (2, False)])
def test_a_mask_variant_that_no_epoch_reads_is_warned_of(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, epochs: int, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING, "distil"):
        distil(world, tmp_path, config=TRAIN.model_copy(update={"epochs": epochs}))
    sentence = (
        "distil: the teacher read 2 mask variants and train.epochs: 1 reads only 1 of them; set tokenize.mask_variants "
        "to 1, each variant costs a teacher pass"
    )
    assert (sentence in caplog.messages) == warned


def test_a_student_of_transliterated_text_says_so_beside_its_weights(world: Path, tmp_path: Path) -> None:
    config = DistillationConfig(toy.SHAPE, LOSS, LAST, TRAIN.model_copy(update={"epochs": 1}))
    for name, script in (("as_is", {}), ("latin", {"script": "latin"})):
        texts, paths = caches(world), paths_of(world, tmp_path / name)
        for folder in (paths.out, paths.metrics, paths.scratch):
            folder.mkdir(parents=True)
        texts[0].prepared.manifest.update(script)  # as `tokenize` writes it
        distil_student(texts, toy.LANGUAGES, config, paths)
        card = read_card(paths.out)
        assert (card.script, (paths.out / "manifest.json").is_file()) == (script.get("script", "keep"), bool(script))
    assert card.languages == toy.LANGUAGES and card.kind == "masked_lm"
