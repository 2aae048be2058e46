import json
import os
import subprocess
from pathlib import Path

import pytest

from benchmarks import ablations
from distil.core.errors import UserError

SPEC = {"paper": {"what": "the paper's loss", "set": ["loss.alpha=0.5"]}, "never-run": {"what": "-", "set": []}}


def scores(model: str, points: float) -> dict:
    by_language = {code: {"weighted_f1": points, "seeds": [{"seed": 1}, {"seed": 2}]} for code in ("kin", "swa")}
    return {"model": model, "task": "sentiment", "metric": "weighted_f1", "languages": by_language,
            "mean": {"weighted_f1": points}}  # fmt: skip


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one experiment, filed where DVC files its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("NAME", "EMAIL"):
        for who in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{who}_{name}", "someone")
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "baseline"], check=True)
    Path("metrics").mkdir()
    headline = {"size": {"million_parameters": 13.0}, "heldout": {"kl": 1.25}}
    Path("metrics/headline.json").write_text(json.dumps(headline))
    for model, points in (("student", 0.6), ("student_plain", 0.55), ("tfidf", 0.65)):
        Path(f"metrics/evaluate/{model}").mkdir(parents=True)
        Path(f"metrics/evaluate/{model}/sentiment.json").write_text(json.dumps(scores(model, points)))
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run(["git", "commit", "-q", "-m", "experiment"], check=True)
    subprocess.run(["git", "update-ref", "refs/exps/ab/cdef/paper", "HEAD"], check=True)
    subprocess.run(["git", "reset", "-q", "--hard", "HEAD~1"], check=True)
    return tmp_path


def test_record_reads_the_results_of_an_experiment_from_git(clone: Path) -> None:
    (found,) = ablations.record(SPEC, [])
    assert found["name"] == "paper" and found["million_parameters"] == 13.0
    student = found["scores"]["sentiment"]["student"]
    assert student == {"mean": 0.6, "languages": {"kin": 0.6, "swa": 0.6}, "seeds": [1, 2]}


def test_what_another_clone_recorded_stays_and_what_this_one_ran_replaces_it(clone: Path) -> None:
    before = [{"name": "paper", "what": "old"}, {"name": "never-run", "what": "theirs"}, {"name": "gone from the spec"}]
    found = ablations.record(SPEC, before)
    assert [(entry["name"], entry["what"]) for entry in found] == [
        ("paper", "the paper's loss"),
        ("never-run", "theirs"),
    ]


def test_table_shows_each_run_with_plain_fine_tuning_and_the_baselines(clone: Path) -> None:
    lines = ablations.table(ablations.record(SPEC, [])).splitlines()
    head = [cell.strip() for cell in lines[2].split("|")]
    tfidf, paper = ([cell.strip() for cell in line.split("|")] for line in lines[4:])
    assert tfidf[head.index("run")] == "tfidf" and tfidf[head.index("mean")] == "65.0"
    assert paper[head.index("mean")] == "60.0" and paper[head.index("plain fine-tuning")] == "55.0"
    assert paper[head.index("held-out KL")] == "1.250" and paper[head.index("seeds")] == "2"


def test_other_seeds_of_an_experiment_are_summed_up_below(clone: Path) -> None:
    (one,) = ablations.record(SPEC, [])
    other = json.loads(json.dumps(one)) | {"name": "again", "repeats": "paper", "heldout_kl": 1.75}
    other["scores"]["sentiment"]["student"] |= {"mean": 0.66, "languages": {"kin": 0.7, "swa": 0.62}}
    lines = ablations.table([one, other]).splitlines()
    head, last = ([cell.strip() for cell in line.split("|")] for line in (lines[2], lines[-1]))
    assert last[head.index("run")] == "`paper`" and last[head.index("what")].startswith("mean of 2 distillations")
    assert last[head.index("kin")] == "65.0 (60.0 to 70.0)" and last[head.index("mean")] == "63.0 (60.0 to 66.0)"
    assert last[head.index("held-out KL")] == "1.500 (1.250 to 1.750)"
    assert ablations.table([one]).count("distillations") == 0


def test_another_clone_gets_the_experiments_from_the_bundle(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ablations.write_bundle(SPEC, bundle := clone / "experiments.bundle")
    before = ablations.recorded_experiments()
    assert ablations.restore(bundle) == []
    subprocess.run(["git", "update-ref", "-d", before["paper"]], check=True)
    assert ablations.recorded_experiments() == {}
    assert ablations.restore(bundle) == ["paper"]
    assert ablations.recorded_experiments() == before
    (found,) = ablations.record(SPEC, [])
    assert found["scores"]["sentiment"]["student"]["mean"] == 0.6
    bundle.unlink()
    with pytest.raises(UserError, match="experiments.bundle"):
        ablations.restore(bundle)


def test_of_two_experiments_with_one_name_the_newer_counts(clone: Path) -> None:
    made = ["git", "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "again"]
    later = subprocess.run(made, capture_output=True, text=True, check=True,
                           env=os.environ | {"GIT_COMMITTER_DATE": "2090-01-01T00:00:00Z"}).stdout.strip()  # fmt: skip
    subprocess.run(["git", "update-ref", "refs/exps/00/1122/paper", later], check=True)
    assert ablations.recorded_experiments() == {"paper": "refs/exps/00/1122/paper"}


def test_an_unknown_ablation_is_refused_before_anything_runs(clone: Path) -> None:
    with pytest.raises(UserError, match="no ablation named other"):
        ablations.run_experiments(SPEC, ["other"])
