"""Experiments as a person runs them: which stages run, which come from the cache, and what MLflow then holds.

Real DVC and real processes, on a copy of the repository with a params.yaml small enough for a test.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlparse

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LANGUAGES = ["swa", "yor"]
STAGES = {
    "tasks@sentiment", "corpus", "teacher", "vocabulary", "tokenize", "cache_teacher", "distil", "baselines@sentiment",
    "tasks@entities", "no_teacher", "finetune_teacher@sentiment", "task_targets@sentiment",
    *(f"finetune_{model}@sentiment" for model in ("student", "student_plain", "no_teacher")),
    *(f"evaluate@{model}-sentiment" for model in ("teacher", "student", "student_plain", "no_teacher")),
    "compare", "footprint", "export", "report", "track",
}  # fmt: skip
STUDENTS = {stage for model in ("student", "student_plain")
            for stage in (f"finetune_{model}@sentiment", f"evaluate@{model}-sentiment")}  # fmt: skip
MEASURED = {"compare", "footprint", "export"}
AFTER_DISTIL = {"distil", *STUDENTS, *MEASURED, "report", "track"}
TOY: dict[str, Any] = {
    "languages": LANGUAGES,
    "tasks.sentiment.max_train_rows": 60,
    "tasks.sentiment.max_dev_rows": 20,
    "tasks.sentiment.max_test_rows": 30,
    "corpus.max_megabytes": 0.03,
    "teacher.train.vocabulary_size": 400,
    "teacher.train.hidden_size": 32,
    "teacher.train.num_hidden_layers": 2,
    "teacher.train.num_attention_heads": 2,
    "teacher.train.intermediate_size": 64,
    "teacher.train.steps": 20,
    "teacher.train.batch_tokens": 512,
    "tokenize.heldout_fraction": 0.1,
    "student.hidden_size": 16,
    "student.num_attention_heads": 2,
    "student.intermediate_size": 32,
    "train.epochs": 1,
    "train.batch_tokens": 512,
    "train.evaluate_every": 10,
    "tasks.sentiment.max_unlabelled_rows": 20,
    "finetune.teacher.epochs": 1,
    "finetune.student.epochs": 1,
    "evaluate.bootstrap_resamples": 100,
    "footprint.rounds": 1,
}
PROMISED = [
    "metrics/report.html", "metrics/report.md", "metrics/model_card.md", "metrics/headline.json",
    "metrics/footprint.json", "metrics/compare/sentiment.json", "metrics/distil/summary.json",
    "metrics/distil/train.csv", "metrics/distil/heldout.csv", "models/student/README.md", "models/student/config.json",
    "models/student/model.safetensors", "models/student/tokenizer.json",
    *(f"metrics/{file}" for model in ("majority", "tfidf", "teacher", "student", "student_plain", "no_teacher")
      for file in (f"evaluate/{model}/sentiment.json", f"predictions/{model}/sentiment.csv")),
]  # fmt: skip
QUEUE_SECONDS = 900.0


class Repository(NamedTuple):
    """A copy of the repository and how to work in it."""

    root: Path
    env: dict[str, str]
    first: str = ""  # what the first `dvc repro` said

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Both output streams of a command that must succeed; a file, since daemons would keep a pipe open."""
        with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
            done = subprocess.run(
                command, cwd=cwd or self.root, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                timeout=600,
            )  # fmt: skip
            out.seek(0)
            text = out.read()
        assert done.returncode == 0, f"{' '.join(command)}\n{text}"
        return text

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the one MLflow store."""
        with closing(sqlite3.connect(self.root / "mlflow.db")) as store:
            return store.execute(sql, values).fetchall()

    def students(self, alpha: float) -> list[str]:
        """MLflow's runs of students that were trained with this loss.alpha."""
        rows = self.query("select run_uuid from params where key = 'loss.alpha' and value = ?", str(alpha))
        return [run for (run,) in rows]


def ran(output: str) -> list[str]:
    """Stages that ran, in their order."""
    return re.findall(r"^Running stage '([^']+)':", output, re.MULTILINE)


def cached(output: str) -> list[str]:
    """Stages whose results came from the cache of earlier runs."""
    return re.findall(r"^Stage '([^']+)' is cached - skipping run", output, re.MULTILINE)


def unchanged(output: str) -> list[str]:
    return re.findall(r"^Stage '([^']+)' didn't change", output, re.MULTILINE)


def toy_params(text: str) -> str:
    """params.yaml with the values of TOY, each of which must be there to be replaced."""
    tree = yaml.safe_load(text)
    for key, value in TOY.items():
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        assert last in node, key
        node[last] = value
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def environment(scratch: Path) -> dict[str, str]:
    """Ours, without what would lead DVC, MLflow or git to another repository or to a person's settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    return env | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(scratch / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(scratch / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(scratch / "system"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """The copy after one `dvc repro`, everything committed."""
    folder = tmp_path_factory.mktemp("experiments")
    made = Repository(folder / "distil", environment(folder))
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if name != "dvc.lock" and (ROOT / name).is_file():  # the lock file tells of results that are not here
            (made.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, made.root / name)
    params = made.root / "params.yaml"
    params.write_text(toy_params(params.read_text(encoding="utf-8")), encoding="utf-8")
    made.run("git", "init", "--quiet")
    made.commit("the code")
    made = made._replace(first=made.run("dvc", "repro"))
    made.commit("the results")
    yield made
    made.run("dvc", "queue", "stop", "--kill")


@pytest.fixture
def repository(made: Repository) -> Iterator[Repository]:
    """For a test that changes the workspace: afterwards it is as it was committed."""
    yield made
    made.run("git", "checkout", "--quiet", "--", ".")
    made.run("dvc", "checkout", "--quiet")


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
    output = repository.run("dvc", "exp", "run", "-n", "higher", "-S", "loss.alpha=0.9")
    assert set(ran(output)) == AFTER_DISTIL
    assert set(unchanged(output)) == STAGES - AFTER_DISTIL
    students = repository.query("select value from tags where key = 'distil.key'")

    output = repository.run("dvc", "exp", "run", "-n", "back", "-S", "loss.alpha=0.5")
    tuned = {f"finetune_{model}@sentiment" for model in ("student", "student_plain")}
    assert set(cached(output)) == {"distil", *tuned}
    assert set(ran(output)) == AFTER_DISTIL - {"distil"} - tuned
    assert repository.query("select value from tags where key = 'distil.key'") == students
    assert repository.query("select count(*) from runs") == [(len(students),)]
    assert len(set(students)) == len(students)
    (first,) = repository.students(0.5)
    names = repository.query("select value from tags where key = 'dvc.exp_name' and run_uuid = ?", first)
    assert names == [("back",)]  # the run that the first `dvc repro` made, now found under this name too


def test_experiments_in_temporary_copies_and_in_a_queue_share_one_store(made: Repository) -> None:
    output = made.run("dvc", "exp", "run", "--temp", "-n", "alone", "-S", "loss.alpha=0.1")
    assert set(ran(output)) == AFTER_DISTIL
    made.run("dvc", "exp", "run", "--queue", "-n", "first", "-S", "loss.alpha=0.2")
    made.run("dvc", "exp", "run", "--queue", "-n", "second", "-S", "loss.alpha=0.3")
    made.run("dvc", "queue", "start", "-j", "2")
    wait_for_queue(made, tasks=2)

    for name, alpha in (("alone", 0.1), ("first", 0.2), ("second", 0.3)):
        (run,) = made.students(alpha)
        check_run(made, run, name)
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
    assert made.students(alpha) == [run]


@pytest.mark.parametrize(
    ("file", "must", "may"), [("report.py", {"report"}, {"report", "track"}), ("tracking.py", set(), {"track"})]
)
def test_an_edit_of_what_only_shows_results_computes_none_again(
    repository: Repository, file: str, must: set[str], may: set[str]
) -> None:
    with (repository.root / "distil" / file).open("a", encoding="utf-8") as stream:
        stream.write("# A comment.\n")
    output = repository.run("dvc", "repro")
    assert must <= set(ran(output)) <= may
    assert cached(output) == []


def test_a_fresh_clone_without_the_data_runs_nothing_with_allow_missing(made: Repository, tmp_path: Path) -> None:
    made.run("git", "clone", "--quiet", str(made.root), str(tmp_path / "clone"))
    output = made.run("dvc", "repro", "--allow-missing", cwd=tmp_path / "clone")
    assert ran(output) == cached(output) == []
    assert set(unchanged(output)) == STAGES
