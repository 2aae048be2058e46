"""A repository to try commands in: real DVC and real processes, with a params.yaml small enough for a test."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.support import ROOT

LANGUAGES = ["swa", "yor"]
STAGES = {
    "tasks@sentiment", "corpus", "teacher", "vocabulary", "tokenize", "cache_teacher", "distil", "baselines@sentiment",
    "tasks@entities", "no_teacher", "finetune_teacher@sentiment", "mix_teachers@sentiment",
    *(f"finetune_{model}@sentiment" for model in ("student", "student_plain", "no_teacher")),
    "evaluate", "footprint", "export", "report", "track",
}  # fmt: skip
STUDENTS = {f"finetune_{model}@sentiment" for model in ("student", "student_plain")}
MEASURED = {"evaluate", "footprint", "export"}
AFTER_DISTIL = {"distil", *STUDENTS, *MEASURED, "report", "track"}
AFTER_NO_TEACHER = {"no_teacher", "finetune_no_teacher@sentiment", "evaluate"}
TOY: dict[str, Any] = {
    "languages": LANGUAGES,
    "tasks.sentiment.max_train_rows": 60,
    "tasks.sentiment.max_dev_rows": 20,
    "tasks.sentiment.max_test_rows": 30,
    "corpus.max_megabytes": 0.03,
    "teacher.source": "train",
    "teacher.path": "data/raw",
    "cache_teacher.logits": "sampled",
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
    "metrics/footprint.json", "metrics/compare/sentiment.json", "metrics/scores.csv", "metrics/distil/summary.json",
    "metrics/distil/train.csv", "metrics/distil/heldout.csv", "models/student/README.md", "models/student/config.json",
    "models/student/model.safetensors", "models/student/tokenizer.json",
    *(f"metrics/{file}" for model in ("majority", "tfidf", "teacher", "student", "student_plain", "no_teacher")
      for file in (f"evaluate/{model}/sentiment.json", f"predictions/{model}/sentiment.csv")),
]  # fmt: skip


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
                timeout=1800,
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


def copy_repository(folder: Path) -> Repository:
    """What git tracks here, in `folder`/distil, not yet a repository."""
    copy = Repository(folder / "distil", environment(folder))
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if name != "dvc.lock" and (ROOT / name).is_file():  # the lock file tells of results that are not here
            (copy.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy.root / name)
    return copy


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """The copy after one `dvc repro`, everything committed."""
    made = copy_repository(tmp_path_factory.mktemp("repository"))
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
