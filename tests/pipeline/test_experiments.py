"""Experiments as a person runs them: which stages run, which come from the cache, and what MLflow then holds.

Real DVC and real processes, on a copy of the repository (tests/support/repository.py).
"""

import json
import re
import time
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml

from tests.support.repository import (
    AFTER_DISTIL,
    AFTER_NO_TEACHER,
    LANGUAGES,
    PROMISED,
    STAGES,
    Repository,
    cached,
    ran,
    unchanged,
)

pytestmark = pytest.mark.slow

QUEUE_SECONDS = 1800.0


def test_one_repro_runs_every_stage_once_and_writes_what_it_promises(made: Repository) -> None:
    assert sorted(ran(made.first)) == sorted(STAGES)
    assert [name for name in PROMISED if not (made.root / name).is_file()] == []


def test_a_second_repro_runs_nothing(made: Repository) -> None:
    output = made.run("dvc", "repro")
    assert ran(output) == cached(output) == []
    assert set(unchanged(output)) == STAGES


def test_nothing_is_written_outside_of_what_git_and_dvc_ignore_or_track(made: Repository) -> None:
    assert made.run("git", "status", "--short") == ""
    assert made.run("dvc", "status").strip() == "Data and pipelines are up to date."
    assert list(made.root.rglob("*.tmp")) == []


def test_another_alpha_runs_from_distil_on_and_the_first_alpha_again_trains_nothing(repository: Repository) -> None:
    output = repository.run("dvc", "exp", "run", "-n", "lower", "-S", "loss.alpha=0.5")
    # Answers of so small a student can be those of another, and are then not scored again.
    assert AFTER_DISTIL - {"evaluate"} <= set(ran(output)) <= AFTER_DISTIL
    assert set(unchanged(output)) == STAGES - set(ran(output))
    students = repository.query("select value from tags where key = 'distil.key'")

    output = repository.run("dvc", "exp", "run", "-n", "back", "-S", "loss.alpha=0.9")
    tuned = {f"finetune_{model}@sentiment" for model in ("student", "student_plain")}
    assert set(cached(output)) == {"distil", *tuned}
    again = AFTER_DISTIL - {"distil"} - tuned
    assert again - {"evaluate"} <= set(ran(output)) <= again
    assert repository.query("select value from tags where key = 'distil.key'") == students
    assert repository.query("select count(*) from runs") == [(len(students),)]
    assert len(set(students)) == len(students)
    (first,) = repository.students(0.9)
    names = repository.query("select value from tags where key = 'dvc.exp_name' and run_uuid = ?", first)
    assert names == [("back",)]  # the run that the first `dvc repro` made, now found under this name too


def test_another_seed_of_training_leaves_the_teacher_alone(made: Repository) -> None:
    output = made.run("dvc", "exp", "run", "--temp", "-n", "again", "-S", "train.seed=2")
    assert {"distil", "no_teacher"} <= set(ran(output)) <= AFTER_DISTIL | AFTER_NO_TEACHER


def test_an_experiment_in_a_temporary_copy_and_a_grid_in_a_queue_share_one_store(made: Repository) -> None:
    output = made.run("dvc", "exp", "run", "--temp", "-n", "alone", "-S", "loss.alpha=0.1")
    # Answers of so small a student can be those of another, and are then not scored again.
    assert AFTER_DISTIL - {"evaluate"} <= set(ran(output)) <= AFTER_DISTIL
    alphas, rates = (0.2, 0.3), (0.001, 0.002)
    made.run("dvc", "exp", "run", "--queue", "-n", "grid", "-S", "loss.alpha=0.2,0.3",
             "-S", "train.learning_rate=0.001,0.002")  # fmt: skip
    made.run("dvc", "queue", "start", "-j", "2")
    wait_for_queue(made, tasks=4)

    (alone,) = made.students(0.1)
    check_run(made, alone, "alone")
    found = {}
    for alpha in alphas:
        for run in made.students(alpha):
            ((rate,),) = made.query("select value from params where key = 'train.learning_rate' and run_uuid = ?", run)
            ((name,),) = made.query("select value from tags where key = 'dvc.exp_name' and run_uuid = ?", run)
            check_run(made, run, name)
            found[alpha, float(rate)] = name
    assert set(found) == {(alpha, rate) for alpha in alphas for rate in rates}
    assert sorted(found.values()) == [f"grid-{number}" for number in (1, 2, 3, 4)]
    assert list((made.root / ".dvc/tmp").rglob("mlflow.db")) == []
    assert made.run("git", "status", "--short") == ""  # the workspace saw nothing of it


@pytest.mark.faults
def test_four_experiments_at_once_lose_nothing_in_one_store_and_one_cache(made: Repository) -> None:
    alphas = {"north": 0.61, "east": 0.62, "south": 0.63, "west": 0.64}
    made.run("dvc", "queue", "remove", "--all")
    for name, alpha in alphas.items():
        made.run("dvc", "exp", "run", "--queue", "-n", name, "-S", f"loss.alpha={alpha}")
    made.run("dvc", "queue", "start", "-j", str(len(alphas)))
    wait_for_queue(made, tasks=len(alphas))
    for name, alpha in alphas.items():
        (run,) = made.students(alpha)
        check_run(made, run, name)
        made.run("dvc", "exp", "apply", name)
        assert made.run("dvc", "status").strip() == "Data and pipelines are up to date."  # every out is in the cache
        made.run("git", "checkout", "--quiet", "--", ".")
    made.run("dvc", "checkout", "--quiet")


def test_a_control_is_switched_on_by_one_setting_and_trains_nothing_that_was_there(made: Repository) -> None:
    output = made.run("dvc", "exp", "run", "--temp", "-n", "honest", "-S", "evaluate.controls=[start]")
    rows = {"control@start", "finetune_control@start-sentiment"}
    assert set(ran(output)) == rows | {"evaluate", "report", "track"} and cached(output) == []
    refs = made.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (experiment,) = [ref for ref in refs if ref.endswith("/honest")]
    found = json.loads(made.run("git", "show", f"{experiment}:metrics/headline.json"))["sentiment"]
    assert found["over_start_low"] <= found["over_start"] <= found["over_start_high"]
    assert "over_masked_lm" not in found and "over_start" in made.run("dvc", "exp", "show", "--csv")
    assert "On sentiment distilling over text " in made.run("git", "show", f"{experiment}:metrics/model_card.md")


def wait_for_queue(made: Repository, tasks: int) -> None:
    """Until every task has ended well, for a bounded time."""
    end = time.monotonic() + QUEUE_SECONDS
    while True:
        status = made.run("dvc", "queue", "status")
        assert not re.search(r"\bFailed\b", status), status
        if len(re.findall(r"\bSuccess\b", status)) == tasks:
            return
        assert time.monotonic() < end, status
        time.sleep(2)


def check_run(made: Repository, run: str, experiment: str) -> None:
    """An MLflow run is named for its experiment, and has curves, figures of each language and the report."""
    tags = dict(made.query("select key, value from tags where run_uuid = ?", run))
    assert tags["dvc.exp_name"] == experiment and tags["distil.complete"] == "true"
    ((status, uri),) = made.query("select status, artifact_uri from runs where run_uuid = ?", run)
    assert status == "FINISHED"
    points = dict(made.query("select key, count(*) from metrics where run_uuid = ? group by key", run))
    for language in LANGUAGES:
        assert points[f"train/{language}/logit_kd"] >= 2, points
        assert points[f"train/heldout/{language}/kl"] >= 2, points
        assert points[f"heldout/{language}/kl"] == points[f"eval/student/sentiment/{language}/weighted_f1"] == 1
    artifacts = Path(unquote(urlparse(uri).path))
    assert artifacts.is_relative_to(made.root.resolve() / "mlartifacts")
    assert {path.name for path in artifacts.iterdir()} >= {"report.html", "report.md", "params.yaml"}
    alpha = yaml.safe_load((artifacts / "params.yaml").read_text(encoding="utf-8"))["loss"]["alpha"]
    assert run in made.students(alpha)


@pytest.mark.parametrize(
    ("file", "must", "may"),
    [("report/markdown.py", {"report"}, {"report", "track"}), ("tracking/view.py", {"track"}, {"track"})],
)
def test_an_edit_of_what_only_shows_results_computes_none_again(
    repository: Repository, file: str, must: set[str], may: set[str]
) -> None:
    path = repository.root / "distil" / file
    path.write_text(path.read_text(encoding="utf-8") + "# A comment.\n", encoding="utf-8")
    output = repository.run("dvc", "repro")
    assert must <= set(ran(output)) <= may
    assert cached(output) == []


def test_a_fresh_clone_without_the_data_runs_nothing_with_allow_missing(made: Repository, tmp_path: Path) -> None:
    made.run("git", "clone", "--quiet", str(made.root), str(tmp_path / "clone"))
    output = made.run("dvc", "repro", "--allow-missing", cwd=tmp_path / "clone")
    assert ran(output) == cached(output) == []
    assert set(unchanged(output)) == STAGES
