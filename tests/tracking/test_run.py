import json
import os
import subprocess
import sys
import time

import pytest

from distil.evaluation.model_names import MODEL_TITLES
from distil.tracking import run as tracking
from distil.tracking.names import changed_name, curve_points
from distil.tracking.results import model_tags, read_curves, result_metrics, result_tags
from distil.tracking.run import LiveRun, complete_run
from distil.tracking.student_run import StudentRun
from distil.tracking.view import HEADLINE, find_view_address, view_address
from tests.support import ROOT

KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A repository of its own for every test; the environment of the caller plays no part."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A store with its tables made, since making them takes a second in every test."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path.read_bytes()


@pytest.fixture
def store(place, empty_store):
    (place / "mlflow.db").write_bytes(empty_store)
    return f"sqlite:///{place / 'mlflow.db'}"


def runs(uri):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("distil")
    return [] if experiment is None else client.search_runs([experiment.experiment_id])


def history(uri, name):
    from mlflow import MlflowClient

    points = MlflowClient(uri).get_metric_history(runs(uri)[0].info.run_id, name)
    return sorted((point.step, point.value) for point in points)


def complete(key=KEY, params=None, metrics=None, tags=None, curves=(), artifacts=(), settings=None, description=""):
    return complete_run(key, params or {}, metrics or {}, tags or {}, curves, artifacts, settings, description)


def train(key=KEY, params=None, steps=(1, 2, 3)):
    with LiveRun.open(key, params or {"loss": {"alpha": 0.5}}) as run:
        for step in steps:
            run.log(step, {"train/loss": 10.0 / step, "train/kin.logit_kd": None})


# ---- names and figures, without a store


def test_a_row_becomes_named_points_and_an_empty_cell_none():
    row = {"train/loss": "0.25", "train/kin.logit_kd": "", "train/swa.logit_kd": "1e-3", "heldout/kin.kl": 2.0}
    assert [point[:3] for point in curve_points(5, row)] == [
        ("train/loss", 5, 0.25),
        ("train/swa/logit_kd", 5, 0.001),
        ("train/heldout/kin/kl", 5, 2.0),
    ]
    assert curve_points(1, {"train/loss": float("nan"), "train/attention": float("inf"), "train/masked_lm": None}) == []


def evaluation(model, kin, swa):
    def row(score):
        return {"n": 10, "weighted_f1": score, "interval_95": [score - 0.1, score + 0.1], "confusion": [[1]],
                "per_label": {"positive": {"f1": 1.0}}, "seeds": [{"seed": 1}]}  # fmt: skip

    mean = {"weighted_f1": (kin + swa) / 2}
    return {"model": model, "task": "mood", "metric": "weighted_f1", "languages": {"kin": row(kin), "swa": row(swa)},
            "mean": mean}  # fmt: skip


COMPARED = {"task": "mood", "differences": [
    {"model": "student", "baseline": "tfidf", "mean": {"difference": 0.1, "p": 0.04},
     "languages": {"kin": {"difference": 0.2, "p": 0.01}, "swa": {"difference": 0.0, "p": 1.0}}},
    {"model": "teacher", "baseline": "tfidf", "mean": {"difference": 0.3, "p": 0.04}, "languages": {}},
]}  # fmt: skip


def test_results_are_flat_names_that_mlflow_accepts():
    summary = {
        "key": KEY, "steps": 40, "stopped_early": True, "student": {"parameters": 7},
        "teacher": {"id": "a/b", "synthetic": False, "parameters": 70},
        "heldout": {"kin": {"kl": 0.5, "teacher_accuracy": None}},
    }  # fmt: skip
    costs = {"baselines@mood": {"seconds": 3.5, "machine": "x86_64"}}
    metrics = result_metrics(
        summary, [evaluation("teacher", 0.8, 0.5), evaluation("student", 0.6, 0.5)], [COMPARED], costs
    )  # fmt: skip
    assert metrics["distil/steps"] == 40 and metrics["student/parameters"] == 7 and metrics["heldout/kin/kl"] == 0.5
    # points and percent, as in the report and in metrics/headline.json; counts stay counts
    assert metrics["eval/student/mood/kin/weighted_f1"] == 60.0 and metrics["eval/student/mood/kin/n"] == 10
    assert metrics["eval/student/mood/swa/interval_95_low"] == pytest.approx(40.0)
    # 0.6 / 0.8 = 0.75; 0.5 / 0.5 = 1; means 0.55 / 0.65
    assert metrics["retention/mood/kin"] == pytest.approx(75.0)
    assert metrics["retention/mood/lowest"] == pytest.approx(75.0)
    assert metrics["retention/mood/mean"] == pytest.approx(100 * 0.55 / 0.65, abs=1e-4)
    assert metrics["gain/mood/tfidf/kin"] == 20.0 and metrics["gain/mood/tfidf/mean"] == 10.0
    assert metrics["cost/baselines_mood/seconds"] == 3.5
    assert not [name for name in metrics if "confusion" in name or "machine" in name or "accuracy" in name]
    assert result_tags(summary) == {"distil.stopped_early": True, "teacher.id": "a/b", "teacher.synthetic": False}


def test_a_teacher_that_scores_nothing_has_no_retention():
    names = result_metrics({}, [evaluation("teacher", 0.0, 0.5), evaluation("student", 0.6, 0.5)], [], {})
    assert "retention/mood/kin" not in names and names["retention/mood/lowest"] == 100.0


def test_the_models_md5_comes_from_dvc_lock(tmp_path):
    lock = tmp_path / "dvc.lock"
    assert model_tags(lock) == {"dvc.model_path": "models/student"}
    lock.write_text("stages:\n  distil:\n    outs:\n    - path: models/student\n      md5: abc.dir\n")
    assert model_tags(lock)["dvc.model_md5"] == "abc.dir"


# ---- the store


def test_a_training_is_one_run_with_its_curves_params_and_name(place, store, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "brave-idea")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "c0ffee")
    train()
    (run,) = runs(store)
    assert run.info.run_name == "brave-idea" and run.info.status == "FINISHED"
    assert run.data.params == {"loss.alpha": "0.5"}
    assert run.data.tags["distil.key"] == KEY and run.data.tags["dvc.exp_name"] == "brave-idea"
    assert run.data.tags["dvc.baseline_rev"] == "c0ffee" and "distil.complete" not in run.data.tags
    assert history(store, "train/loss") == [(1, 10.0), (2, 5.0), (3, 10.0 / 3)]
    assert run.info.artifact_uri.startswith((place / "mlartifacts").as_uri())


def test_a_resumed_training_continues_its_run_and_doubles_no_point(store):
    with pytest.raises(KeyboardInterrupt), LiveRun.open(KEY, {}) as run:
        run.log(1, {"train/loss": 10.0})
        run.log(2, {"train/loss": 5.0})
        raise KeyboardInterrupt
    assert runs(store)[0].info.status == "KILLED"
    train(steps=(2, 3))
    assert runs(store)[0].info.status == "FINISHED"
    assert history(store, "train/loss") == [(1, 10.0), (2, 5.0), (3, 10.0 / 3)]


def test_the_same_student_again_updates_its_run_and_another_one_adds_a_run(store, monkeypatch):
    train()
    complete(metrics={"eval/student/mood/kin/weighted_f1": 0.6})
    monkeypatch.setenv("DVC_EXP_NAME", "brave-idea")
    complete(metrics={"eval/student/mood/kin/weighted_f1": 0.6, "eval/student/mood/swa/weighted_f1": 0.5})
    (run,) = runs(store)
    assert run.info.run_name == "repro-01234567" and run.data.tags["dvc.exp_name"] == "brave-idea"
    assert len(run.data.metrics) == 3 and run.data.tags["distil.complete"] == "true"
    assert history(store, "eval/student/mood/kin/weighted_f1") == [(0, 0.6)]
    complete(key="f" * 64)
    assert len(runs(store)) == 2


def test_a_result_that_changed_is_the_one_shown(store):
    complete(metrics={"retention/mood/kin": 0.9})
    time.sleep(0.002)  # the store tells points of a step apart by the millisecond
    complete(metrics={"retention/mood/kin": 0.8})
    assert runs(store)[0].data.metrics == {"retention/mood/kin": 0.8}


def test_a_param_with_another_value_becomes_a_tag(store, caplog):
    assert complete(params={"train": {"epochs": 6, "learning_rate": 5e-5}, "languages": ["kin", "swa"]})
    assert complete(params={"train": {"epochs": 7, "learning_rate": "0.00005"}, "languages": ["kin", "swa"]})
    (run,) = runs(store)
    assert run.data.params == {"train.epochs": "6", "train.learning_rate": "5e-05", "languages": '["kin", "swa"]'}
    assert {key: value for key, value in run.data.tags.items() if key.startswith("latest")} == {
        "latest.train.epochs": "7"
    }
    assert complete(params={"train.epochs": 6})
    assert runs(store)[0].data.tags["latest.train.epochs"] == "6"
    assert not caplog.records


def test_a_lost_store_is_filled_again_and_a_full_one_is_left_alone(place, store):
    folder = place / "metrics"
    folder.mkdir()
    (folder / "train.csv").write_text("step,loss,kin.attention\n10,2.5,\n20,1.5,0.25\n")
    (folder / "heldout.csv").write_text("step,loss,kin.kl\n20,1.75,0.5\n")
    (folder / "report.html").write_text("<p>report</p>")
    for _ in range(2):
        assert complete(curves=read_curves(folder), artifacts=[folder / "report.html"])
        assert history(store, "train/loss") == [(10, 2.5), (20, 1.5)]
        assert history(store, "train/kin/attention") == [(20, 0.25)]
        assert history(store, "train/heldout/kin/kl") == [(20, 0.5)]
    assert [path.name for path in (place / "mlartifacts").rglob("*.html")] == ["report.html"]


def test_a_curve_longer_than_a_batch_arrives_whole(store):
    train(steps=range(1, 2502))
    assert len(history(store, "train/loss")) == 2501


# ---- trouble


@pytest.mark.parametrize("trouble", ["damaged", "folder", "foreign", "unreachable", "not installed"])
def test_trouble_with_the_store_is_one_warning_and_training_goes_on(place, trouble, monkeypatch, caplog):
    database = place / "mlflow.db"
    if trouble == "damaged":
        database.write_bytes(b"not a database at all" * 100)
    elif trouble == "folder":
        database.mkdir()
    elif trouble == "foreign":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://user:secret@host/store")
    elif trouble == "unreachable":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    else:
        monkeypatch.setitem(sys.modules, "mlflow", None)
    train()
    assert len(caplog.records) == 1 and "MLflow store" in caplog.text and "secret" not in caplog.text
    assert complete() is False
    assert len(caplog.records) == 2


def test_a_store_that_breaks_during_training_is_one_warning(store, monkeypatch, caplog):
    monkeypatch.setattr(tracking, "SEND_EVERY_SECONDS", 0.01)
    with LiveRun.open(KEY, {}) as run:
        monkeypatch.setattr(StudentRun, "_send", lambda *_: 1 / 0)
        for step in range(3):
            run.log(step, {"train/loss": 1.0})
            time.sleep(0.05)
    assert len(caplog.records) == 1 and "division by zero" in caplog.text


def test_a_step_does_not_wait_for_the_store(store, monkeypatch):
    monkeypatch.setattr(tracking, "SEND_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(StudentRun, "_send", lambda *_: time.sleep(0.5))
    with LiveRun.open(KEY, {}) as run:
        start = time.monotonic()
        for step in range(20):
            run.log(step, {"train/loss": 1.0})
            time.sleep(0.002)
        assert time.monotonic() - start < 0.4


def test_importing_tracking_imports_neither_mlflow_nor_torch():
    code = "import sys, distil.tracking.run, stages.track; print(sys.modules.keys() & {'mlflow', 'torch'})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_two_processes_that_first_touch_a_store_together_both_succeed_and_share_a_students_run(place):
    code = "from distil.tracking.run import complete_run; assert complete_run('a' * 64, {}, {}, {}, [], [])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=place, env=environment) for _ in range(2)]
    assert [process.wait(120) for process in started] == [0, 0]
    assert len(runs(f"sqlite:///{place / 'mlflow.db'}")) == 1


def test_fine_tuning_the_same_student_otherwise_is_another_run_and_going_back_finds_the_first(store):
    train()
    settings = {"finetune": {"student": {"epochs": 6}}, "evaluate": {"seeds": [1]}}
    other = {"finetune": {"student": {"epochs": 8}}, "evaluate": {"seeds": [1]}}
    assert complete(params={"loss": {"alpha": 0.5}}, settings=settings, metrics={"f1": 60.0})
    (first,) = runs(store)  # the run of the training
    assert first.data.params == {"loss.alpha": "0.5", "finetune.student.epochs": "6", "evaluate.seeds": "[1]"}
    assert complete(params={"loss": {"alpha": 0.5}}, settings=other, metrics={"f1": 61.0})
    assert complete(params={"loss": {"alpha": 0.5}}, settings=settings, metrics={"f1": 62.0})
    found = {run.data.params["finetune.student.epochs"]: run for run in runs(store)}
    assert found["6"].info.run_id == first.info.run_id and len(runs(store)) == 2
    assert (found["6"].data.metrics["f1"], found["8"].data.metrics["f1"]) == (62.0, 61.0)
    assert {run.data.tags["distil.key"] for run in found.values()} == {KEY}


def test_a_run_is_named_for_what_differs_from_the_commit_that_it_started_from(place, store):
    (place / "params.yaml").write_text("loss:\n  alpha: 0.5\ntrain:\n  epochs: 4\n")
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "params.yaml"], [*author, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], check=True)
    train(params={"loss": {"alpha": 0.9}})
    assert runs(store)[0].info.run_name == "alpha=0.9"
    assert complete(params={"loss": {"alpha": 0.9}, "train": {"epochs": 8}}, description="**good**")
    assert runs(store)[0].info.run_name == "alpha=0.9, epochs=8"
    assert runs(store)[0].data.tags["mlflow.note.content"] == "**good**"
    assert complete(key="f" * 64, params={"loss": {"alpha": 0.5}})
    assert sorted(run.info.run_name for run in runs(store)) == ["alpha=0.9, epochs=8", "repro-ffffffff"]


def test_a_name_says_the_whole_key_where_the_last_part_is_not_enough():
    before = {"a.epochs": 1, "b.epochs": 1, "b.rate": 0.1, "c.x": 1, "c.y": 1}
    assert changed_name(before, {"a.epochs": 2, "b.epochs": 1}) == "a.epochs=2"
    assert changed_name(before, {"b.rate": 0.10, "new": 3}) == ""
    assert changed_name(before, {"b.epochs": 2, "b.rate": 1, "c.x": 2, "c.y": [1]}, most=3) == (
        "epochs=2, rate=1, x=2, 1 more"
    )


def test_the_experiment_opens_on_the_saved_view(store):
    from mlflow import MlflowClient

    assert find_view_address() == "http://127.0.0.1:5000/#/experiments"  # nothing was logged yet
    assert complete()
    tags = MlflowClient(store).get_experiment_by_name("distil").tags
    state = json.loads(tags["mlflow.sharedViewState.distil"])
    assert state["orderByKey"] == "metrics.`f1`" and state["selectedColumns"][:2] == [
        "metrics.`f1`",
        "metrics.`of_teacher`",
    ]
    assert tags["mlflow.experiment.primaryMetric.name"] == "f1"
    number = MlflowClient(store).get_experiment_by_name("distil").experiment_id
    assert find_view_address() == view_address(number)


# ---- the stage


def test_the_track_stage_completes_the_run_from_the_files_of_the_other_stages(place, store):
    def write(path, text):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)

    write(
        "params.yaml",
        "loss:\n  alpha: 0.5\nfinetune:\n  batch_size: 9\nfootprint:\n  threads: 1\n"
        "evaluate:\n  tasks:\n    - mood\n  seeds:\n    - 4\n  languages: joint\n"
        "  bootstrap_resamples: 100\n  controls:\n    - start\n    - masked_lm\n"
        "  linear_companion: {tasks: [], bits: 8}\n  merge: {tasks: [], members: all, method: linear, density: 0.5}\n"
        "  few_labels: {languages: [], rows: 0}\nrivals: {}\ndecoders: {}\n",
    )
    headline = {"heldout": {"kl": 0.04}, "size": {"million_parameters": 10.5},
                "mood": {"student": 65.0, "of_teacher": 100.0, "over_start": 0.5, "over_no_teacher": 1.5,
                         "over_tfidf": -2.0}}  # fmt: skip
    write("metrics/headline.json", json.dumps(headline))
    write("metrics/export.json", json.dumps({"int8_bytes": 13_400_000, "speedup_vs_teacher_fp32": 9.87}))
    write("metrics/footprint.json", json.dumps({"models": {"student": {"short": {"milliseconds": 0.944}}}}))
    write("metrics/model_card.md", "card")
    write("metrics/distil/summary.json", json.dumps({"key": KEY, "steps": 20, "teacher": {"id": "a/b"}}))
    write("metrics/distil/train.csv", "step,loss\n20,1.5\n")
    for model in MODEL_TITLES:
        write(f"metrics/evaluate/{model}/mood.json", json.dumps(evaluation(model, 0.8, 0.5)))
    write("metrics/compare/mood.json", json.dumps({"task": "mood", "differences": [], "retention": {}}))
    write("metrics/cost/distil.json", '{"seconds": 9.5}')
    write("metrics/report.html", "<p>")
    write("metrics/report.md", "report")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.track"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = runs(store)
    settings = {"finetune.batch_size": "9", "evaluate.tasks": '["mood"]', "evaluate.seeds": "[4]",
                "evaluate.languages": "joint", "evaluate.bootstrap_resamples": "100",
                "evaluate.controls": '["start", "masked_lm"]'}  # fmt: skip
    off = {"linear_companion.tasks": "[]", "linear_companion.bits": "8", "merge.tasks": "[]", "merge.method": "linear",
           "merge.members": "all", "merge.density": "0.5", "few_labels.languages": "[]",
           "few_labels.rows": "0"}  # fmt: skip
    settings |= {f"evaluate.{name}": value for name, value in off.items()}
    assert run.data.params == {"loss.alpha": "0.5"} | settings and run.data.tags["footprint.threads"] == "1"
    assert {name: run.data.metrics[name] for name in HEADLINE} == {
        "f1": 65.0, "of_teacher": 100.0, "vs_start": 0.5, "vs_no_teacher": 1.5, "vs_tfidf": -2.0, "kl": 0.04,
        "params_m": 10.5, "int8_mb": 13.4, "ms": 0.944,
    }  # fmt: skip
    result = "On mood the student keeps 100.0 % of its teacher."
    assert run.data.tags["mlflow.note.content"].startswith(result) and done.stdout.startswith(result)
    assert "experiments/1/runs?workflowType=machine_learning&viewStateShareKey=distil" in done.stdout
    assert run.data.metrics["cost/distil/seconds"] == 9.5
    assert run.data.tags["distil.complete"] == "true" and run.data.tags["teacher.id"] == "a/b"
    assert history(store, "train/loss") == [(20, 1.5)]
    assert "MLflow: the run of student 01234567 is complete" in done.stderr and "INFO mlflow" not in done.stderr
    (place / "mlflow.db").write_bytes(b"damaged" * 500)
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "file is not a database" in done.stderr
