"""The guard: what is far beyond the steps before, what happens then, and where it ends."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from distil.compute.checkpoint import save_checkpoint
from distil.compute.guard import Action, Guard, add_up
from distil.core.errors import UserError


def guard(deviations: float = 4.0, events: Path | None = None) -> Guard:
    return Guard(deviations, "distil", "train.learning_rate", events)


def judge(one: Guard, loss: float, norm: float = 1.0, step: int = 1) -> Action:
    return one.judge(step, loss, torch.tensor(norm), "8 sequences of yor")


def settled(deviations: float = 4.0, events: Path | None = None) -> Guard:
    """A guard that has seen losses of 1 and 3 in turn, 64 of them, and norms of 1 and 2."""
    one = guard(deviations, events)
    assert {judge(one, 1.0 + 2 * (number % 2), 1.0 + number % 2) for number in range(64)} == {Action.TAKE}
    return one


def test_a_loss_or_a_norm_beyond_mean_and_deviations_is_left_out() -> None:
    # 32 values of 1 and 32 of 3: the logs have mean 0.54931 and deviation 0.54931 * sqrt(64 / 63) = 0.55365;
    # exp(0.54931 + 4 * 0.55365) = 15.8616. Norms likewise: exp(0.34657 + 4 * 0.34931) = 5.7192.
    assert judge(settled(), 15.861, 5.719) is Action.TAKE
    assert judge(settled(), 15.862, 5.719) is Action.SKIP
    assert judge(settled(), 15.861, 5.720) is Action.SKIP


def test_near_a_loss_of_zero_a_hard_batch_counts_by_its_factor() -> None:
    # As in the fine-tuning of a classifier that has learned its rows: 0.4 is 13 standard deviations above the mean, and
    # 3.2 above that of the logarithms.
    one, drawn = guard(6.0), np.random.default_rng(0).lognormal(-4.0, 1.0, 128)
    assert {judge(one, float(loss)) for loss in drawn} == {Action.TAKE}
    assert (0.4 - drawn.mean()) / drawn.std(ddof=1) > 6
    assert judge(one, 0.4) is Action.TAKE
    assert judge(one, 0.0) is Action.TAKE  # has no logarithm
    assert judge(one, 10.0) is Action.SKIP


def test_widely_scattered_losses_have_a_limit_that_is_a_number() -> None:
    one = guard(1000.0)
    assert {judge(one, loss) for loss in [1e-9, 1e9] * 64} == {Action.TAKE}
    assert judge(one, 1e30) is Action.TAKE
    assert judge(one, float("nan")) is Action.SKIP


def test_with_fewer_than_64_steps_only_numbers_that_are_not_finite_are_left_out() -> None:
    one = guard()
    assert {judge(one, loss) for loss in [1.0] * 62 + [1e6]} == {Action.TAKE}
    assert judge(guard(), float("nan")) is Action.SKIP
    assert judge(guard(), 1.0, float("inf")) is Action.SKIP


def test_the_window_is_of_the_last_128_steps_taken() -> None:
    one = guard()
    for _ in range(64):
        judge(one, 100.0)
    for number in range(128):
        judge(one, 1.0 + 2 * (number % 2))
    before = one.state["losses"]
    assert len(before) == 128 and max(before) == 3.0
    assert judge(one, 50.0) is Action.SKIP
    assert one.state["losses"] == before  # what was left out never counts


def test_three_in_a_row_go_back_and_the_third_time_is_an_error(tmp_path: Path) -> None:
    one = settled(events=tmp_path / "events.csv")
    for bad in range(2):
        assert [judge(one, 90.0), judge(one, 90.0), judge(one, 2.0)] == [Action.SKIP, Action.SKIP, Action.TAKE]
        assert [judge(one, 90.0) for _ in range(3)] == [Action.SKIP, Action.SKIP, Action.ROLL_BACK]
        one.state["in_a_row"] = 0  # as after roll_back
        assert one.state["rollbacks"] == bad + 1
    judge(one, 90.0, step=811), judge(one, 90.0, step=812)
    with pytest.raises(UserError, match=r"distil: step 813: 3 steps in a row .* for the 3rd time, the last with loss "
                       r"90 and gradient norm inf on 8 sequences of yor; .*events\.csv lists them; try a lower "
                       r"train\.learning_rate"):  # fmt: skip
        judge(one, 90.0, float("inf"), step=813)
    with (tmp_path / "events.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 13 and rows[-1] == {
        "step": "813", "action": "roll back", "batch": "8 sequences of yor", "loss": "90",
        "loss_limit": rows[-2]["loss_limit"], "grad_norm": "inf", "grad_norm_limit": rows[-2]["grad_norm_limit"],
    }  # fmt: skip


def test_going_back_takes_weights_optimiser_and_window_of_the_checkpoint(tmp_path: Path) -> None:
    module, one = nn.Linear(2, 1), settled()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    save_checkpoint(tmp_path / "saved", {"module": module}, optimizer, {"guard": one.state})
    before = module.weight.detach().clone(), list(one.state["losses"])
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    judge(one, 2.0)
    for _ in range(3):
        judge(one, 90.0)
    assert not one.settled
    one.roll_back(tmp_path / "saved", {"module": module}, optimizer)
    assert torch.equal(module.weight, before[0]) and one.state["losses"] == before[1]
    assert one.settled and not optimizer.state_dict()["state"]
    assert one.summary() == {"guard": {"deviations": 4.0, "skipped": 3, "rollbacks": 1}}
    with pytest.raises(UserError, match=r"distil: .*missing: expected the checkpoint to go back to"):
        one.roll_back(tmp_path / "missing", {"module": module}, optimizer)


def test_a_guard_that_is_off_leaves_nothing_out_and_ends_at_a_number_that_is_none() -> None:
    off = guard(0)
    assert {judge(off, loss) for loss in [*[1.0] * 100, 1e9]} == {Action.TAKE}
    assert off.summary() == {}
    with pytest.raises(UserError, match=r"distil: step 1: the loss is nan"):
        judge(off, float("nan"))


def test_summaries_of_several_trainings_add_up() -> None:
    one, other = settled(), settled()
    judge(one, 90.0)
    for _ in range(3):
        judge(other, 90.0)
    expected = {"guard": {"deviations": 4.0, "skipped": 4, "rollbacks": 1}}
    assert add_up([one.summary(), other.summary()]) == expected
    assert add_up([guard(0).summary()]) == {}
