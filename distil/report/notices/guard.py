"""What the guards of a run left out (distil/compute/guard.py): a notice, and a table of the stages that have one."""

from collections.abc import Mapping

from distil.report.format import Cell, Table, listed, whole
from distil.report.inputs.manifests import GuardFigures, StageCost
from distil.report.notices.labelled_data import Notice


def guard_notices(costs: Mapping[str, StageCost]) -> list[Notice]:
    """Whether a step was left out, where any stage has a guard."""
    guards = _guards(costs)
    if not guards:
        return []
    left_out = {stage: found for stage, found in guards.items() if found.skipped}
    if not left_out:
        return [Notice("note", f"The guards of {listed(list(guards))} left out no step.")]
    said = [f"{stage} {whole(found.skipped)}, with {whole(found.rollbacks)} returns to a checkpoint"
            for stage, found in left_out.items()]  # fmt: skip
    text = f"Steps that a guard left out of training: {'; '.join(said)}. Look at that text and at the learning rate; "
    return [Notice("warning", f"{text}each stage's events.csv lists them.")]


def guard_tables(costs: Mapping[str, StageCost]) -> list[Table]:
    """Deviations, steps left out and returns of each stage with a guard; no table without one."""
    rows = [
        [Cell(stage), Cell(f"{found.deviations:g}"), Cell(whole(found.skipped)), Cell(whole(found.rollbacks))]
        for stage, found in _guards(costs).items()
    ]
    columns = ["Stage", "Deviations", "Steps left out", "Returns to a checkpoint"]
    return [Table("guard", "What the guards left out", columns, rows)] if rows else []


def _guards(costs: Mapping[str, StageCost]) -> dict[str, GuardFigures]:
    return {stage: cost.guard for stage, cost in costs.items() if cost.guard}
