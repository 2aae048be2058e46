"""Teachers that cannot be used, and a stage that is stopped."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from distil.report.data import read_curve
from distil.tracking import student_run
from tests.support import toy
from tests.support.bad_input import (
    a_student,
    change,
    make_task,
    no_mlflow,
    says,
)

# ---- the teacher, as a folder that a person gave and as the snapshot that the cache is made from


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_torch_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def bert(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}), encoding="utf-8")


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")


def damaged_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"these are no weights, but long enough to be read")


def truncated_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def other_shape(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 64}), encoding="utf-8")


def no_head(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("lm_head.")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


MODELS = [
    (no_weights, ["expected weights in model.safetensors", "found none"]),
    (no_torch_weights, ["pytorch_model.bin"]),
    (bert, ["/config.json: model_type: expected xlm-roberta, found bert; any XLM-R masked language model works"]),
    (no_json, ["/config.json: not a model's config"]),
    (damaged_weights, ["/model.safetensors: damaged"]),
    (truncated_weights, ["/model.safetensors: damaged"]),
    (other_shape, ["expected 64 as config.json has it, found 32 (and", "the config.json that came with the weights"]),
    (no_head, ["expected a masked language model with its head, found no weights for lm_head."]),
]


@pytest.mark.parametrize(("damage", "words"), MODELS, ids=[damage.__name__ for damage, _ in MODELS])
def test_a_teacher_that_cannot_be_read_is_refused_where_it_lies(
    root: Path, refused: Callable[..., str], damage: Callable[[Path], None], words: list[str]
) -> None:
    damage(root / "models/teacher")
    message = refused(root, "cache_teacher")
    assert message.startswith("error: models/teacher") and says(message, *words)
    assert damage in (bert, no_head) or message.endswith("run `dvc repro --force teacher`")
    damage(root / "given")
    message = refused(root, "teacher")
    assert message.startswith("error: given") and says(message, *words)
    assert damage in (bert, no_head) or message.endswith("choose another model in `teacher:` of params.yaml")


def test_a_teacher_that_is_not_there_is_said(root: Path, refused: Callable[..., str]) -> None:
    shutil.rmtree(root / "models/teacher")
    message = refused(root, "cache_teacher")
    assert says(message, "models/teacher/manifest.json: no such file; run `dvc repro teacher`")
    shutil.rmtree(root / "given")
    assert says(refused(root, "teacher"), "params.yaml: teacher.path: given: no such folder", "config.json")


def retrained_tokenizer(folder: Path) -> None:
    toy.train_tokenizer(toy.sentences(300, 5), 150, folder)


def no_mask(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("<mask>", "<blank>"), encoding="utf-8")


def wordpiece(folder: Path) -> None:
    path = folder / "tokenizer.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    spec["model"] = {"type": "WordPiece", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
    path.write_text(json.dumps(spec), encoding="utf-8")


def no_tokenizer_at_all(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model"):
        (folder / name).unlink()


TOKENIZERS = [
    (
        retrained_tokenizer,
        ["not the tokenizer of this model: expected 200 pieces", "found 150", "came with the weights"],
    ),
    (no_mask, ["the tokenizer lacks <mask>", "choose an XLM-R teacher that was trained to fill masks"]),
    (wordpiece, ["expected a Unigram model, as every XLM-R tokenizer is, found WordPiece", "choose an XLM-R teacher"]),
    (no_tokenizer_at_all, ["expected tokenizer.json, or sentencepiece.bpe.model to make it from, found neither"]),
]


@pytest.mark.parametrize(("damage", "words"), TOKENIZERS, ids=[damage.__name__ for damage, _ in TOKENIZERS])
def test_a_tokenizer_that_is_not_the_teachers_is_refused(
    root: Path, refused: Callable[..., str], damage: Callable[[Path], None], words: list[str]
) -> None:
    damage(root / "given")
    message = refused(root, "teacher")
    assert message.startswith("error: given") and says(message, *words)


@pytest.mark.parametrize("damage", [no_weights, damaged_weights, no_json])
def test_a_model_that_cannot_be_fine_tuned_is_said(
    root: Path, refused: Callable[..., str], damage: Callable[[Path], None]
) -> None:
    a_student(root)
    damage(root / "models/student")
    message = refused(root, "finetune")
    assert says(message, "error: models/student", "run `dvc repro", "distil`")


def test_a_model_of_another_name_is_refused(root: Path, refused: Callable[..., str]) -> None:
    make_task(root)
    message = refused(root, "finetune", "pupil", "sentiment")
    assert says(message, "expected one of teacher, student, student_plain, no_teacher, student_start, "
                "student_masked_lm as MODEL, found pupil")  # fmt: skip


def test_a_task_that_params_yaml_does_not_have_is_said(root: Path, refused: Callable[..., str]) -> None:
    assert says(refused(root, "tasks", "mood"), "params.yaml: section `tasks.mood:` is missing")


def test_so_little_text_that_training_takes_few_steps_is_no_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(root / "params.yaml", {"train.epochs": 1, "train.batch_tokens": 4096})
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(student_run, "_import_client", no_mlflow)
    importlib.import_module("stages.distil").main()
    curve = read_curve(root / "metrics/distil/train.csv", "distil")  # as the report does
    steps = json.loads((root / "metrics/distil/summary.json").read_text(encoding="utf-8"))["steps"]
    assert curve["step"] == [steps] and 0 < steps < 10
    assert curve["loss"] != [None] and curve["swa.logit_kd"] != [None]


# ---- a signal


def test_a_stage_that_is_told_to_end_ends_soon_and_goes_on_from_its_checkpoint(root: Path) -> None:
    change(root / "params.yaml", {"train.epochs": 100_000})
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    env |= {"DVC_STAGE": "distil", "MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db"}

    def start(**more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "stages.distil"]
        return subprocess.Popen(command, cwd=root, env=env | more, stderr=subprocess.PIPE, text=True)

    def end(process: subprocess.Popen[str]) -> str:
        began = time.monotonic()
        process.terminate()
        _, errors = process.communicate(timeout=60)
        # It would train for days. 5 s is promised (docs) and held by tests/faults on a machine at rest.
        assert process.returncode == 130 and time.monotonic() - began < 30, errors
        assert "Traceback" not in errors
        assert errors.splitlines()[-1] == "interrupted; `dvc repro distil` continues from the last finished piece"
        assert not (root / "models/student").exists() and list(root.rglob("*.tmp")) == []
        return errors

    process = start()
    try:
        while not list(root.glob(".scratch/distil/*/checkpoint.safetensors")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        assert "continuing" not in end(process)
        (root / "without/mlflow").mkdir(parents=True)  # importing MLflow a second time only takes seconds
        (root / "without/mlflow/__init__.py").write_text("raise ImportError('left out')", encoding="utf-8")
        process = start(PYTHONPATH="without")
        assert process.stderr is not None
        before = []
        for line in process.stderr:
            before.append(line)
            if "distil: continuing after step " in line:
                break
        assert int(before[-1].split()[-1]) >= 10, before
        end(process)
    finally:
        process.kill()
