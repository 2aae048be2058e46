"""Numbers that break stop a training with step, batch and languages, before they reach weights or checkpoint.

A loss that is no number: training/test_trainer.py, of a fine-tuning and of a teacher: pipeline/test_bad_stage_input.py.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distil.core.errors import UserError
from distil.modeling.xlm_roberta import load_masked_lm
from distil.teacher import masked_lm as mlm
from distil.teacher.adaptation import AdaptConfig, adapt
from distil.training import objective
from tests.support import toy
from tests.training.test_trainer import distil

ADAPT = AdaptConfig.model_validate({
    "steps": 12, "text": "data/raw", "batch_tokens": 256, "max_length": 24, "learning_rate": 0.001,
    "warmup_fraction": 0.1, "mask_rate": 0.15, "sampling_temperature": 1.0, "heldout_fraction": 0.15,
    "checkpoint_every": 5, "keep": 1.0, "new_pieces": 0, "new_pieces_rate": 5.0, "guard": 0.0, "precision": "float32",
})  # fmt: skip


class Explode(torch.autograd.Function):
    """Leaves a loss as it is and makes its gradient infinite."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return gradient * float("inf")


def finite(path: Path) -> bool:
    return all(bool(torch.isfinite(tensor.float()).all()) for tensor in load_file(path).values())


def at_call(number: int, original: Any, change: Any) -> Any:
    """`original`, whose result is changed in training step `number`; calls that only measure do not count."""
    calls: list[int] = []

    def function(*args: Any, **more: Any) -> Any:
        result = original(*args, **more)
        calls.extend([1] * torch.is_grad_enabled())
        return change(result) if torch.is_grad_enabled() and len(calls) == number else result

    return function


def test_an_infinite_gradient_of_a_finite_loss_stops_the_student_and_its_checkpoint_is_whole(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(objective, "logit_kd", at_call(15, objective.logit_kd, Explode.apply))
        with pytest.raises(UserError, match=r"distil: step 15: the loss is \d.*norm (inf|nan), on \d+ sequences of "):
            distil(world, tmp_path)
    (checkpoint,) = (tmp_path / "scratch").glob("checkpoint.safetensors")
    assert finite(checkpoint)
    _, outcome = distil(world, tmp_path)  # and the training goes on from it
    assert outcome.steps > 10


@pytest.mark.parametrize("change", [Explode.apply, lambda losses: losses * float("nan")], ids=["gradient", "loss"])
def test_numbers_that_break_stop_an_adaptation_and_its_checkpoint_is_whole(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    monkeypatch.chdir(world)
    model = load_masked_lm(world / "models/teacher", None)
    monkeypatch.setattr(mlm, "_losses", at_call(7, mlm._losses, change))
    with pytest.raises(UserError, match=r"adapt the teacher: step 7: the loss is .*norm .* sequences of swa, yor"):
        adapt(model, world / "models/teacher", toy.LANGUAGES, ADAPT, 1, tmp_path)
    assert finite(tmp_path / "checkpoint.safetensors")


def test_a_teacher_that_gives_no_number_is_told_with_its_text_and_finished_shards_are_kept(
    own_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distil.teacher import outputs

    original = outputs.TeacherPass.shard

    def shard(self: Any, text: Any, *rest: Any) -> Any:
        if text.path.parent.name == "yor":
            with torch.no_grad():
                self.model.roberta.encoder.layer[0].output.dense.weight[0, 0] = float("nan")
        return original(self, text, *rest)

    monkeypatch.setattr(outputs.TeacherPass, "shard", shard)
    with pytest.raises(UserError, match=r"not a number .*data/prepared/yor/\w+-00000.safetensors, sequences 0 to"):
        toy.make_cache(own_world, folder="data/again", scratch="other")
    assert len(list((own_world / "other").glob("*.safetensors"))) >= 1  # of the language before
