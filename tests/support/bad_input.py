"""Helpers of the tests of bad input: a repository in which a stage must fail, and what it may say."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.support import toy


def parent(tree: Any, key: str) -> tuple[Any, str]:
    """The mapping that a dotted key lies in, and its last name."""
    *names, last = key.split(".")
    for name in names:
        tree = tree[int(name)] if isinstance(tree, list) else tree[name]
    return tree, last


def change(params: Path, values: dict[str, Any]) -> None:
    """Write values into a params.yaml."""
    tree = yaml.safe_load(params.read_text(encoding="utf-8"))
    for key, value in values.items():
        node, last = parent(tree, key)
        node[last] = value
    params.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")


OUTS = {
    "tasks": "data/tasks/sentiment", "corpus": "data/raw", "teacher": "models/teacher",
    "vocabulary": "models/tokenizer", "tokenize": "data/prepared", "cache_teacher": "data/teacher",
    "distil": "models/student", "no_teacher": "models/no_teacher", "baselines": "metrics/predictions",
    "finetune": "models/finetuned/student_plain/sentiment",
    "evaluate": "metrics/evaluate", "export": "models/onnx",
    "control": "models/controls/start", "footprint": "metrics/footprint.json",
    "report": "metrics/report.html", "track": "mlflow.db",
}  # fmt: skip
LABELS = ["positive", "neutral", "negative"]
ARGUMENTS = {
    "tasks": ["sentiment"], "baselines": ["sentiment"], "finetune": ["student_plain", "sentiment"],
    "control": ["start"],
}  # fmt: skip
TOY = {
    "languages": toy.LANGUAGES,
    "teacher.source": "folder",
    "teacher.path": "given",
    "tasks.sentiment.max_train_rows": 20,
    "tasks.sentiment.max_dev_rows": 10,
    "tasks.sentiment.max_test_rows": 10,
    **{f"tokenize.{name}": value for name, value in toy.TOKENIZE.model_dump().items()},
    **{f"cache_teacher.{name}": value for name, value in toy.CACHE.model_dump(mode="json").items()},
    **{f"student.{name}": value for name, value in toy.SHAPE.model_dump().items()},
    "train.batch_tokens": 512,
    "train.evaluate_every": 10,
    "train.checkpoint_every": 10,
    "train.patience": 0,
}


def no_mlflow() -> None:
    raise ImportError("no MLflow in this test")


def files(root: Path) -> set[str]:
    """Every file, but for scratch, where unfinished work may stay, and the code behind links."""
    kept = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != ".scratch"]
        kept |= {str(Path(folder, name)) for name in names}
    return kept


def says(message: str, *words: str) -> bool:
    """Whether all words are in the message; shown if not."""
    assert [word for word in words if word not in message] == [], message
    return True


def make_task(root: Path) -> None:
    """data/tasks/sentiment with three rows a split."""
    rows = "".join(json.dumps({"text": f"habari {label}", "label": label}) + "\n" for label in LABELS)
    folder = root / "data/tasks/sentiment"
    for language in toy.LANGUAGES:
        (folder / language).mkdir(parents=True)
        for split in ("train", "dev", "test"):
            (folder / language / f"{split}.jsonl").write_text(rows, encoding="utf-8")
    manifest = {
        "task": "sentiment", "kind": "text_classification", "labels": LABELS,
        "languages": {language: {split: {"rows": 3} for split in ("train", "dev", "test")}
                      for language in toy.LANGUAGES},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def a_student(root: Path) -> None:
    make_task(root)
    shutil.copytree(root / "models/teacher", root / "models/student")
    change(root / "params.yaml", {"finetune.max_length": 24})
