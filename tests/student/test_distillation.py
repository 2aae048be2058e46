"""Distilling a student: what is said before it begins."""

import logging
from pathlib import Path

import pytest

from tests.training.test_trainer import TRAIN, distil


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
