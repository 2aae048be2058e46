"""Fine-tuning: learns what can be learned, goes on after a kill to the same bytes, and learns from a teacher."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from distil.core.errors import UserError
from distil.core.files import read_json
from distil.evaluation.counts import Predictions, TagPredictions
from distil.evaluation.scores import score
from distil.finetuning import saved_models
from distil.finetuning import trainer as module
from distil.finetuning.row_predictions import predict_test, score_splits, write_teacher_labels
from distil.finetuning.run import FineTuning, FineTuningPaths, fine_tune_task
from distil.finetuning.saved_models import FinetunedModels
from distil.finetuning.soft_labels import SOFT_LABEL_SPLITS, SoftLabels
from distil.finetuning.trainer import bucketed_batches
from tests.support import lab, toy


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A lab with the teacher fine-tuned on both tasks; read only but for new folders."""
    root = lab.make_lab(tmp_path_factory.mktemp("lab"), world)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in ("words", "names"):
            lab.tuned("teacher", name, seeds=(1, 2))
    return root


@pytest.fixture
def here(room: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(room)
    return room


def digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def teacher(name: str) -> FinetunedModels:
    return FinetunedModels(Path("models/finetuned/teacher") / name)


def test_a_text_task_is_learned_with_every_seed(here: Path) -> None:
    found, cut_off = predict_test(teacher("words"), lab.task_of("words"))
    for language in toy.LANGUAGES:
        each = found[language]
        assert isinstance(each, Predictions)
        assert list(each.predicted) == [1, 2] and cut_off == 0
        assert min(np.mean(predicted == each.gold) for predicted in each.predicted.values()) > 0.8


@pytest.mark.parametrize("name", ["words", "names"])
def test_the_teacher_scores_each_row_once_for_test_predictions_and_soft_labels(
    here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    models, task, seen = teacher(name), lab.task_of(name), []
    counted = saved_models.predict_both
    monkeypatch.setattr(saved_models, "predict_both", lambda *given: seen.append(len(given[1].ids)) or counted(*given))
    scored = score_splits(models, task, SOFT_LABEL_SPLITS)
    rows = sum(len(each.ids) for splits in scored.rows.values() for each in splits.values())
    assert sum(seen) == rows * len(models.seeds)
    assert write_teacher_labels(scored, models, tmp_path / "labels") == rows
    alone, _ = predict_test(models, task)
    for language, each in scored.test_predictions().items():
        for seed, predicted in each.predicted.items():
            assert list(predicted) == list(alone[language].predicted[seed])
    written = SoftLabels(Path("data/task_targets") / name, task, "")
    for language in toy.LANGUAGES:
        for split, found in SoftLabels(tmp_path / "labels", task, "").read(language).items():
            np.testing.assert_array_equal(found, written.read(language)[split])


def test_a_tagging_task_is_learned_and_scored_by_entities(here: Path) -> None:
    task = lab.task_of("names")
    found, _ = predict_test(teacher("names"), task)
    assert all(isinstance(each, TagPredictions) for each in found.values())
    scores = score("teacher", "names", task.kind, task.labels, "joint", found, 100)
    assert scores["metric"] == "entity_f1"
    assert min(scores["languages"][language]["entity_f1"] for language in toy.LANGUAGES) > 0.9
    for language in toy.LANGUAGES:
        rows = task.token_rows(language, "test")
        assert found[language].gold == [row.tags for row in rows]
        assert [len(tags) for tags in found[language].predicted[1]] == [len(row.tokens) for row in rows]


@pytest.mark.parametrize(
    ("name", "kind"), [("words", AutoModelForSequenceClassification), ("names", AutoModelForTokenClassification)]
)
def test_transformers_loads_what_is_written_with_the_names_of_the_labels(here: Path, name: str, kind: type) -> None:
    folder = here / "models/finetuned/teacher" / name / "seed-2"
    model, tokenizer = kind.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.id2label == dict(enumerate(lab.LABELS[name]))
    assert model(**tokenizer("zuri bwana Juma", return_tensors="pt")).logits.shape[-1] == len(lab.LABELS[name])


def test_the_manifest_says_what_was_trained_and_how_well(here: Path) -> None:
    manifest = read_json(here / "models/finetuned/teacher/names/manifest.json", "finetune_teacher@names")
    expected = {"model": "teacher", "task": "names", "kind": "token_classification", "labels": lab.LABELS["names"],
                "normalised": False, "max_length": 40, "languages_mode": "joint", "seeds": [1, 2],
                "languages": toy.LANGUAGES, "task_distillation": False}  # fmt: skip
    assert {name: manifest[name] for name in expected} == expected
    for run in ("seed-1", "seed-2"):
        epochs = manifest["history"][run]
        means = [np.mean([epoch[language] for language in toy.LANGUAGES]) for epoch in epochs]
        assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4]
        assert manifest["best_epoch"][run] == 1 + int(np.argmax(means))
        assert manifest["dev"][run] == {language: epochs[int(np.argmax(means))][language] for language in toy.LANGUAGES}


def test_a_tagger_has_a_rate_of_its_own() -> None:
    pace = lab.CONFIG.teacher.model_copy(update={"learning_rate": 0.1, "tagger_learning_rate": 0.2})
    config = lab.CONFIG.model_copy(update={"teacher": pace})
    assert config.recipe("teacher", "text_classification").learning_rate == 0.1
    assert config.recipe("teacher", "token_classification").learning_rate == 0.2
    assert config.recipe("student", "token_classification").learning_rate == lab.CONFIG.student.tagger_learning_rate


def test_bfloat16_is_of_the_steps_alone(here: Path) -> None:
    config = lab.CONFIG.model_copy(update={"precision": "bfloat16"})
    half = lab.tuned("teacher", "words", seeds=(1, 2), out="half", config=config).folder
    full = here / "models/finetuned/teacher/words"
    read = {folder: load_file(folder / "seed-1/model.safetensors") for folder in (half, full)}
    assert {tensor.dtype for tensor in read[half].values()} == {torch.float32}
    assert digest(half) != digest(full)
    losses = {folder: [epoch["loss"] for epoch in read_json(folder / "manifest.json", "")["history"]["seed-1"]]
              for folder in (half, full)}  # fmt: skip
    assert losses[half] == pytest.approx(losses[full], rel=0.1, abs=0.02)


def test_the_same_inputs_give_the_same_bytes(here: Path) -> None:
    again = lab.tuned("teacher", "words", seeds=(1, 2), out="again")
    assert digest(again.folder) == digest(here / "models/finetuned/teacher/words")
    assert not list(Path("scratch").rglob("*.safetensors"))


@pytest.mark.parametrize("name", ["words", "names"])
def test_a_run_that_is_killed_in_the_middle_of_an_epoch_goes_on_to_the_same_bytes(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with lab.killed_at(monkeypatch, 30):  # in the second epoch of 24 batches
        lab.tuned("student_plain", name, out="killed")
    assert not Path("killed/student_plain").joinpath(name).exists()
    original, done = module.FineTuningRun.step, list[int]()

    def counted(run, batch):
        done.append(len(batch))
        return original(run, batch)

    with monkeypatch.context() as patch:
        patch.setattr(module.FineTuningRun, "step", counted)
        killed = lab.tuned("student_plain", name, out="killed")
    whole = lab.tuned("student_plain", name, out="whole")
    assert len(done) == 4 * 24 - 30
    assert digest(killed.folder) == digest(whole.folder)


def killed_in_the_second_seed(
    monkeypatch: pytest.MonkeyPatch, out: str, seeds: tuple[int, int]
) -> Callable[[], list[str]]:
    """A run of one epoch that ends in its second seed; returns what finishes it and says which seeds were trained."""
    from distil.finetuning import run as stage

    original, titles = module.fine_tune, []

    def fails_on_the_second(*args, **more):
        titles.append(args[0].title)
        if len(titles) == 2:
            raise KeyboardInterrupt
        return original(*args, **more)

    monkeypatch.setattr(stage, "fine_tune", fails_on_the_second)
    config = lab.CONFIG.model_copy(update={"student": lab.CONFIG.student.model_copy(update={"epochs": 1})})

    def tune() -> list[str]:
        lab.tuned("student_plain", "words", seeds=seeds, out=out, config=config)
        return [title[-6:] for title in titles]

    with pytest.raises(KeyboardInterrupt):
        tune()
    return tune


def test_a_finished_seed_is_not_trained_again_after_a_kill(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = killed_in_the_second_seed(monkeypatch, "seeds", (5, 6))
    assert finish() == ["seed 5", "seed 6", "seed 6"]


def test_a_finished_seed_of_other_code_is_trained_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.finetuning import run as stage

    finish = killed_in_the_second_seed(monkeypatch, "edited", (7, 8))
    monkeypatch.setattr(stage, "code_checksums", lambda name: {"distil/finetuning/trainer.py": "edited"})
    assert finish() == ["seed 7", "seed 8", "seed 7", "seed 8"]


def test_separate_models_see_one_language_each(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distil.finetuning import run as stage

    original, seen = stage.fine_tune, []

    def looked_at(start, rows, *more):
        seen.append((sorted(set(rows.train.languages.tolist())), list(rows.dev), len(rows.train.ids)))
        return original(start, rows, *more)

    monkeypatch.setattr(stage, "fine_tune", looked_at)
    models = lab.tuned("student_plain", "words", mode="separate", out="separate")
    assert seen == [([0], ["swa"], 96), ([1], ["yor"], 96)]
    assert sorted(path.name for path in (models.folder / "seed-1").iterdir()) == toy.LANGUAGES
    found, _ = predict_test(models, lab.task_of("words"))
    assert np.mean([np.mean(found[language].predicted[1] == found[language].gold) for language in toy.LANGUAGES]) > 0.7


@pytest.mark.parametrize("name", ["words", "names"])
def test_a_student_learns_the_task_from_the_teacher_alone(here: Path, name: str) -> None:
    """Weight 1: no gold label reaches it, so it can only come to agree with the teacher."""
    config = lab.CONFIG.model_copy(update={"task_weight": 1.0})
    models, task = lab.tuned("student", name, out="taught", config=config), lab.task_of(name)
    assert models.manifest["task_distillation"]
    assert models.manifest["rows"]["swa"] == {"labelled": 96, "unlabelled": 20, "units_cut_off": 0}
    scores = score("student", name, task.kind, task.labels, "joint", predict_test(models, task)[0], 100)
    assert scores["mean"][scores["metric"]] > 0.8


def test_without_task_distillation_the_student_is_tuned_as_the_plain_one(here: Path) -> None:
    config = lab.CONFIG.model_copy(update={"task_distillation": False})
    student = lab.tuned("student", "words", out="off", config=config)
    plain = lab.tuned("student_plain", "words", out="off", config=config)
    assert digest(student.folder / "seed-1") == digest(plain.folder / "seed-1")


def test_few_rows_are_read_until_there_are_steps_enough(here: Path) -> None:
    pace = lab.CONFIG.student.model_copy(update={"epochs": 1, "min_steps": 25})
    config = lab.CONFIG.model_copy(update={"student": pace})
    models = lab.tuned("student_plain", "words", out="few", config=config)
    # 192 rows in batches of 8 are 24 steps a pass
    assert len(models.manifest["history"]["seed-1"]) == 2 and models.manifest["recipe"]["epochs"] == 1
    assert config.recipe("student_plain", "text_classification").for_rows(1000).epochs == 1


def test_distributions_of_other_rows_are_refused(here: Path, tmp_path: Path) -> None:
    task = lab.task_of("words")
    other = task._replace(folder=tmp_path)
    with pytest.raises(UserError, match=r"made for other rows than .*; run `dvc repro --force finetune_teacher@words`"):
        SoftLabels(Path("data/task_targets/words"), other, "finetune_teacher@words").read("swa")


def test_a_plan_holds_every_row_once_and_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 1000)
    batches = list(bucketed_batches(lengths, 16, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.1 * lengths.sum()


def test_finetuning_says_how_fast_it_was(here: Path) -> None:
    config = lab.CONFIG.model_copy(update={"student": lab.CONFIG.student.model_copy(update={"epochs": 1})})
    job = FineTuning("student_plain", lab.task_of("words"), toy.LANGUAGES, "joint", [3], config, None)
    figures = fine_tune_task(job, FineTuningPaths(Path("speed"), Path("speed.csv"), None, Path("scratch")))
    assert figures["rows"] == 192 and figures["rows_per_second"] > 0 and figures["words_cut_off"] == 0
