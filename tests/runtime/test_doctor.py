"""`distil doctor` says what is missing and what to do."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from distil.runtime import doctor
from distil.runtime.runs_command import command, score_column
from tests.support import ROOT


def by_state(root: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"ok": [], "note": [], "missing": []}
    for check in doctor.checks(root):
        found[check.state].append(check.text)
    return found


def test_the_environment_of_the_tests_lacks_nothing() -> None:
    found = by_state(ROOT)
    assert found["missing"] == []
    assert "params.yaml: languages kin, swa, hau, ibo, yor" in found["ok"]
    assert any(text.startswith("packages for pipeline: dvc ") for text in found["ok"])


def test_a_package_that_is_missing_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "mlflow" else importlib.util.find_spec(name))
    assert by_state(ROOT)["missing"] == [
        "packages for pipeline: no mlflow; pip install 'distil[pipeline]'; in a clone `make env`"
    ]


def test_a_clone_without_dvc_or_with_a_broken_params_file_is_said(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / "params.yaml").write_text("languages: [xx]\n")
    missing = by_state(tmp_path)["missing"]
    assert missing[0] == "DVC: .dvc is missing; `dvc init`"
    assert "unknown language code 'xx'" in missing[1]


def test_elsewhere_only_prediction_is_checked(tmp_path: Path) -> None:
    found = by_state(tmp_path)
    assert not found["missing"] and any("no clone of the repository" in text for text in found["note"])


def test_experiments_are_sorted_by_the_first_tasks_score(tmp_path: Path) -> None:
    headline = tmp_path / "headline.json"
    assert score_column(headline) is None and "--sort-by" not in command([], headline)
    headline.write_text('{"heldout": {"kl": 1}, "tone": {"student": 70.1}, "names": {"student": 50}}')
    assert command(["-A"], headline)[-3:] == ["--sort-by", f"{headline}:tone.student", "-A"]
    headline.write_text("[]")
    assert score_column(headline) is None
