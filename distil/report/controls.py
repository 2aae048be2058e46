"""What distilling over text gives: the student against its controls, said alike for a gain, a loss and neither."""

TITLES = {
    "student_start": "its own start without distillation",
    "student_masked_lm": "masked-LM training from its start",
}
# Where `start` was not run, beside the distance to `no_teacher`.
NOT_MEASURED = (
    "The distance to no teacher comes mostly from the student's start at its teacher's weights. What distilling gives "
    "beyond that start was not measured: set evaluate.controls to [start]."
)


def distillation_sentence(task: str, control: str, difference: float, interval: tuple[float, float]) -> str:
    """One sentence on what the distillation over text gave a task.

    Args:
        task: its name.
        control: the row that the student is compared with, a key of TITLES.
        difference: the student's score less the control's, mean of the languages, 0 to 1.
        interval: of the difference, 95 %.
    """
    low, high = interval
    other, by = TITLES[control], f"{abs(100 * difference):.1f} points"
    if low > 0:
        said = f"gains {by} over {other}"
    elif high < 0:
        said = f"loses {by} against {other}"
    else:
        said = f"makes no difference from {other} that can be told"
    ends = ", ".join(f"{round(100 * end, 1) + 0.0:+.1f}".replace("-", "−") for end in interval)
    return f"On {task} distilling over text {said} [{ends}]."
