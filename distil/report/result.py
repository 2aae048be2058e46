"""The result of a run in a few lines for the terminal, from what the stages evaluate, export and report wrote."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distil.core.files import read_json
from distil.core.params import read_params
from distil.report.controls import NOT_MEASURED, distillation_sentence
from distil.report.controls import TITLES as CONTROL_TITLES
from distil.report.rivals import Deployed, rival_sentences
from distil.tracking.view import find_view_address

TITLES = {"student": "student", "teacher": "teacher", "teachers": "teachers together",
          "student_start": "start", "student_masked_lm": "masked-LM",
          "no_teacher": "no teacher", "tfidf": "TF-IDF"}  # fmt: skip
OVER = {"no_teacher": "training without a teacher", "tfidf": "TF-IDF"}


def result_lines(root: Path) -> list[str]:
    """A verdict and the scores of each task, size and speed, and what to do next.

    Raises:
        UserError: something of it was not measured yet; names the stage that does.
    """
    metrics = root / "metrics"
    headline = read_json(metrics / "headline.json", "report")
    lines: list[str] = []
    for task in [name for name, figures in headline.items() if "student" in figures]:
        compared = read_json(metrics / "compare" / f"{task}.json", "evaluate")
        lines += [task_sentence(task, headline[task], compared), *_distillation(task, compared),
                  *_rivals(root, task, compared),
                  _scores(metrics / "evaluate", task)]  # fmt: skip
    return [*lines, *_unmeasured(root, lines), *_size(metrics, headline), "Next:", *_next(root)]


def task_sentence(task: str, headline: Mapping[str, float], compared: Mapping[str, Any]) -> str:
    """One sentence: the share of the teacher, and the distance to training without one and to TF-IDF."""
    clauses = []
    if "of_teacher" in headline:
        clauses.append(f"keeps {headline['of_teacher']:.1f} % of its teacher")
    for pair in compared["differences"]:
        if pair["model"] == "student" and pair["baseline"] in OVER:
            clauses.append(_distance(pair["mean"], OVER[pair["baseline"]]))
    said = ", ".join(clauses[:-1]) + (" and " if clauses[1:] else "") + clauses[-1] if clauses else "was scored alone"
    return f"On {task} the student {said}."


def _distillation(task: str, compared: Mapping[str, Any]) -> Iterator[str]:
    """What distilling over text gave, a sentence for each control."""
    for pair in compared["differences"]:
        if pair["model"] == "student" and pair["baseline"] in CONTROL_TITLES:
            mean = pair["mean"]
            yield distillation_sentence(task, pair["baseline"], mean["difference"], mean["interval_95"])


def _rivals(root: Path, task: str, compared: Mapping[str, Any]) -> list[str]:
    """The rivals that win, a sentence each."""
    metrics, names = root / "metrics", read_params(root / "params.yaml").get("rivals", {})
    if not names:
        return []
    export = read_json(metrics / "export.json", "export")
    found = {name: read_json(metrics / f"distil/rivals/{name}.json", f"rival@{name}") for name in names}
    student = Deployed(export["int8_bytes"], export["speedup_vs_teacher_fp32"])
    return rival_sentences(task, compared, found, student)


def _unmeasured(root: Path, scored: list[str]) -> list[str]:
    """The caveat of the distance to `no_teacher` where the control `start` was not run."""
    params = read_params(root / "params.yaml")
    started = params.get("student", {}).get("init") == "teacher"
    return [NOT_MEASURED] if scored and started and "start" not in params["evaluate"]["controls"] else []


def _distance(mean: Mapping[str, Any], other: str) -> str:
    low, high = mean["interval_95"]
    if low <= 0 <= high:
        return f"cannot be told from {other} ({_points(mean['difference'], sign=True)} points)"
    return f"is {_points(abs(mean['difference']))} points {'above' if low > 0 else 'below'} {other}"


def _points(value: float, sign: bool = False) -> str:
    text = f"{100 * value:{'+' if sign else ''}.1f}"
    return "0.0" if float(text) == 0 else text


def _scores(folder: Path, task: str) -> str:
    found, metric = [], ""
    for model, title in TITLES.items():
        path = folder / model / f"{task}.json"
        if path.is_file():
            scored = read_json(path, "evaluate")
            metric = scored["metric"]
            found.append(f"{title} {_points(scored['mean'][metric])}")
    return f"  {metric.replace('_', ' ').replace(' f1', ' F1')}: {', '.join(found)}"


def _size(metrics: Path, headline: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Parameters, the exported model and its speed."""
    text = f"  student: {headline['size']['million_parameters']:g}M parameters"
    if (metrics / "export.json").is_file():
        export = read_json(metrics / "export.json", "export")
        text += f", {export['int8_bytes'] / 1e6:.1f} MB in int8"
        if faster := export.get("speedup_vs_teacher_fp32"):
            text += f", {faster:.1f} times the teacher's tokens per second on one thread"
    yield text


def _next(root: Path) -> Iterator[str]:
    alpha = read_params(root / "params.yaml").get("loss", {}).get("alpha")
    change = f"dvc exp run -S loss.alpha={0.5 if alpha == 0.9 else 0.9}"
    for command, what in (
        ("make report ARGS=--open", "every table and picture (metrics/report.html)"),
        (change, "change one value; what it does not concern is not computed again"),
        ("make runs", "the table of all runs in the terminal"),
        ("make mlflow", f"the same with curves in a browser, {find_view_address()}"),
    ):
        yield f"  {command:<34}{what}"
