"""Whether a rival of `rivals:` wins against the student: a sentence each, alike in the report and the terminal."""

from collections.abc import Mapping
from typing import Any, NamedTuple

STUDENT = "models/finetuned/student"  # the base of the student's own row among the rivals
LEVEL = 0.01  # a score so near is as good
TWICE = 2.0  # times the student's bytes: a rival that is level and no larger than that is worth a sentence


class Deployed(NamedTuple):
    """What a model costs where it is used."""

    bytes: int
    speed: float  # texts a second, times those of the teacher in float32, measured in turn


def deployed(name: str, rival: Mapping[str, Any], task: str) -> Deployed:
    """Of a rival, from its metrics/distil/rivals/NAME.json."""
    speeds = {model: figures["short"]["texts_per_second"] for model, figures in rival["footprint"]["models"].items()}
    return Deployed(rival["tasks"][task]["bytes"], speeds[name] / speeds["teacher"])


def own_row(rivals: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The student among the rivals, with which the others are compared; None: with the student in float32."""
    return next((name for name, rival in rivals.items() if rival["base"] == STUDENT), None)


def less(compared: Mapping[str, Any], model: str, other: str) -> Mapping[str, Any] | None:
    """The mean difference of two models, whichever is first in metrics/compare/TASK.json; None without them."""
    for pair in compared["differences"]:
        if (pair["model"], pair["baseline"]) == (model, other):
            return pair["mean"]
        if (pair["model"], pair["baseline"]) == (other, model):
            mean = pair["mean"]
            return {**mean, "difference": -mean["difference"], "interval_95": [-x for x in mean["interval_95"][::-1]]}
    return None


def rival_sentences(
    task: str, compared: Mapping[str, Any], rivals: Mapping[str, Mapping[str, Any]], student: Deployed
) -> list[str]:
    """A sentence for each rival that is surely above the student, or level with it and no larger than twice.

    Args:
        task: its name.
        compared: metrics/compare/TASK.json.
        rivals: metrics/distil/rivals/NAME.json by name.
        student: the exported student, used where it is not among the rivals.
    """
    own, found = own_row(rivals), []
    ours = deployed(own, rivals[own], task) if own else student
    for name, rival in rivals.items():
        if rival["base"].startswith(STUDENT) or (mean := less(compared, own or "student", name)) is None:
            continue
        theirs, gap = deployed(name, rival, task), mean["difference"]
        size, speed = _ratio(theirs.bytes / ours.bytes), _ratio(theirs.speed / ours.speed)
        cost = f"{size} times its bytes and {speed} times its speed"
        ends = ", ".join(_signed(-end) for end in mean["interval_95"][::-1])
        if mean["interval_95"][1] < 0:
            verb = "beats the student by" if theirs.bytes <= ours.bytes else "scores above the student by"
            found.append(f"On {task} the rival {name} {verb} {abs(100 * gap):.1f} points [{ends}] at {cost}.")
        elif gap <= LEVEL and theirs.bytes <= TWICE * ours.bytes:
            found.append(
                f"On {task} the rival {name} is level with the student ({_signed(-gap)} points [{ends}]) at {cost}."
            )
    return found


def _ratio(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _signed(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:+.1f}".replace("-", "−")
