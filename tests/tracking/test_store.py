"""Where MLflow's runs go: relative stores, moved and shared ones, deleted experiments, and no credentials in a log."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distil.tracking import store
from distil.tracking.run import complete_run
from distil.tracking.store import absolute_uri, artifact_folder, is_foreign, masked, sqlite_path
from tests.support import ROOT

KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own, worked in from a temporary folder, as DVC does it for `--temp` and the queue."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "repository").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repository"))
    monkeypatch.chdir(tmp_path / "temporary")
    return tmp_path / "repository"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path.read_bytes()


def client(store: Path):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{store}")


def runs(store: Path) -> list:
    found = client(store)
    return found.search_runs([found.get_experiment_by_name("distil").experiment_id], order_by=["attribute.start_time"])


def complete(key: str = KEY, report: str = "report") -> bool:
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()  # which a process of its own would begin without
    Path("report.md").write_text(report)
    return complete_run(key, {}, {}, {}, [], [Path("report.md")])


@pytest.mark.parametrize(
    ("uri", "absolute"),
    [
        ("sqlite:///mlflow.db", "sqlite:////repo/mlflow.db"),
        ("sqlite:///./runs/../mlflow.db", "sqlite:////repo/mlflow.db"),
        ("sqlite:///../shared.db?timeout=30", "sqlite:////shared.db?timeout=30"),
        ("sqlite:mlflow.db", "sqlite:////repo/mlflow.db"),
        ("sqlite+pysqlite:///mlflow.db", "sqlite+pysqlite:////repo/mlflow.db"),
        ("mlruns", "/repo/mlruns"),
        ("./mlruns", "/repo/mlruns"),
        ("file:mlruns", "file:///repo/mlruns"),
        ("file:./my runs", "file:///repo/my%20runs"),
        *((same, same) for same in (
            "sqlite:////data/mlflow.db", "sqlite://", "sqlite:///:memory:", "/data/mlruns", "file:///data/mlruns",
            "http://127.0.0.1:5000", "https://u:p@host/x", "postgresql://u:p@host/db", "databricks", "databricks://me",
        )),
    ],
)  # fmt: skip
def test_a_relative_store_is_below_the_repository_and_every_other_address_stays(uri: str, absolute: str) -> None:
    assert absolute_uri(uri, Path("/repo")) == absolute


def test_the_file_of_a_store_and_the_place_of_its_artifacts(place: Path) -> None:
    assert sqlite_path("sqlite:////data/mlflow.db?timeout=30") == Path("/data/mlflow.db")
    assert sqlite_path("postgresql://host/db") is None
    assert artifact_folder("sqlite:////data/mlflow.db") == Path("/data/mlartifacts")
    assert artifact_folder("postgresql+psycopg://host/db") == place / "mlartifacts"
    assert artifact_folder("http://127.0.0.1:5000") is None


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "sqlite:mlflow.db", "sqlite:///./mlflow.db?timeout=30"])
def test_a_run_from_a_temporary_folder_is_in_the_repositorys_store(place, uri, empty_store, monkeypatch) -> None:
    (place / "mlflow.db").write_bytes(empty_store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert complete()
    (run,) = runs(place / "mlflow.db")
    assert run.data.tags["distil.complete"] == "true"
    assert run.info.artifact_uri == (place / f"mlartifacts/{run.info.run_id}/artifacts").as_uri()
    assert [path.name for path in (place / "mlartifacts").rglob("*.md")] == ["report.md"]
    assert sorted(path.name for path in Path().iterdir()) == ["report.md"]  # nothing that is deleted with the folder


@pytest.mark.parametrize("kept", ["moved", "copied"])
def test_a_store_that_was_moved_or_copied_takes_its_artifacts_along(place, kept, empty_store, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    (place / "mlflow.db").write_bytes(empty_store)
    assert complete(report="first")
    clone = place.parent / "a clone"
    shutil.copytree(place, clone)
    if kept == "moved":
        shutil.rmtree(place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    monkeypatch.setenv("DVC_ROOT", str(clone))
    assert complete("f" * 64) and complete(report="again")
    first, second = runs(clone / "mlflow.db")
    for run, text in ((first, "again"), (second, "report")):
        folder = clone / f"mlartifacts/{run.info.run_id}/artifacts"
        assert run.info.artifact_uri == folder.as_uri() and (folder / "report.md").read_text() == text
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    told = [message for message in caplog.messages if "moved or copied" in message]
    old, new = ((folder / "mlartifacts").as_uri() for folder in (place, clone))
    assert told == [f"MLflow: the store was moved or copied; artifacts are kept in {new}, no longer in {old}"]


def test_a_run_whose_files_stayed_behind_is_still_found_there(place, empty_store, monkeypatch) -> None:
    (place / "mlflow.db").write_bytes(empty_store)
    assert complete(report="first")
    clone = place.parent / "clone"
    clone.mkdir()
    shutil.copy(place / "mlflow.db", clone / "mlflow.db")  # without mlartifacts
    monkeypatch.setenv("DVC_ROOT", str(clone))
    assert complete("f" * 64)
    first, second = runs(clone / "mlflow.db")
    assert first.info.artifact_uri.startswith((place / "mlartifacts").as_uri())
    assert second.info.artifact_uri.startswith((clone / "mlartifacts").as_uri())


def test_clones_that_share_a_store_keep_artifacts_beside_it(place, empty_store, monkeypatch) -> None:
    shared = place.parent / "shared/mlflow.db"
    shared.parent.mkdir()
    shared.write_bytes(empty_store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared}")
    assert complete()
    monkeypatch.setenv("DVC_ROOT", str(place.parent / "second"))
    assert complete("f" * 64)
    assert len(list((shared.parent / "mlartifacts").rglob("report.md"))) == 2
    assert not (place / "mlartifacts").exists()


def test_a_place_that_somebody_chose_stays(place, empty_store) -> None:
    (place / "mlflow.db").write_bytes(empty_store)
    chosen = place.parent / "my artifacts"
    client(place / "mlflow.db").create_experiment("distil", artifact_location=chosen.as_uri())
    assert complete()
    assert [path.name for path in chosen.rglob("*.md")] == ["report.md"]


def test_other_stores_warn_where_artifacts_would_go_to_another_clone(place) -> None:
    ours, theirs = (folder.as_uri() for folder in (place / "mlartifacts", place.parent / "first/mlartifacts"))
    assert is_foreign("postgresql://host/db", theirs) and not is_foreign("postgresql://host/db", ours)
    assert not is_foreign("postgresql://host/db", "s3://bucket/mlartifacts")
    assert is_foreign("http://host", theirs) and not is_foreign("http://host", place.as_uri())
    assert not is_foreign("http://host", "mlflow-artifacts:/1")


def test_a_deleted_experiment_is_named_with_the_command_that_brings_it_back(place, empty_store, caplog) -> None:
    store = place / "mlflow.db"
    store.write_bytes(empty_store)
    assert complete()
    number = client(store).get_experiment_by_name("distil").experiment_id
    client(store).delete_experiment(number)
    caplog.clear()
    assert complete("f" * 64) is False
    assert caplog.messages == [
        f"MLflow store sqlite:///{store}: the experiment distil was deleted; bring it back with `MLFLOW_TRACKING_URI="
        f"sqlite:///{store} mlflow experiments restore --experiment-id {number}`; the stage goes on, and `dvc repro "
        "--force --single-item track` logs this run later"
    ]
    client(store).restore_experiment(number)
    assert complete("f" * 64) and len(runs(store)) == 2


@pytest.mark.parametrize(
    ("uri", "text", "safe"),
    [
        ("http://user:p@ss@host:5000", "MLflow store {}: no", "MLflow store http://...@host:5000: no"),
        ("postgresql://user:p@ss/w@host/db", "at {}?a", "at postgresql://...@host/db?a"),
        # A / ends the host for urllib3, which then names the parts.
        (
            "http://user:ab/cd@ef@host/x",
            "host='user', port=ab: /cd@ef@host/x",
            "host='user', port=...: /...@...@host/x",
        ),
        ("http://user:p%40ss@host", "for user with p@ss", "for user with ..."),
        ("http://host", "postgresql://host/db?user=a&password=b&x=1", "postgresql://host/db?user=a&password=...&x=1"),
        ("sqlite:////data/mlflow.db", "{}: database is locked", "sqlite:////data/mlflow.db: database is locked"),
    ],
)
def test_credentials_are_masked_up_to_the_last_at(uri: str, text: str, safe: str, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert masked(text.format(uri)) == safe


def test_what_libraries_log_about_another_attempt_is_masked() -> None:
    uri = "http://user:s3cr/et@word@127.0.0.1:9"
    code = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from distil.tracking.run import complete_run\n"
        "assert not complete_run('a' * 64, {}, {}, {}, [], [])\n"
        "logging.getLogger('urllib3.connectionpool').warning('Retrying (%r) after %s', 1, 'http://user:s3cr/et@word@h')\n"
        "logging.getLogger('mlflow.store.db.utils').warning('engine: %s', 'http://user:s3cr/et@word@h')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri,
                   "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("http://...@h") == 2 and "MLflow store http://...@127.0.0.1:9" in done.stderr
    assert not any(part in done.stdout + done.stderr for part in ("s3cr", "word", "et@"))


def test_masking_leaves_other_records_as_they_are() -> None:
    record = logging.LogRecord("urllib3", logging.WARNING, "", 0, "Retrying (%d)", (2,), None)
    assert store._MASKING.filter(record) is True
    assert record.getMessage() == "Retrying (2)" and record.args == (2,)
