"""Merging of tensors: worked by hand, against mergekit, and what must hold of any method."""

import pytest
import torch
from mergekit.merge_methods.generalized_task_arithmetic import get_mask
from mergekit.merge_methods.slerp import slerp as slerp_of_mergekit
from mergekit.sparsify import bernoulli, magnitude

from distil.core.errors import UserError
from distil.teacher.merge_methods import check_shapes, dare, merge, slerp, ties

METHODS = ("linear", "slerp", "ties", "dare")


def models(count: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """A base and models near it: their differences have a direction in common."""
    rng = torch.Generator().manual_seed(seed)
    shapes = {"layer.weight": (6, 5), "layer.bias": (7,)}
    base = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    way = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    return [base, *({name: base[name] + way[name] + torch.randn(shape, generator=rng)
                     for name, shape in shapes.items()} for _ in range(count))]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_one_model_and_equal_models_come_back(method: str) -> None:
    base, model = models(1)
    alone = merge(method, [model], base, 0.5, 0)
    twice = merge(method, [model, model], base, 1.0, 0)
    for name in base:
        assert torch.equal(alone[name], model[name])
        torch.testing.assert_close(twice[name], model[name])


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bits_and_nothing_is_changed_in_place(method: str) -> None:
    base, *each = models(3)
    copies = [{name: tensor.clone() for name, tensor in weights.items()} for weights in (base, *each)]
    first, again = (merge(method, each, base, 0.5, 4) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in base)
    for weights, copy in zip((base, *each), copies, strict=True):
        assert all(torch.equal(weights[name], copy[name]) for name in copy)


def test_the_mean_by_hand() -> None:
    found = merge(
        "linear", [{"a": torch.tensor([1.0, 4.0])}, {"a": torch.tensor([3.0, 0.0])}], {"a": torch.ones(2)}, 1, 0
    )
    assert found["a"].tolist() == [2.0, 2.0]


def test_trim_elect_and_mean_by_hand() -> None:
    # Half of each row stays: (4, -3, 0, 0) and (0, 2, -5, 0). Signs of the sums: +, -, -, +. The 2 disagrees.
    changes = torch.tensor([[4.0, -3.0, 1.0, 0.5], [1.0, 2.0, -5.0, -0.5]])
    assert ties(changes, 0.5).tolist() == [4.0, -3.0, -5.0, 0.0]


def test_the_arc_between_two_right_angles_by_hand() -> None:
    half = slerp(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert half.tolist() == pytest.approx([2**-0.5, 2**-0.5])


@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
def test_ties_is_that_of_mergekit(density: float) -> None:
    base, *each = models(4, 1)
    for name, tensor in base.items():
        changes = torch.stack([weights[name] - tensor for weights in each])
        trimmed = torch.stack([magnitude(change, density) for change in changes])
        mask = get_mask(trimmed, "sum")
        expected = (trimmed * mask).sum(dim=0) / mask.sum(dim=0).clamp(min=1)
        torch.testing.assert_close(ties(changes, density), expected)
        torch.testing.assert_close(merge("ties", each, base, density, 0)[name], tensor + expected)


def test_slerp_of_two_is_that_of_mergekit() -> None:
    for first, second in ((0, 1), (2, 3)):
        each = [torch.randn(4, 9, generator=torch.Generator().manual_seed(seed)) for seed in (first, second)]
        expected = slerp_of_mergekit(torch.tensor([0.5]), each[0][None], each[1][None])[0]
        torch.testing.assert_close(slerp(torch.stack(each)), expected)


@pytest.mark.parametrize("other", [1.0001, -1.0, 0.0])
def test_slerp_of_parallel_and_of_empty_tensors_is_the_mean(other: float) -> None:
    tensor = torch.tensor([1.0, 2.0, -3.0])
    torch.testing.assert_close(slerp(torch.stack([tensor, other * tensor])), (1 + other) / 2 * tensor)


def test_dare_drops_by_the_draws_of_mergekit_and_divides_by_the_density() -> None:
    changes = torch.randn(3, 400, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(5)
    kept = bernoulli(changes, 0.25)
    torch.testing.assert_close(dare(changes, 0.25, torch.Generator().manual_seed(5)), (kept / 0.25).mean(dim=0))
    assert 0.2 < (kept != 0).float().mean() < 0.3


def test_dare_keeps_the_expectation() -> None:
    changes = torch.ones(2, 20_000)
    assert dare(changes, 0.5, torch.Generator().manual_seed(0)).mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": torch.ones(3)}, r"m/two: a: expected a tensor of shape \(2,\) as m/one has it, found a tensor of shape "
                               r"\(3,\); merge models of one shape and one vocabulary"),
        ({}, r"m/two: a: expected a tensor of shape \(2,\) as m/one has it, found no such tensor"),
        ({"a": torch.ones(2), "b": torch.ones(1)}, r"b: expected no such tensor as m/one has it, found a tensor"),
    ],
)  # fmt: skip
def test_models_of_other_shapes_are_refused_by_name(weights: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_shapes(weights, {"a": torch.ones(2)}, "m/two", "m/one")
