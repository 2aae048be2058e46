"""Cached targets: unbiased where they say so, and read through one call."""

import numpy as np
import pytest
import torch

from distil.cache.format import LogitEncoding, decode_log_probs, encode_log_probs
from distil.cache.sparse_logits import SparseLogits, sample_logits, soft_targets, top_k_logits


@pytest.fixture
def log_probs() -> torch.Tensor:
    """A sharp, a medium and a flat distribution over 40 pieces."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 40, generator=generator) * torch.tensor([[4.0], [1.5], [0.3]])
    return scores.log_softmax(dim=-1)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sampled_targets_are_unbiased(log_probs: torch.Tensor, temperature: float) -> None:
    generator = torch.Generator().manual_seed(1)
    exact, mean, draws = (log_probs / temperature).softmax(dim=-1), torch.zeros_like(log_probs), 4000
    for _ in range(draws):
        targets = soft_targets(sample_logits(log_probs, 8, temperature, generator), "sampled", temperature, temperature)
        mean.scatter_add_(1, targets.ids, targets.probs / draws)
    # A kept piece of the tail weighs at most tau <= 1/8, so a mean of 4000 has a standard error below 0.001.
    assert (mean - exact).abs().max() < 0.004


def test_sampled_targets_vary_less_than_draws_with_replacement(log_probs: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(2)
    exact = log_probs.softmax(dim=-1)
    threshold = multinomial = 0.0
    for _ in range(300):
        targets = soft_targets(sample_logits(log_probs, 8, 1.0, generator), "sampled", 1.0, 1.0)
        threshold += (torch.zeros_like(exact).scatter_add(1, targets.ids, targets.probs) - exact).square().sum(1)
        drawn = torch.multinomial(exact, 8, replacement=True, generator=generator)
        plain = torch.zeros_like(exact).scatter_add(1, drawn, torch.full(drawn.shape, 1 / 8))
        multinomial += (plain - exact).square().sum(1)
    # Sharp, medium, flat: the more the teacher knows, the more draws with replacement waste.
    assert (threshold < torch.tensor([0.05, 0.2, 0.95]) * multinomial).all()


def test_kept_pieces_are_distinct_and_the_first_is_the_most_probable(log_probs: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(3)
    for _ in range(50):
        kept = sample_logits(log_probs, 12, 1.0, generator)
        assert all(len(set(row)) == 12 for row in kept.ids.tolist())
        assert (kept.ids[:, 0] == log_probs.argmax(dim=-1)).all()


def plain_sample(probs: np.ndarray, entries: int, start: float) -> list[int]:
    """Threshold sampling of one distribution, piece by piece: some kept for certain, then draws from the rest."""
    order = np.argsort(-probs, kind="stable")
    certain = 1
    while certain < entries and probs[order[certain]] * (entries - certain) > probs[order[certain:]].sum():
        certain += 1
    rest = probs.copy()
    rest[order[:certain]] = 0.0
    points = (np.arange(entries - certain) + start) / max(1, entries - certain) * rest.sum()
    return [*order[:certain], *np.searchsorted(rest.cumsum(), points, side="right")]


@pytest.mark.parametrize("pieces", [40, 64, 65, 1000])
def test_the_draws_are_those_of_a_plainer_version(pieces: int) -> None:
    scores = torch.randn(60, pieces, generator=torch.Generator().manual_seed(5)) * torch.linspace(0.1, 6, 60)[:, None]
    log_probs = scores.double().log_softmax(dim=-1)
    kept = sample_logits(log_probs, 20, 1.0, torch.Generator().manual_seed(6))
    starts = torch.rand((60, 1), generator=torch.Generator().manual_seed(6))[:, 0].tolist()
    for ids, probs, start in zip(kept.ids.tolist(), log_probs.exp().numpy(), starts, strict=True):
        assert ids == plain_sample(probs, 20, start)


def test_pieces_too_rare_for_a_number_are_kept_before_none_at_all() -> None:
    log_probs = torch.full((3, 70), -300.0)  # its exponential is 0
    log_probs[:, 3] = 0.0
    kept = sample_logits(log_probs, 30, 1.0, torch.Generator().manual_seed(0))
    assert kept.ids[:, 0].tolist() == [3, 3, 3] and int(kept.ids.max()) < 70


def test_a_certain_teacher_and_a_uniform_one_give_finite_targets() -> None:
    certain = torch.full((1, 1000), -60.0)
    certain[0, 7] = 0.0
    uniform = torch.full((1, 1000), -np.log(1000.0), dtype=torch.float32)
    for log_probs in (certain.log_softmax(dim=-1), uniform):
        kept = sample_logits(log_probs, 10, 1.0, torch.Generator().manual_seed(0))
        targets = soft_targets(kept, "sampled", 1.0, 1.0)
        assert torch.isfinite(targets.probs).all()
        assert targets.probs.sum() == pytest.approx(1.0, abs=1e-5)
    assert soft_targets(kept, "sampled", 2.0, 1.0).probs.sum() == pytest.approx(1.0, abs=1e-5)


def test_as_many_entries_as_pieces_give_the_exact_distribution(log_probs: torch.Tensor) -> None:
    kept = sample_logits(log_probs, 40, 2.0, torch.Generator())
    for temperature in (0.5, 1.0, 3.0):
        targets = soft_targets(kept, "sampled", temperature, 2.0)
        dense = torch.zeros_like(log_probs).scatter(1, targets.ids, targets.probs)
        torch.testing.assert_close(dense, (log_probs / temperature).softmax(dim=-1))


def test_another_temperature_is_estimated_from_the_same_draws(log_probs: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(4)
    exact, mean = log_probs.softmax(dim=-1), torch.zeros_like(log_probs)
    for _ in range(2000):
        targets = soft_targets(sample_logits(log_probs, 16, 2.0, generator), "sampled", 1.0, 2.0)
        mean.scatter_add_(1, targets.ids, targets.probs / 2000)
    assert (mean - exact).abs().max() < 0.02  # a ratio estimate: small bias, not none


def test_top_k_with_its_bucket_by_hand() -> None:
    # 0.5, 0.3 kept, 0.2 in the bucket; at T = 2 their roots: 0.7071, 0.5477, 0.4472, sum 1.7020
    log_probs = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    targets = soft_targets(top_k_logits(log_probs, 2), "top_k", 2.0, 1.0)
    assert targets.ids.tolist() == [[0, 1]]
    torch.testing.assert_close(targets.probs, torch.tensor([[0.4154, 0.3218]]), atol=1e-4, rtol=0)
    assert targets.tail is not None
    torch.testing.assert_close(targets.tail, torch.tensor([0.2627]), atol=1e-4, rtol=0)


def test_log_probability_codes_keep_a_probability_to_two_per_cent_down_to_a_thousandth() -> None:
    probs = np.array([1.0, 0.9, 0.5, 0.1, 0.01, 0.001])
    restored = np.exp(decode_log_probs(encode_log_probs(np.log(probs))))
    assert np.abs(restored / probs - 1).max() < 0.02
    assert decode_log_probs(encode_log_probs(np.array([-500.0])))[0] == -32.0


def test_ids_of_the_full_vocabulary_keep_their_bits() -> None:
    assert LogitEncoding("sampled", 24, 250_002, 2.0).id_bits == 18
    assert LogitEncoding("sampled", 24, 32_367, 2.0).id_bits == 15


def test_weights_do_not_depend_on_the_order_of_entries() -> None:
    kept = SparseLogits(torch.tensor([[3, 1, 2]]), torch.tensor([[-0.5, -2.0, -3.0]]), torch.tensor([-1.0]))
    swapped = SparseLogits(torch.tensor([[3, 2, 1]]), torch.tensor([[-0.5, -3.0, -2.0]]), torch.tensor([-1.0]))
    first, second = soft_targets(kept, "sampled", 1.0, 1.0), soft_targets(swapped, "sampled", 1.0, 1.0)
    torch.testing.assert_close(first.probs[:, [0, 2, 1]], second.probs)
