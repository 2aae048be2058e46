"""Losses of fine-tuning: worked numbers, zero at equality, agreement with plainer versions."""

import math

import pytest
import torch

from distil.finetuning.losses import confidence, soft_label_kd, task_distillation
from distil.finetuning.row_predictions import mean_log_probs

NAN = float("nan")


def log(*probs: float) -> torch.Tensor:
    return torch.tensor([probs]).log()


def test_soft_label_kd_by_hand() -> None:
    # T = 1: 0.8 log(0.8 / 0.5) + 0.2 log(0.2 / 0.5) = 0.376 - 0.183 = 0.193 nats
    assert soft_label_kd(torch.zeros(1, 2), log(0.8, 0.2), 1.0).item() == pytest.approx(0.1927, abs=1e-4)
    # T = 2 tempers 0.8 : 0.2 to 2 : 1, so 2/3 log(4/3) + 1/3 log(2/3) = 0.0566, times 4
    assert soft_label_kd(torch.zeros(1, 2), log(0.8, 0.2), 2.0).item() == pytest.approx(4 * 0.05663, abs=1e-4)


def test_soft_label_kd_is_zero_where_both_agree_and_agrees_with_torch() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(7, 5), torch.randn(7, 5).log_softmax(-1)
    assert soft_label_kd(teacher + 3, teacher, 3.0).abs().max() < 1e-5
    plain = torch.nn.functional.kl_div(
        (student / 3).log_softmax(-1), (teacher / 3).log_softmax(-1), reduction="none", log_target=True
    )
    torch.testing.assert_close(soft_label_kd(student, teacher, 3.0), 9 * plain.sum(-1))
    with pytest.raises(ValueError, match="shape|student"):
        soft_label_kd(student, teacher[:3], 1.0)


def test_each_part_counts_where_it_is_known() -> None:
    logits = torch.zeros(3, 2)
    teacher = torch.cat([log(0.8, 0.2), log(0.8, 0.2), torch.tensor([[NAN, NAN]])])
    losses = task_distillation(logits, torch.tensor([0, -1, 1]), teacher, 1.0, 0.25)
    kd = 0.1927
    expected = [0.75 * math.log(2) + 0.25 * kd, 0.25 * kd, 0.75 * math.log(2)]
    assert losses.tolist() == pytest.approx(expected, abs=1e-4)


def test_weight_zero_is_cross_entropy_and_gradients_are_finite() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 3, requires_grad=True)
    gold, teacher = torch.tensor([0, 2, 1, 1]), torch.full((4, 3), NAN)
    losses = task_distillation(logits, gold, teacher, 2.0, 0.0)
    torch.testing.assert_close(losses, torch.nn.functional.cross_entropy(logits, gold, reduction="none"))
    task_distillation(logits, gold, teacher, 2.0, 0.5).sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_an_ensemble_is_the_mean_of_probabilities() -> None:
    found = mean_log_probs([log(0.9, 0.1).numpy(), (log(0.5, 0.5) + 7).numpy()])
    torch.testing.assert_close(torch.from_numpy(found).exp(), torch.tensor([[0.7, 0.3]]))
    assert math.isnan(mean_log_probs([torch.tensor([[NAN, NAN]]).numpy()])[0, 0])


def test_confidence_by_hand() -> None:
    # 0.9 and 0.1: H = 0.0948 + 0.2303 = 0.3251 nats, log 2 = 0.6931, 1 - 0.469 = 0.531
    found = confidence(torch.cat([log(0.9, 0.1), log(0.5, 0.5), log(1.0, 0.0), torch.tensor([[NAN, NAN]])]))
    assert found.tolist() == pytest.approx([0.531, 0.0, 1.0, 0.0], abs=1e-3)
    assert not confidence(torch.randn(50, 9).log_softmax(-1)).isnan().any()
