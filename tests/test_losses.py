"""Each loss: a number worked by hand, zero at equality, padding, gradients, agreement with a plainer version."""

import math

import pytest
import torch
import torch.nn.functional as F

from distil.losses import attention_mse, combine_heads, logit_kd, masked_lm, masked_mean
from distil.targets import sample_entries, top_entries, weigh_entries


def exact_targets(teacher_logits: torch.Tensor, temperature: float):
    log_probs = teacher_logits.log_softmax(dim=-1)
    everything = sample_entries(log_probs, teacher_logits.shape[1], temperature, torch.Generator())
    return weigh_entries(everything, "sampled", temperature, temperature)


def test_logit_kd_by_hand() -> None:
    # Teacher (ln 3, 0) at T = 1: (0.75, 0.25); student (0, 0): (0.5, 0.5).
    # 0.75 ln 1.5 + 0.25 ln 0.5 = 0.304099 - 0.173287 = 0.130812
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)
    assert logit_kd(student, exact_targets(teacher, 1.0), 1.0).item() == pytest.approx(0.130812, abs=1e-6)
    # T = 2: roots 1.732051 and 1 -> 0.633975, 0.366025; KL 0.150496 - 0.114136 = 0.036360; times 4
    assert logit_kd(student, exact_targets(teacher, 2.0), 2.0).item() == pytest.approx(4 * 0.036360, abs=1e-4)


def test_logit_kd_agrees_with_torch_on_full_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(9, 30, generator=generator), torch.randn(9, 30, generator=generator)
    for temperature in (0.7, 1.0, 4.0):
        plain = F.kl_div(
            (student / temperature).log_softmax(-1), (teacher / temperature).log_softmax(-1), log_target=True,
            reduction="none",
        ).sum(-1) * temperature**2  # fmt: skip
        torch.testing.assert_close(logit_kd(student, exact_targets(teacher, temperature), temperature), plain)


def test_top_k_kd_agrees_with_the_divergence_of_the_coarse_distributions() -> None:
    generator = torch.Generator().manual_seed(1)
    teacher, student = torch.randn(5, 20, generator=generator), torch.randn(5, 20, generator=generator)
    kept = top_entries(teacher.log_softmax(-1), 4)

    def coarse(logits: torch.Tensor, temperature: float) -> torch.Tensor:
        top = logits.softmax(-1).gather(1, kept.ids)
        events = torch.cat([top, 1 - top.sum(-1, keepdim=True)], dim=1)
        return (events.log() / temperature).log_softmax(-1)

    for temperature in (1.0, 2.0):
        plain = F.kl_div(coarse(student, temperature), coarse(teacher, temperature), log_target=True, reduction="none")
        found = logit_kd(student, weigh_entries(kept, "top_k", temperature, 1.0), temperature)
        torch.testing.assert_close(found, plain.sum(-1) * temperature**2, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", ["sampled", "top_k"])
def test_kd_is_zero_with_zero_gradient_where_student_and_teacher_agree(form: str) -> None:
    logits = torch.randn(4, 12, generator=torch.Generator().manual_seed(2), requires_grad=True)
    log_probs = logits.detach().log_softmax(-1)
    kept = top_entries(log_probs, 3) if form == "top_k" else sample_entries(log_probs, 12, 2.0, torch.Generator())
    loss = logit_kd(logits, weigh_entries(kept, form, 2.0, 2.0), 2.0)
    torch.testing.assert_close(loss, torch.zeros(4), atol=1e-5, rtol=0)
    loss.sum().backward()
    assert logits.grad is not None and logits.grad.abs().max() < 1e-4


def test_the_gradient_of_sampled_kd_is_that_of_full_kd_on_average() -> None:
    generator = torch.Generator().manual_seed(3)
    teacher, student = 2 * torch.randn(2, 40, generator=generator), torch.randn(2, 40, generator=generator)
    student.requires_grad_()
    full = torch.autograd.grad(logit_kd(student, exact_targets(teacher, 2.0), 2.0).sum(), student)[0]
    mean = torch.zeros_like(full)
    for _ in range(1500):
        kept = sample_entries(teacher.log_softmax(-1), 8, 2.0, generator)
        loss = logit_kd(student, weigh_entries(kept, "sampled", 2.0, 2.0), 2.0).sum()
        mean += torch.autograd.grad(loss, student)[0] / 1500
    assert F.cosine_similarity(mean.flatten(), full.flatten(), dim=0) > 0.998


def test_sampled_kd_has_the_height_of_full_kd_on_average() -> None:
    generator = torch.Generator().manual_seed(6)
    teacher, student = 2 * torch.randn(2, 40, generator=generator), torch.randn(2, 40, generator=generator)
    for temperature, tolerance in ((2.0, 0.02), (1.0, 0.04)):
        full = logit_kd(student, exact_targets(teacher, temperature), temperature)
        mean = torch.zeros(2)
        for _ in range(1500):
            kept = sample_entries(teacher.log_softmax(-1), 8, 2.0, generator)
            mean += logit_kd(student, weigh_entries(kept, "sampled", temperature, 2.0), temperature) / 1500
        torch.testing.assert_close(mean, full, rtol=tolerance, atol=0.0)


def test_kd_refuses_another_number_of_positions() -> None:
    with pytest.raises(ValueError, match="3 positions of logits, 2 of targets"):
        logit_kd(torch.zeros(3, 5), exact_targets(torch.zeros(2, 5), 1.0), 1.0)


def test_masked_lm_by_hand() -> None:
    # -ln softmax(ln 3, 0)[0] = -ln 0.75 = 0.287682
    assert masked_lm(torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0])).item() == pytest.approx(
        0.287682, abs=1e-6
    )


def test_attention_mse_by_hand() -> None:
    # ((0.5 - 0.7)² + (0.5 - 0.3)²) / 2 = 0.04
    student, teacher = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[0.7, 0.3]]])
    assert attention_mse(student, teacher, torch.tensor([2])).item() == pytest.approx(0.04)
    assert attention_mse(teacher, teacher, torch.tensor([2])).item() == 0.0


def test_padding_does_not_change_attention_loss() -> None:
    student, teacher = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[0.7, 0.3]]])
    padded = attention_mse(F.pad(student, (0, 3)), F.pad(teacher, (0, 3)), torch.tensor([2]))
    torch.testing.assert_close(padded, attention_mse(student, teacher, torch.tensor([2])))


def test_attention_mse_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="student"):
        attention_mse(torch.zeros(1, 2, 3), torch.zeros(1, 1, 3), torch.tensor([3]))


def test_zero_weights_combine_heads_to_their_mean_and_rows_stay_distributions() -> None:
    probs = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(4)).softmax(-1)
    torch.testing.assert_close(combine_heads(probs, torch.zeros(1, 4)), probs.mean(1, keepdim=True))
    combined = combine_heads(probs, torch.randn(3, 4, generator=torch.Generator().manual_seed(5)))
    torch.testing.assert_close(combined.sum(-1), torch.ones(6, 3))


def test_masked_mean_of_nothing_is_zero_with_a_finite_gradient() -> None:
    values = torch.ones(3, requires_grad=True)
    mean = masked_mean(values, torch.zeros(3, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0.0 and values.grad is not None and torch.isfinite(values.grad).all()
    assert masked_mean(torch.tensor([1.0, 5.0]), torch.tensor([True, False])).item() == 1.0
