"""A whole pipeline small enough to be killed, damaged and compared: two languages of the sample, one task."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.support import ROOT

LANGUAGES = ["swa", "yor"]
SMALL: dict[str, Any] = {
    "languages": LANGUAGES,
    "tasks.sentiment.max_train_rows": 60,
    "tasks.sentiment.max_dev_rows": 20,
    "tasks.sentiment.max_test_rows": 30,
    "tasks.sentiment.max_unlabelled_rows": 20,
    "corpus.max_megabytes": 0.03,
    "corpus.workers": 1,
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
    "tokenize.shard_tokens": 2000,
    "student.hidden_size": 16,
    "student.num_attention_heads": 2,
    "student.intermediate_size": 32,
    "train.epochs": 2,
    "train.batch_tokens": 512,
    "train.evaluate_every": 20,
    "train.checkpoint_every": 10,
    "finetune.teacher.epochs": 1,
    "finetune.student.epochs": 1,
    "evaluate.tasks": ["sentiment"],
    "evaluate.seeds": [1, 2],
    "evaluate.bootstrap_resamples": 100,
    "export.speed_rows": 10,
    "export.repetitions": 1,
    "footprint.rounds": 1,
}


class Step(NamedTuple):
    """A stage as DVC names it, how it is run, and the folders and files that it writes."""

    name: str
    stage: str
    arguments: list[str]
    outs: list[str]


def _task_steps(stage: str) -> list[Step]:
    name, _, model = stage.partition("_")
    outs = [f"models/finetuned/{model}/sentiment", f"metrics/predictions/{model}"]
    return [Step(f"{stage}@sentiment", name, [model, "sentiment"],
                 outs + (["data/task_targets/sentiment"] if model == "teacher" else []))]  # fmt: skip


STEPS = [
    Step("tasks@sentiment", "tasks", ["sentiment"], ["data/tasks/sentiment"]),
    Step("corpus", "corpus", [], ["data/raw"]),
    Step("teacher", "teacher", [], ["models/teacher"]),
    Step("vocabulary", "vocabulary", [], ["models/tokenizer"]),
    Step("tokenize", "tokenize", [], ["data/prepared"]),
    Step("cache_teacher", "cache_teacher", [], ["data/teacher"]),
    Step("distil", "distil", [], ["models/student", "metrics/distil"]),
    Step("no_teacher", "no_teacher", [], ["models/no_teacher", "metrics/no_teacher"]),
    Step("baselines@sentiment", "baselines", ["sentiment"], ["metrics/predictions/tfidf",
         "metrics/predictions/majority"]),
    *_task_steps("finetune_teacher"),
    Step("mix_teachers@sentiment", "mix_teachers", ["sentiment"],
         ["data/mixed_targets/sentiment", "metrics/predictions/teachers"]),
    *_task_steps("finetune_student"),
    *_task_steps("finetune_student_plain"),
    *_task_steps("finetune_no_teacher"),
    Step("evaluate", "evaluate", [], ["metrics/evaluate", "metrics/compare", "metrics/scores.csv"]),
    Step("export", "export", [], ["models/onnx"]),
]  # fmt: skip
# What comes last reads what the others cost, so that two pipelines never agree here; nothing of it is an out of STEPS.
LAST = [
    Step("footprint", "footprint", [], ["metrics/footprint.json"]),
    Step("report", "report", [], ["metrics/report.html", "metrics/report.md", "metrics/model_card.md",
                                  "metrics/headline.json"]),
]  # fmt: skip
MEASURED = {"footprint"}  # figures that differ from run to run
BY_NAME = {step.name: step for step in [*STEPS, *LAST]}


class Zygote:
    """Starts stages as processes of their own, without importing torch for each (see zygote.py)."""

    def __init__(self) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
        env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(Path(__file__).with_name("zygote.py"))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT
        )

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process that forks has died"
        return json.loads(line)

    def start(self, root: Path, step: Step, log: Path | None = None, **env: str) -> int:
        """The pid of a process that runs a stage in `root`; what it says goes to `log`, else beside `root`."""
        log = log or log_of(root)
        order = {"name": step.name, "stage": step.stage, "arguments": step.arguments, "cwd": str(root),
                 "log": str(log), "env": env}  # fmt: skip
        log.unlink(missing_ok=True)
        return self._ask(order)["pid"]

    def wait(self, pid: int) -> int:
        """Its exit status, or minus the signal that ended it."""
        return self._ask({"wait": pid})["status"]

    def run(self, root: Path, name: str, **env: str) -> str:
        """Run a stage that must end well; returns what it said."""
        status = self.wait(self.start(root, BY_NAME[name], **env))
        said = said_in(root)
        assert status == 0, f"{name}: {status}\n{said}"
        return said

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def log_of(root: Path) -> Path:
    """What the last stage in `root` said."""
    return root.with_name(f"{root.name}.log")


def said_in(root: Path) -> str:
    """What the last stage in `root` said."""
    return log_of(root).read_text(encoding="utf-8", errors="replace")


def make_root(root: Path, **more: Any) -> Path:
    """params.yaml with the values of SMALL, and the code behind links."""
    root.mkdir(parents=True)
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key, value in (SMALL | more).items():
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        assert last in node, key
        node[last] = value
    tree["tasks"] = {"sentiment": tree["tasks"]["sentiment"]}
    (root / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")
    for name in ("distil", "stages", "dvc.yaml"):
        (root / name).symlink_to(ROOT / name)
    return root


def make_pipeline(root: Path, zygote: Zygote, **more: Any) -> Path:
    """Every stage once, but track."""
    make_root(root, **more)
    for step in [*STEPS, *LAST]:
        zygote.run(root, step.name)
    return root


def make_repository(root: Path, made: Path | None = None) -> Path:
    """A repository of DVC, without git, with the code itself, not links to it; all of a pipeline in it, or nothing."""
    if made is None:
        make_root(root)
    else:
        copy_of(made, root)
    for name in ("distil", "stages", "dvc.yaml"):
        (root / name).unlink()
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    shutil.copy(ROOT / ".dvcignore", root)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet", "--no-scm"], cwd=root, check=True,
                   env=os.environ | {"DVC_NO_ANALYTICS": "1"})  # fmt: skip
    return root


def copy_of(root: Path, to: Path, but: tuple[str, ...] = ()) -> Path:
    """A copy that a test may change, without what lies below the folders `but`."""
    left_out = {str(root / each) for each in (*but, ".scratch")}
    shutil.copytree(root, to, symlinks=True,
                    ignore=lambda folder, names: [n for n in names if f"{folder}/{n}" in left_out])  # fmt: skip
    return to


def contents(root: Path, outs: list[str]) -> dict[str, bytes]:
    """Every file of some outs; what they cost is measured anew each time and stands in metrics/cost."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files_of(root, outs)}


def files_of(root: Path, outs: list[str]) -> list[Path]:
    """The files of some outs, each a folder or a file itself."""
    found = [path for out in outs for path in (root / out, *sorted((root / out).rglob("*")))]
    return [path for path in found if path.is_file()]
