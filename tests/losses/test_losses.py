"""Each loss: a number worked by hand, zero at equality, padding, gradients, agreement with a plainer version."""

import math

import pytest
import torch
import torch.nn.functional as F

from distil.cache.sparse_logits import sample_logits, soft_targets, top_k_logits
from distil.losses.attention import attention_kl, attention_mse, combine_heads
from distil.losses.hidden_states import hidden_mse
from distil.losses.logits import logit_kd, masked_lm
from distil.losses.relations import relation_kl
from distil.training.objective import masked_mean


def exact_targets(teacher_logits: torch.Tensor, temperature: float):
    log_probs = teacher_logits.log_softmax(dim=-1)
    everything = sample_logits(log_probs, teacher_logits.shape[1], temperature, torch.Generator())
    return soft_targets(everything, "sampled", temperature, temperature)


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
    kept = top_k_logits(teacher.log_softmax(-1), 4)

    def coarse(logits: torch.Tensor, temperature: float) -> torch.Tensor:
        top = logits.softmax(-1).gather(1, kept.ids)
        events = torch.cat([top, 1 - top.sum(-1, keepdim=True)], dim=1)
        return (events.log() / temperature).log_softmax(-1)

    for temperature in (1.0, 2.0):
        plain = F.kl_div(coarse(student, temperature), coarse(teacher, temperature), log_target=True, reduction="none")
        found = logit_kd(student, soft_targets(kept, "top_k", temperature, 1.0), temperature)
        torch.testing.assert_close(found, plain.sum(-1) * temperature**2, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", ["sampled", "top_k"])
def test_kd_is_zero_with_zero_gradient_where_student_and_teacher_agree(form: str) -> None:
    logits = torch.randn(4, 12, generator=torch.Generator().manual_seed(2), requires_grad=True)
    log_probs = logits.detach().log_softmax(-1)
    kept = top_k_logits(log_probs, 3) if form == "top_k" else sample_logits(log_probs, 12, 2.0, torch.Generator())
    loss = logit_kd(logits, soft_targets(kept, form, 2.0, 2.0), 2.0)
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
        kept = sample_logits(teacher.log_softmax(-1), 8, 2.0, generator)
        loss = logit_kd(student, soft_targets(kept, "sampled", 2.0, 2.0), 2.0).sum()
        mean += torch.autograd.grad(loss, student)[0] / 1500
    assert F.cosine_similarity(mean.flatten(), full.flatten(), dim=0) > 0.998


def test_sampled_kd_has_the_height_of_full_kd_on_average() -> None:
    generator = torch.Generator().manual_seed(6)
    teacher, student = 2 * torch.randn(2, 40, generator=generator), torch.randn(2, 40, generator=generator)
    for temperature, tolerance in ((2.0, 0.02), (1.0, 0.04)):
        full = logit_kd(student, exact_targets(teacher, temperature), temperature)
        mean = torch.zeros(2)
        for _ in range(1500):
            kept = sample_logits(teacher.log_softmax(-1), 8, 2.0, generator)
            mean += logit_kd(student, soft_targets(kept, "sampled", temperature, 2.0), temperature) / 1500
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


def test_attention_kl_by_hand() -> None:
    # Teacher (0.75, 0.25), student (0.5, 0.5): 0.75 ln 1.5 + 0.25 ln 0.5 = 0.130812
    student, teacher = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[0.75, 0.25]]])
    assert attention_kl(student, teacher).item() == pytest.approx(0.130812, abs=1e-6)
    # Two heads, the second alike: the mean is half of it. A teacher's row stored as 0.9 times itself is the same row.
    both = attention_kl(torch.cat([student, teacher], 1), torch.cat([0.9 * teacher, teacher], 1))
    assert both.item() == pytest.approx(0.130812 / 2, abs=1e-6)


def test_attention_kl_agrees_with_torch_and_is_zero_at_equality() -> None:
    generator = torch.Generator().manual_seed(7)
    student, teacher = (torch.randn(5, 3, 6, generator=generator).softmax(-1) for _ in range(2))
    plain = F.kl_div(student.log(), teacher, reduction="none").sum(-1).mean(-1)
    torch.testing.assert_close(attention_kl(student, teacher), plain)
    torch.testing.assert_close(attention_kl(teacher, teacher), torch.zeros(5), atol=1e-6, rtol=0)


def test_padding_does_not_change_attention_kl_and_a_student_at_zero_has_a_finite_gradient() -> None:
    student, teacher = torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[0.75, 0.25]]])
    padded = F.pad(student, (0, 3)).requires_grad_()
    loss = attention_kl(padded, F.pad(teacher, (0, 3)))
    torch.testing.assert_close(loss, attention_kl(student, teacher))
    blind = torch.tensor([[[1.0, 0.0]]], requires_grad=True)  # no attention where the teacher has some
    (loss.sum() + attention_kl(blind, teacher).sum()).backward()
    for tensor in (padded, blind):
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()


def test_attention_kl_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="student"):
        attention_kl(torch.zeros(1, 2, 3), torch.zeros(1, 1, 3))


def test_relation_kl_by_hand() -> None:
    # Teacher's vectors (1, 0) and (0, 1), one relation head of width 2: products 1 and 0, scaled 0.707107; a token's
    # relation is softmax(0.707107, 0) = (0.669762, 0.330238). The student's vectors are 0: (0.5, 0.5).
    # 0.669762 ln 1.339523 + 0.330238 ln 0.660477 = 0.195798 - 0.136993 = 0.058805 for either token.
    teacher, mask = torch.eye(2)[None], torch.ones(1, 2, dtype=torch.bool)
    found = relation_kl(torch.zeros(1, 2, 4), teacher, 1, mask)
    torch.testing.assert_close(found, torch.full((1, 2), 0.058805), atol=1e-5, rtol=0)
    # Two heads of width 1: products 1, 0 for token 0 in head 0 and nothing in head 1, unscaled:
    # softmax(1, 0) = (0.731059, 0.268941): 0.731059 ln 1.462117 + 0.268941 ln 0.537883 = 0.110944; the mean is half.
    found = relation_kl(torch.zeros(1, 2, 4), teacher, 2, mask)
    torch.testing.assert_close(found, torch.full((1, 2), 0.110944 / 2), atol=1e-5, rtol=0)


def test_relation_kl_agrees_with_a_loop_over_sequences_heads_and_tokens() -> None:
    generator = torch.Generator().manual_seed(8)
    student, teacher = torch.randn(2, 5, 8, generator=generator), torch.randn(2, 5, 12, generator=generator)
    lengths, heads = (5, 3), 4
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    found = relation_kl(student, teacher, heads, mask)

    def relation(vectors: torch.Tensor, head: int, token: int) -> torch.Tensor:
        size = vectors.shape[1] // heads
        part = vectors[:, head * size : (head + 1) * size]
        return (part @ part[token] / math.sqrt(size)).softmax(-1)

    for number, length in enumerate(lengths):
        for token in range(length):
            plain = 0.0
            for head in range(heads):
                target = relation(teacher[number, :length], head, token)
                own = relation(student[number, :length], head, token)
                plain += float((target * (target / own).log()).sum()) / heads
            assert found[number, token].item() == pytest.approx(plain, abs=1e-5)
        assert found[number, length:].tolist() == [0.0] * (5 - length)


def test_relation_kl_is_zero_at_equality_also_across_widths_and_heads() -> None:
    vectors = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(9))
    mask = torch.ones(2, 4, dtype=torch.bool)
    torch.testing.assert_close(relation_kl(vectors, vectors, 3, mask), torch.zeros(2, 4), atol=1e-6, rtol=0)
    # A student of twice the width whose products are sqrt(2) times the teacher's has the teacher's relations.
    wide = torch.cat([vectors, torch.zeros_like(vectors)], dim=2) * 2**0.25
    torch.testing.assert_close(relation_kl(wide, vectors, 1, mask), torch.zeros(2, 4), atol=1e-6, rtol=0)


def test_padding_does_not_change_relations_and_gradients_are_finite() -> None:
    generator = torch.Generator().manual_seed(10)
    student, teacher = torch.randn(1, 3, 4, generator=generator), torch.randn(1, 3, 4, generator=generator)
    mask = torch.ones(1, 3, dtype=torch.bool)
    padded = F.pad(student, (0, 0, 0, 2), value=50.0).requires_grad_()
    found = relation_kl(padded, F.pad(teacher, (0, 0, 0, 2), value=-9.0), 2, F.pad(mask, (0, 2)))
    torch.testing.assert_close(found[:, :3], relation_kl(student, teacher, 2, mask))
    found.sum().backward()
    assert padded.grad is not None and torch.isfinite(padded.grad).all()
    assert padded.grad[:, 3:].abs().max() == 0


def test_hidden_mse_by_hand() -> None:
    # Normalised, (1, 3) is (-1, 1) and (5, 1) is (1, -1): ((-2)² + 2²) / 2 = 4. (2, 6) is (-1, 1) again: 0.
    states = torch.tensor([[1.0, 3.0], [1.0, 3.0]])
    found = hidden_mse(states, torch.tensor([[5.0, 1.0], [2.0, 6.0]]))
    torch.testing.assert_close(found, torch.tensor([4.0, 0.0]), atol=1e-4, rtol=0)


def test_hidden_mse_is_two_less_two_correlations_and_its_gradient_is_finite() -> None:
    generator = torch.Generator().manual_seed(11)
    student, teacher = torch.randn(6, 20, generator=generator), torch.randn(6, 20, generator=generator)
    rows = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(student, teacher, strict=True)]
    torch.testing.assert_close(hidden_mse(student, teacher), 2 - 2 * torch.stack(rows), atol=1e-4, rtol=1e-4)
    flat = torch.ones(1, 20, requires_grad=True)  # of no variance
    hidden_mse(flat, teacher[:1]).sum().backward()
    assert flat.grad is not None and torch.isfinite(flat.grad).all()
    with pytest.raises(ValueError, match="student"):
        hidden_mse(student, teacher[:, :10])


def test_hidden_mse_of_a_token_does_not_depend_on_others() -> None:
    generator = torch.Generator().manual_seed(12)
    student, teacher = torch.randn(6, 8, generator=generator), torch.randn(6, 8, generator=generator)
    torch.testing.assert_close(hidden_mse(student[:2], teacher[:2]), hidden_mse(student, teacher)[:2])


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
