"""Finished and unfinished work in .scratch is used again only by the code that made it."""

from pathlib import Path

import pytest

from distil.core.pipeline import NEUTRAL, PIPELINE, code_checksums, code_files

DVC_YAML = """
stages:
  train:
    cmd: python -m stages.train
    deps: [data/raw, distil/losses, distil/cache/format.py, stages/train.py]
  tune:
    foreach: [a]
    do:
      cmd: python -m stages.tune ${item}
      deps: [distil/losses]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("distil/losses/logits.py", "distil/losses/deep/more.py", "distil/cache/format.py",
                 "distil/cache/other.py", "stages/train.py", "data/raw/notes.py"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    return tmp_path / "dvc.yaml"


def test_code_is_found_below_folders_and_not_in_data(project: Path) -> None:
    found = [path.as_posix() for path in code_files("train", project)]
    assert found == [
        "distil/cache/format.py", "distil/losses/deep/more.py", "distil/losses/logits.py", "stages/train.py",
    ]  # fmt: skip
    assert [path.name for path in code_files("tune", project)] == ["more.py", "logits.py"]


@pytest.mark.parametrize("edited", ["distil/losses/logits.py", "distil/losses/deep/more.py", "stages/train.py"])
def test_an_edit_of_any_file_changes_the_checksums(project: Path, edited: str) -> None:
    before = code_checksums("train", project)
    (project.parent / edited).write_text("x = 2\n")
    after = code_checksums("train", project)
    assert {name for name in before if before[name] != after[name]} == {edited}


def test_an_edit_of_a_file_that_is_no_dep_changes_nothing(project: Path) -> None:
    before = code_checksums("train", project)
    (project.parent / "distil/cache/other.py").write_text("x = 2\n")
    assert code_checksums("train", project) == before


@pytest.mark.parametrize(
    ("stage", "files"),
    [
        ("cache_teacher", ["teacher/outputs", "teacher/cache_writer", "cache/sparse_logits", "modeling/xlm_roberta"]),
        ("distil", ["training/trainer", "training/objective", "losses/logits", "student/initialisation"]),
        ("no_teacher", ["training/trainer", "student/no_teacher"]),
        ("teacher", ["teacher/adaptation", "teacher/masked_lm", "tokenization/masking"]),
        ("finetune_student", ["finetuning/trainer", "finetuning/classifier", "evaluation/metrics"]),
        ("finetune_teacher", ["finetuning/trainer", "finetuning/soft_labels"]),
    ],
)
def test_the_keys_of_kept_work_hold_the_code_that_makes_it(stage: str, files: list[str]) -> None:
    named = {path.as_posix() for path in code_files(stage)}
    assert {f"distil/{file}.py" for file in files} <= named
    assert all((PIPELINE.parent / path).is_file() for path in NEUTRAL)
    assert not {path.as_posix() for path in NEUTRAL} & named, "a new language would discard every finished shard"
