"""A damaged file is found by name before it is used, in one sentence with the command that mends it.

First the stages themselves, in this process, over every kind of file that they compare with a checksum. Then what DVC
finds: every file that a stage writes, whatever the stages compare.
"""

import importlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from distil.core.errors import UserError
from distil.report.data import load_report
from distil.runtime.process import run_command
from distil.serving.predictor import Predictor
from distil.tracking import student_run
from distil.tracking.run import complete_run
from tests.faults.pipeline import BY_NAME, ROOT, STEPS, contents, copy_of, make_repository
from tests.support.report_fixture import write_footprint

DAMAGES = ("flip", "truncate", "delete", "swap")
TASK, TUNED = "data/tasks/sentiment", "models/finetuned/student/sentiment"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model")
MODEL = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model")


def below(folder: str, *names: str) -> list[str]:
    return [f"{folder}/{name}" for name in names]


# Stage -> files that it reads and compares with a checksum.
READ: dict[str, list[str]] = {
    "corpus": below(TASK, "manifest.json", "swa/dev.jsonl", "yor/test.jsonl"),
    "vocabulary": ["data/raw/swa.txt", "data/raw/manifest.json", *below("models/teacher", *TOKENIZER)],
    "tokenize": ["data/raw/yor.txt", "models/tokenizer/tokenizer.json"],
    "cache_teacher": [
        *below("data/prepared/swa", "manifest.json", "train-00000.safetensors"),
        *below("models/teacher", *MODEL, "manifest.json"),
        *below("models/tokenizer", "tokenizer.json", "manifest.json", "pieces.safetensors"),
    ],
    "distil": [
        *below("data/prepared/yor", "manifest.json", "train-00000.safetensors", "heldout-00000.safetensors"),
        *below("data/teacher/swa", "manifest.json", "train-00000.safetensors", "heldout-00000.safetensors"),
        *below("models/tokenizer", *TOKENIZER, "manifest.json", "pieces.safetensors"), "models/teacher/manifest.json",
    ],
    "no_teacher": [*below("data/prepared/swa", "manifest.json", "train-00000.safetensors"),
                   "models/tokenizer/tokenizer.json"],
    "baselines@sentiment": below(TASK, "manifest.json", "swa/train.jsonl", "yor/test.jsonl"),
    "finetune_teacher@sentiment": below("models/teacher", "model.safetensors", "tokenizer.json"),
    "mix_teachers@sentiment": [*below("data/task_targets/sentiment", "manifest.json", "swa.safetensors"),
                               *below(TASK, "swa/dev.jsonl")],
    "finetune_student@sentiment": [
        *below("models/student", *MODEL), *below("data/mixed_targets/sentiment", "manifest.json", "swa.safetensors"),
        *below(TASK, "manifest.json", "swa/train.jsonl", "swa/dev.jsonl", "yor/unlabelled.jsonl"),
    ],
    "finetune_no_teacher@sentiment": below("models/no_teacher", "model.safetensors", "config.json", "tokenizer.json"),
    "evaluate": [*below(TASK, "manifest.json", "yor/test.jsonl"), "metrics/predictions/student/sentiment.csv"],
    "export": [f"{TUNED}/seed-1/model.safetensors", "models/student/model.safetensors", "models/student/config.json",
               "models/teacher/model.safetensors"],
}  # fmt: skip
CASES = [(stage, file, damage) for stage, files in READ.items() for file in files for damage in DAMAGES]
GATHERED = [*below("data/raw", "manifest.json"), *below("models/teacher", "manifest.json"),
            *below("models/tokenizer", "manifest.json"), f"{TASK}/manifest.json", f"{TASK}/swa/test.jsonl"]  # fmt: skip
SERVED = below("models/onnx/sentiment/int8", "model.onnx", "tokenizer.json")


def damage(root: Path, file: str, how: str) -> None:
    """A bit of the middle half turned round, the last third cut off, the file gone, or another in its place."""
    path, rng = root / file, random.Random(f"{file} {how}")
    found = path.read_bytes()
    if how == "delete":
        path.unlink()
        return
    place = rng.randrange(len(found) // 4, 3 * len(found) // 4 + 1)
    changed = {
        "flip": lambda: found[:place] + bytes([found[place] ^ 1]) + found[place + 1 :],
        "truncate": lambda: found[: 2 * len(found) // 3],
        "swap": lambda: another(root, path),
    }[how]()
    assert changed != found
    path.unlink()  # a hard link keeps its bytes
    path.write_bytes(changed)


def another(root: Path, path: Path) -> bytes:
    """A file of the same name or, failing that, of the same kind, with other bytes: one that is whole in itself."""
    found, names = path.read_bytes(), [path.name, f"*{path.suffix}"]
    for name in names:
        for folder in (path.parent.parent, root / "data", root / "models"):
            for other in sorted(folder.rglob(name)):
                if other.is_file() and other.read_bytes() != found:
                    return other.read_bytes()
    return found[::-1]


@pytest.fixture(scope="module")
def whole(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that is damaged file by file and mended after each case."""
    root = copy_of(pipeline, tmp_path_factory.mktemp("damage") / "repository")
    write_footprint(root)
    return root


@pytest.fixture
def damaged(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Damages a file in the pipeline, which is the working directory; it is mended afterwards."""
    kept: dict[Path, bytes] = {}
    monkeypatch.chdir(whole)
    for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(student_run, "_import_client", no_mlflow)

    def act(file: str, how: str) -> None:
        kept[whole / file] = (whole / file).read_bytes()
        damage(whole, file, how)

    yield act
    for path, found in kept.items():
        path.unlink(missing_ok=True)
        path.write_bytes(found)
    shutil.rmtree(whole / ".scratch", ignore_errors=True)


def no_mlflow() -> None:
    raise ImportError("no MLflow in this test")


def state(root: Path, outs: list[str]) -> dict[str, int]:
    """When each file of some outs was written."""
    return {str(path): path.stat().st_mtime_ns for out in outs for path in (root / out).rglob("*") if path.is_file()}


@pytest.mark.faults
@pytest.mark.parametrize(("name", "file", "how"), CASES)
def test_a_damaged_file_is_refused_by_name_and_nothing_is_made_of_it(
    whole: Path, damaged: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], counts: Counter[str], name: str, file: str, how: str,
) -> None:  # fmt: skip
    step = BY_NAME[name]
    damaged(file, how)
    counts["damaged"] += 1
    before = state(whole, step.outs)
    main = importlib.import_module(f"stages.{step.stage}").main
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as end:
            run_command(lambda: main(*step.arguments))
    finally:
        signal.signal(signal.SIGTERM, handler)
    lines = capsys.readouterr().err.splitlines()
    assert end.value.code == 1, lines
    assert lines[-1].startswith("error: ") and not any("Traceback" in line for line in lines), lines
    assert file in lines[-1] or str(Path(file).parent) in lines[-1], lines[-1]
    assert re.search(r"`dvc repro (--force )?[a-z_]+(@[a-z]+)?`", lines[-1]), lines[-1]
    assert state(whole, step.outs) == before and list(whole.rglob("*.tmp")) == []
    counts["detected"] += 1


@pytest.mark.faults
@pytest.mark.parametrize("file", GATHERED)
@pytest.mark.parametrize("how", DAMAGES)
def test_the_report_refuses_a_damaged_manifest(
    damaged: Callable[[str, str], None], counts: Counter[str], file: str, how: str
) -> None:
    damaged(file, how)
    counts["damaged"] += 1
    with pytest.raises(UserError, match="dvc repro") as refused:
        load_report()
    assert Path(file).name in str(refused.value)
    counts["detected"] += 1


@pytest.mark.faults
@pytest.mark.parametrize("file", SERVED)
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_model_is_not_served(
    damaged: Callable[[str, str], None], counts: Counter[str], file: str, how: str
) -> None:
    damaged(file, how)
    counts["damaged"] += 1
    with pytest.raises(UserError):
        Predictor(Path(file).parent)
    counts["detected"] += 1


# ---- what DVC finds


@pytest.fixture(scope="module")
def committed(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The pipeline as DVC knows it: dvc.lock has the checksum of every dep and out."""
    root = make_repository(tmp_path_factory.mktemp("committed") / "repository", pipeline)
    env = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root.parent / "site")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        patch.chdir(root)
        from dvc.repo import Repo

        with Repo() as repo:
            for step in STEPS:
                repo.commit(step.name, force=True)
        yield root


def dvc_cases() -> list[tuple[str, str]]:
    """A stage and one of its outs, folder or file, as a pattern below it."""
    patterns = {
        "tasks@sentiment": ["data/tasks/sentiment/swa/train.jsonl", "data/tasks/sentiment/manifest.json"],
        "corpus": ["data/raw/swa.txt", "data/raw/manifest.json", "data/raw/checksums.json"],
        "teacher": ["models/teacher/model.safetensors", "models/teacher/config.json", "metrics/cost/teacher.json"],
        "vocabulary": ["models/tokenizer/tokenizer.json", "models/tokenizer/checksums.json"],
        "tokenize": ["data/prepared/swa/train-00000.safetensors", "data/prepared/swa/manifest.json"],
        "cache_teacher": ["data/teacher/swa/train-00000.safetensors", "data/teacher/swa/manifest.json"],
        "distil": ["models/student/model.safetensors", "models/student/README.md", "metrics/distil/summary.json",
                   "metrics/distil/train.csv", "metrics/distil/heldout.csv", "metrics/cost/distil.json"],
        "no_teacher": ["models/no_teacher/config.json", "metrics/no_teacher/summary.json"],
        "baselines@sentiment": ["metrics/predictions/tfidf/sentiment.csv"],
        "finetune_teacher@sentiment": ["models/finetuned/teacher/sentiment/seed-1/model.safetensors",
                                       "data/task_targets/sentiment/swa.safetensors"],
        "mix_teachers@sentiment": ["data/mixed_targets/sentiment/swa.safetensors"],
        "finetune_student@sentiment": ["metrics/predictions/student/sentiment.csv"],
        "evaluate": ["metrics/evaluate/student/sentiment.json", "metrics/compare/sentiment.json",
                     "metrics/scores.csv"],
        "export": ["models/onnx/sentiment/int8/model.onnx", "models/onnx/sentiment/fp32/config.json",
                   "metrics/export.json"],
    }  # fmt: skip
    return [(stage, file) for stage, files in patterns.items() for file in files]


@pytest.mark.faults
@pytest.mark.parametrize(("name", "file"), dvc_cases())
def test_dvc_finds_whatever_was_damaged_before_a_stage_reads_it_and_puts_it_back(
    committed: Path, counts: Counter[str], name: str, file: str
) -> None:
    from dvc.repo import Repo

    found = (committed / file).read_bytes()
    with Repo() as repo:
        for how in DAMAGES:
            damage(committed, file, how)
            counts["damaged"] += 1
            told = repo.status([name])
            changed = [out for entry in told.get(name, []) if isinstance(entry, dict)
                       for out in entry.get("changed outs", {})]  # fmt: skip
            assert any(file == out or file.startswith(f"{out}/") for out in changed), (how, told)
            if file.startswith(("metrics/evaluate", "metrics/compare", "metrics/scores", "metrics/export")):
                (committed / file).write_bytes(found)  # kept by git, not by DVC: `git checkout` or `dvc repro`
            else:
                repo.checkout([name], force=True)
            assert (committed / file).read_bytes() == found
            assert not repo.status([name])
            counts["detected"] += 1


@pytest.mark.faults
@pytest.mark.parametrize("how", ["flip", "truncate", "swap"])
def test_a_damaged_dvc_lock_is_named(committed: Path, counts: Counter[str], how: str) -> None:
    lock = committed / "dvc.lock"
    found = lock.read_bytes()
    try:
        if how == "flip":  # a digit of a checksum: every flip that leaves YAML whole makes some file another one
            place = found.index(b"md5: ") + 7
            lock.write_bytes(found[:place] + (b"0" if found[place : place + 1] != b"0" else b"1") + found[place + 1 :])
        else:
            lock.write_bytes(
                found[: len(found) // 2] if how == "truncate" else (committed / "params.yaml").read_bytes()
            )
        counts["damaged"] += 1
        done = subprocess.run([sys.executable, "-m", "dvc", "status"], capture_output=True, text=True, env=os.environ)
        assert "Traceback" not in done.stderr
        assert "dvc.lock" in done.stderr or "modified" in done.stdout or "changed" in done.stdout, done
        counts["detected"] += 1
    finally:
        lock.write_bytes(found)


# ---- the MLflow store, which no run may fail for


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """mlflow.db with a complete run."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert complete_run("ab" * 32, {"loss": {"alpha": 0.5}}, {"heldout/swa/kl": 1.0}, {}, [], [])
    return (folder / "mlflow.db").read_bytes()


@pytest.mark.faults
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_mlflow_store_is_named_with_what_to_do_and_filled_again(
    store: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    counts: Counter[str], how: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / "mlflow.db"
    page = int.from_bytes(store[16:18], "big")  # a page's first byte says what it holds; values have no checksum
    path.write_bytes({
        "flip": store[: 4 * page] + bytes([store[4 * page] ^ 1]) + store[4 * page + 1 :],
        "truncate": store[: 2 * len(store) // 3], "delete": b"", "swap": (ROOT / "params.yaml").read_bytes(),
    }[how])  # fmt: skip
    if how == "delete":
        path.unlink()
    counts["damaged"] += 1

    def complete() -> bool:
        return complete_run("cd" * 32, {"loss": {"alpha": 0.5}}, {"heldout/swa/kl": 2.0}, {}, [], [])

    if how != "delete":
        assert complete() is False
        (record,) = caplog.records
        assert f"{path}" in record.getMessage() and "moved away" in record.getMessage()
        assert "`dvc repro --force --single-item track`" in record.getMessage()
        path.unlink()
    assert complete() is True
    with closing(sqlite3.connect(path)) as made:
        assert made.execute("select value from tags where key = 'distil.key'").fetchall() == [("cd" * 32,)]
    counts["detected"] += 1


# ---- the commands that mend


@pytest.mark.faults
@pytest.mark.parametrize("name", [step.name for step in STEPS])
def test_the_stage_that_is_named_makes_the_same_bytes_again(pipeline, zygote, tmp_path, counts, name) -> None:
    step, root = BY_NAME[name], copy_of(pipeline, tmp_path / "repository")
    for out in step.outs:
        for path in (root / out).rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                path.unlink()
                path.write_bytes(content[: len(content) // 2])
    zygote.run(root, name)
    assert contents(root, step.outs) == contents(pipeline, step.outs)
