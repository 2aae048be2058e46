"""A student's seeds as one model: which are kept, what is written, and what is refused."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distil.core.errors import UserError
from distil.core.files import read_json, write_json
from distil.evaluation.config import EvaluateConfig, MergeConfig
from distil.finetuning.config import FineTuningConfig
from distil.finetuning.row_predictions import predict_test
from distil.finetuning.saved_models import FinetunedModels
from distil.merging.student_soup import greedy_soup, merge_student, uniform_soup
from distil.serving.model_info import read_card
from tests.support import lab

LINEAR = MergeConfig(tasks=("words",), members="greedy", method="linear", density=0.5)


def config(ngrams: int = 0, **more: bool) -> FineTuningConfig:
    """One pass from one head, without soft labels; `ngrams` pieces at most."""
    student = lab.CONFIG.student.model_copy(update={"epochs": 1, "shared_head": True, **more})
    table = lab.CONFIG.ngrams.model_copy(update={"max_n": ngrams})
    return lab.CONFIG.model_copy(update={"student": student, "ngrams": table, "task_distillation": False})


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A lab with the student fine-tuned on both tasks by two seeds; read only but for new folders."""
    root = lab.make_lab(tmp_path_factory.mktemp("lab"), world)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        lab.tuned("student", "words", seeds=(3, 1), config=config(ngrams=2))
        lab.tuned("student", "names", seeds=(1, 2), config=config())
    return root


@pytest.fixture
def here(room: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(room)
    return room


def student(name: str) -> FinetunedModels:
    return FinetunedModels(Path("models/finetuned/student") / name)


def mean(scores: dict[str, float]) -> float:
    return sum(scores.values()) / len(scores)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    table = folder / "ngrams.safetensors"
    return load_file(folder / "model.safetensors") | (load_file(table) if table.is_file() else {})


@pytest.mark.parametrize(
    ("merged", "kept"),
    [({}, [2, 3, 1]), ({(2, 3): 0.69}, [2, 1]), ({(2, 3): 0.7}, [2, 3, 1]), ({(2, 3): 0.6, (2, 1): 0.6}, [2])],
)
def test_a_seed_is_added_unless_the_dev_score_falls(merged: dict[tuple[int, ...], float], kept: list[int]) -> None:
    dev = {1: 0.5, 2: 0.7, 3: 0.6}
    soup = greedy_soup(dev, lambda seeds: merged.get(tuple(seeds), 0.8))
    assert soup.seeds == kept and soup.dev >= max(dev.values())


@pytest.mark.parametrize(
    ("together", "kept", "dev"),
    [(0.61, [2, 3, 1], 0.61), (0.6, [2, 3, 1], 0.6), (0.59, [2], 0.7)],  # the seeds' own mean is 0.6
)
def test_all_seeds_are_merged_unless_their_dev_score_is_below_the_mean_of_their_own(
    together: float, kept: list[int], dev: float
) -> None:
    scores = {(2, 3, 1): together}
    soup = uniform_soup({1: 0.5, 2: 0.7, 3: 0.6}, lambda seeds: scores.get(tuple(seeds), 0.3))
    assert (soup.seeds, soup.dev) == (kept, dev)


def test_all_seeds_give_the_mean_of_their_weights(here: Path, tmp_path: Path) -> None:
    models = student("words")
    every = LINEAR.model_copy(update={"members": "all"})
    about = merge_student(models, lab.task_of("words"), every, tmp_path / "all")
    alone = [mean(scores) for scores in models.manifest["dev"].values()]
    assert mean(about["dev"]["seed-0"]) >= mean(dict(enumerate(alone)))
    assert about["members"] == "all" and sorted(about["kept"]["seed-0"]) == [1, 3]
    seeds = [tensors(models.folder / f"seed-{seed}") for seed in (3, 1)]
    for name, found in tensors(tmp_path / "all" / "seed-0").items():
        torch.testing.assert_close(found, (seeds[0][name] + seeds[1][name]) / 2)


def test_seeds_that_share_a_head_start_alike_and_differ_after(here: Path) -> None:
    """The first seed is what it is without sharing."""
    own = lab.tuned("student", "names", seeds=(1, 2), out="own", config=config(shared_head=False)).folder
    shared = student("names").folder
    for name in ("model.safetensors", "config.json"):
        assert (own / "seed-1" / name).read_bytes() == (shared / "seed-1" / name).read_bytes()
    assert (own / "seed-2/model.safetensors").read_bytes() != (shared / "seed-2/model.safetensors").read_bytes()
    assert "head_seed" not in FinetunedModels(own).manifest["start"]
    assert student("words").manifest["start"]["head_seed"] == 3
    heads = [tensors(shared / f"seed-{seed}")["classifier.weight"] for seed in (1, 2)]
    apart = [tensors(own / f"seed-{seed}")["classifier.weight"] for seed in (1, 2)]
    assert torch.dist(*heads) < torch.dist(*apart)


@pytest.mark.parametrize("name", ["words", "names"])
def test_the_merged_model_is_no_worse_on_dev_than_the_best_seed_and_opens_as_one_seed(here: Path, name: str) -> None:
    out = Path("merged") / name
    about = merge_student(student(name), lab.task_of(name), LINEAR, out)
    kept = about["kept"]["seed-0"]
    best = max(mean(scores) for scores in student(name).manifest["dev"].values())
    assert mean(about["dev"]["seed-0"]) >= best - 1e-6
    models = FinetunedModels(out, f"merge_student@{name}")
    assert models.seeds == [0] and models.manifest["merged"]["kept"] == {"seed-0": kept}
    found, _ = predict_test(models, lab.task_of(name))
    assert list(found["swa"].predicted) == [0]
    assert read_card(out / "seed-0").labels == lab.LABELS[name]
    each = [tensors(student(name).folder / f"seed-{seed}") for seed in kept]
    for key, merged in tensors(out / "seed-0").items():  # the n-gram table among them
        torch.testing.assert_close(merged, torch.stack([one[key] for one in each]).mean(dim=0))
    assert ("weight" in tensors(out / "seed-0")) == (name == "words")


@pytest.mark.parametrize("method", ["slerp", "ties", "dare"])
def test_every_method_gives_the_same_bytes_twice(here: Path, method: str) -> None:
    about = LINEAR.model_copy(update={"method": method, "density": 0.7})
    for out in ("one", "two"):
        found = merge_student(student("names"), lab.task_of("names"), about, Path(out) / method)
        assert found["method"] == method
    for path in sorted(Path("one", method).rglob("*.*")):
        assert path.read_bytes() == (Path("two") / path.relative_to("one")).read_bytes()


def test_seeds_that_started_apart_and_a_start_that_is_gone_are_refused(here: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(student("names").folder, tmp_path / "student/names")
    (folder / "checksums.json").unlink()
    manifest, ties = read_json(folder / "manifest.json", ""), LINEAR.model_copy(update={"method": "ties"})
    write_json(folder / "manifest.json", manifest | {"start": manifest["start"] | {"weights_sha256": "0"}})
    with pytest.raises(UserError, match=r"model.safetensors: expected the student that .*names was fine-tuned from, f"):
        merge_student(FinetunedModels(folder), lab.task_of("names"), ties, tmp_path / "out")
    start = {"folder": "models/student", "weights_sha256": "0"}
    write_json(folder / "manifest.json", manifest | {"start": start})
    with pytest.raises(
        UserError, match=r"started from one head, .*set finetune.student.shared_head to true and run `dv"
    ):
        merge_student(FinetunedModels(folder), lab.task_of("names"), LINEAR, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_merge_of_seeds_that_do_not_share_a_head_is_refused_before_the_fine_tuning() -> None:
    with pytest.raises(UserError, match=r"params.yaml: evaluate.merge.tasks: mood: expected finetune.student.shared_"):
        lab.CONFIG.check_merged("mood")
    config().check_merged("mood")


@pytest.mark.parametrize(
    ("seeds", "tasks", "message"),
    [
        ([1, 2], ["names"], "expected tasks of evaluate.tasks, each once, found names"),
        ([1, 2], ["words", "words"], "each once, found words, words"),
        ([1], ["words"], r"merge.tasks is \[words\] with 1 seed: expected two seeds or more in evaluate.seeds"),
    ],
)
def test_tasks_that_cannot_be_merged_are_refused(seeds: list[int], tasks: list[str], message: str) -> None:
    merge = lab.SCORING.merge.model_dump() | {"tasks": tasks}
    block = lab.SCORING.model_dump() | {"seeds": seeds, "merge": merge}
    with pytest.raises(ValueError, match=message):
        EvaluateConfig.model_validate(block)
