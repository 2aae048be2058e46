"""The same parameters give the same bytes; and what only agrees within a bound."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.faults.pipeline import STEPS, Zygote, contents, make_pipeline
from tests.support import toy
from tests.training.test_trainer import distil


@pytest.mark.faults
def test_two_pipelines_in_two_places_with_other_workers_give_the_same_bytes(
    pipeline: Path, zygote: Zygote, tmp_path: Path
) -> None:
    again = make_pipeline(tmp_path / "elsewhere/entirely", zygote, **{"corpus.workers": 2})
    outs = [out for step in STEPS for out in step.outs]
    one, other = contents(pipeline, outs), contents(again, outs)
    assert one.keys() == other.keys() and len(one) > 60
    assert [name for name in one if one[name] != other[name]] == []


@pytest.mark.faults
def test_another_number_of_threads_agrees_within_a_percent(world: Path, tmp_path: Path) -> None:
    threads, losses = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            summary, _ = distil(world, tmp_path / str(count))
            losses.append([summary["heldout"][language]["loss"] for language in toy.LANGUAGES])
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.01)
