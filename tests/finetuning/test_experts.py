"""Fine-tuning over language experts: each row takes its own, and what the experts read stays as it is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distil.core.errors import UserError
from distil.core.files import read_json
from distil.finetuning.classifier import load_classifier, predict_scores
from distil.finetuning.encoding import Encoder
from distil.finetuning.row_predictions import predict_test
from distil.finetuning.saved_models import FinetunedModels
from distil.modeling.experts import GATE_FILE, LanguageGate, add_experts, load_student
from distil.modeling.xlm_roberta import load_masked_lm
from tests.support import lab, toy


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A lab whose student has an expert of random weights for Yoruba."""
    root = lab.make_lab(tmp_path_factory.mktemp("lab"), world)
    student, grown = root / "models/student", root / "models/grown"
    torch.manual_seed(3)
    model = add_experts(load_student(student, "distil"), ["yor"], toy.LANGUAGES, 4)
    with torch.no_grad():
        for layer in model.roberta.encoder.layer:
            layer.output.adapter_modules["yor"].dense2.weight.normal_(std=0.5)  # type: ignore[union-attr, operator]
    shutil.copytree(student, grown, ignore=shutil.ignore_patterns("checksums.json", "model.safetensors", "config.json"))
    model.save_pretrained(grown)
    width = model.config.hidden_size
    LanguageGate(np.zeros((2, width), np.float32), np.zeros(2, np.float32)).save(grown)
    shutil.rmtree(student)
    grown.rename(student)
    return root


@pytest.mark.parametrize("name", ["words", "names"])
def test_a_task_is_learned_over_experts_which_stay_as_they_are(
    here: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    lab.tuned("student_plain", name)
    models = FinetunedModels(Path("models/finetuned/student_plain") / name)
    assert predict_test(models, lab.task_of(name))[0].keys() == set(toy.LANGUAGES)
    folder = models.folder / "seed-1"
    start, tuned = (load_file(place / "model.safetensors") for place in (Path("models/student"), folder))
    changed = {part for part, weight in start.items() if part in tuned and not torch.equal(weight, tuned[part])}
    frozen = {part for part in start if "embeddings." in part or "adapter_modules" in part}
    assert frozen and not frozen & changed
    assert {part for part in start if part.startswith("roberta.encoder") and "weight" in part} - frozen <= changed
    assert read_json(folder / "config.json", "")["student_languages"] == toy.LANGUAGES
    assert (folder / GATE_FILE).read_bytes() == Path("models/student", GATE_FILE).read_bytes()


def test_each_row_is_read_by_the_expert_of_its_language(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    task = lab.task_of("words")
    torch.manual_seed(1)
    model = load_classifier(Path("models/student"), task.kind, task.labels, 24, "distil", toy.LANGUAGES)
    encoder = Encoder(Path("models/student"), 24, "distil")
    rows = encoder.split(task, "swa", 0, "test")
    as_other = rows._replace(languages=np.ones_like(rows.languages))
    swa, yor = (predict_scores(model, each, encoder.pad_id) for each in (rows, as_other))
    assert np.abs(swa - yor).max() > 1e-3
    mixed = rows._replace(languages=np.arange(len(rows.ids)) % 2)
    found = predict_scores(model, mixed, encoder.pad_id)
    np.testing.assert_allclose(found[::2], swa[::2], atol=1e-5)
    np.testing.assert_allclose(found[1::2], yor[1::2], atol=1e-5)


def test_who_knows_no_languages_is_refused_a_model_with_experts(here: Path) -> None:
    """Such as a rival that is made of the student, and a sentence encoder."""
    with pytest.raises(UserError, match=r"models/student: expected a model without language experts, found one with"):
        load_classifier(here / "models/student", "text_classification", ["a", "b"], 24, "distil")
    with pytest.raises(UserError, match=r"model_type: expected xlm-roberta, found xmod, a student with language"):
        load_masked_lm(here / "models/student", "distil")
