"""The controls of `evaluate.controls`: the rows that they add to the models of a run, and the stages that make them."""

from collections.abc import Mapping, Sequence

CONTROLS = ("start", "masked_lm")  # in the order of tables


def control_model(control: str) -> str:
    """The name of a control's row, also that of its predictions: student_start for start."""
    return f"student_{control}"


def control_of(model: str) -> str | None:
    """The control whose row this is; None for any other model."""
    return next((control for control in CONTROLS if model == control_model(control)), None)


def finetune_stage(model: str, task: str) -> str:
    """The stage that writes models/finetuned/MODEL/TASK, as `dvc repro` takes it."""
    control = control_of(model)
    return f"finetune_control@{control}-{task}" if control else f"finetune_{model}@{task}"


def without_controls_off(models: Sequence[str], controls: Sequence[str]) -> list[str]:
    """The models of a run: all but the controls that `controls` does not name, whatever files are left of them."""
    return [model for model in models if control_of(model) in (None, *controls)]


def is_left_over(cost: str, controls: Sequence[str], tasks: Mapping[str, Sequence[str]]) -> bool:
    """Whether a file of metrics/cost, by its name without suffix, is of something that is switched off.

    Args:
        cost: merge_student-sentiment, for one.
        controls: those of `evaluate.controls`.
        tasks: those of each stage that only some tasks have.
    """
    stage, _, rest = cost.partition("-")
    if stage in tasks:
        return rest not in tasks[stage]
    return stage in ("control", "finetune_control") and rest.split("-")[0] not in controls
