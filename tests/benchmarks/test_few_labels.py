"""The label-efficiency curve: points from experiments, one picture from the records."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks import few_labels
from benchmarks.svg import COLOURS
from distil.core.errors import UserError
from distil.core.files import write_json
from distil.evaluation.counts import Predictions
from distil.evaluation.predictions import predictions_file, write_predictions
from tests.evaluation.test_baselines import make_task


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with two points of a curve and an experiment without hidden labels."""
    monkeypatch.chdir(tmp_path)
    for name in ("NAME", "EMAIL"):
        for who in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{who}_{name}", "someone")
    run = lambda *words: subprocess.run(["git", *words], check=True)  # noqa: E731
    run("init", "-q", ".")
    run("commit", "-q", "--allow-empty", "-m", "baseline")
    for number, (languages, rows) in enumerate((("[yor]", 100), ("[yor]", 0), ("[]", 0))):
        few = f"few_labels: {{languages: {languages}, rows: {rows}}}"
        Path("params.yaml").write_text(f"evaluate: {{tasks: [mood], {few}}}\n")
        for model in few_labels.CURVES:
            own = {"weighted_f1": 0.5 + rows / 1000, "interval_95": [0.4, 0.7], "n_train": rows,
                   "n_train_hidden": 100 - rows, "seeds": [{}, {}]}  # fmt: skip
            scores = {"metric": "weighted_f1", "languages": {"yor": own, "swa": {}}}
            write_json(Path(f"metrics/evaluate/{model}/mood.json"), scores)
        run("add", ".")
        run("commit", "-q", "-m", "experiment")
        run("update-ref", f"refs/exps/ab/cdef/few-{number}", "HEAD")
        run("reset", "-q", "--hard", "HEAD~1")
    return tmp_path


def test_a_curve_has_a_point_for_each_number_of_labels_and_keeps_those_of_other_clones(clone: Path) -> None:
    found = few_labels.record([{"task": "mood", "rows": 30, "scores": "theirs"}, {"task": "mood", "rows": 0}])
    assert [(point["rows"], point.get("of")) for point in found] == [(0, 100), (30, None), (100, 100)]
    assert found[2]["scores"]["student"] == [60.0, 40.0, 70.0] and found[2]["seeds"] == 2


def test_the_picture_shows_every_point_and_is_the_same_each_time(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"few-labels.json: no points; run the sweep of docs/guides/few-labels.md"):
        monkeypatch.setattr("sys.argv", ["few_labels", "picture"])
        few_labels.main()
    points = few_labels.record([])
    dark = few_labels.draw(points, COLOURS["dark"])
    assert dark == few_labels.draw(points, COLOURS["dark"])
    assert dark != few_labels.draw(points[:1], COLOURS["dark"])
    assert [few_labels._label(point) for point in points] == ["0", "all 100"]


def test_models_of_several_checkouts_are_compared_on_the_same_rows(tmp_path: Path) -> None:
    rows = [{"text": f"t{at}", "label": "ab"[at % 2]} for at in range(40)]
    task = make_task(tmp_path / "toy", "text_classification", ["a", "b"], {"train": rows, "dev": rows, "test": rows})
    gold = np.arange(40) % 2
    for name, wrong in (("even", 0), ("masked", 10)):
        said = np.where(np.arange(40) < wrong, 1 - gold, gold)
        path = predictions_file(tmp_path / name, "student", "toy")
        write_predictions(path, {"kin": Predictions(gold, {1: said})}, task.labels)
    named = [f"{name}={tmp_path / name}/student" for name in ("even", "masked")]
    lines = few_labels.compare(named, task.folder, "kin").splitlines()
    assert lines[2:4] == ["| even | 100.0 |", "| masked | 75.0 |"]
    assert lines[-1].startswith("| even − masked | +25.0 [+1")
    with pytest.raises(UserError, match="expected NAME=CHECKOUT/MODEL, found even"):
        few_labels.compare(["even"], task.folder, "kin")


def test_the_committed_picture_is_that_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    records = json.loads((root / few_labels.RECORDS).read_text(encoding="utf-8"))
    assert {point["rows"] for point in records} >= {0, 30, 100}
    for name, colours in COLOURS.items():
        committed = (root / f"docs/images/few-labels-{name}.svg").read_text(encoding="utf-8")
        assert few_labels.draw(records, colours) == committed, "python -m benchmarks.few_labels picture"
