"""Language experts on a frozen trunk: old languages answer with the same bytes, new ones learn."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForMaskedLM

from distil.core.errors import UserError
from distil.core.files import read_json, write_checksums, write_text
from distil.core.params import NO_FOLDER
from distil.modeling.experts import GATE_FILE, NO_EXPERT, GatedStudent, load_student, read_gate
from distil.student.card import short_card
from distil.student.distillation import DistillationConfig, distil_student
from distil.student.model import StudentConfig
from distil.student.trunk import EXPERT_RATE, trunk_key
from distil.training.step import TrainingState
from tests.support import toy
from tests.training.test_trainer import LAST, LOSS, TRAIN, caches, paths_of

EXPERTS = toy.SHAPE.model_copy(update={"dropout": 0.0, "experts": 4})
PLAIN = EXPERTS.model_copy(update={"experts": 0})


def train(
    world: Path, out: Path, shape: StudentConfig, languages: list[str], epochs: int = 2, **more: Any
) -> dict[str, Any]:
    """A student of the first languages of the toy world, with its card, as the stage writes it."""
    for name in ("student", "metrics", "scratch"):
        (out / name).mkdir(parents=True, exist_ok=True)
    rate = TRAIN.learning_rate / (1 if shape.trunk == NO_FOLDER else EXPERT_RATE)
    config = TRAIN.model_copy(update={"epochs": epochs, "learning_rate": rate, **more})
    chosen = DistillationConfig(shape, LOSS, LAST, config)
    found = [cache for cache in caches(world) if cache.folder.name in languages]
    found.sort(key=lambda cache: languages.index(cache.folder.name))
    summary = distil_student(found, languages, chosen, paths_of(world, out))[0]
    teacher = read_json(world / "models/teacher/manifest.json", "teacher")
    write_text(out / "student/README.md", short_card(languages, teacher, summary))
    return summary


@pytest.fixture(scope="module")
def plain(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trunk without experts, of one language."""
    out = tmp_path_factory.mktemp("plain")
    train(world, out, PLAIN, ["swa"])
    return out / "student"


@pytest.fixture(scope="module")
def grown(world: Path, plain: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The trunk with an expert for a second language, and the summary."""
    out = tmp_path_factory.mktemp("grown")
    summary = train(world, out, EXPERTS.model_copy(update={"trunk": str(plain)}), ["swa", "yor"], epochs=10)
    return out / "student", summary


def texts() -> tuple[Tensor, Tensor]:
    """Ids and mask of three rows, the second of them padded."""
    ids = torch.randint(5, 150, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    ids[1, 8:], mask[1, 8:] = 1, 0
    return ids, mask


def logits(model: Any, **more: Any) -> Tensor:
    ids, mask = texts()
    with torch.no_grad():
        return model(ids, attention_mask=mask, **more).logits


def test_an_old_language_answers_with_the_same_bytes_as_before(plain: Path, grown: tuple[Path, Any]) -> None:
    before = logits(AutoModelForMaskedLM.from_pretrained(plain))
    model = AutoModelForMaskedLM.from_pretrained(grown[0])
    after = logits(model, lang_ids=torch.full((3,), NO_EXPERT))
    assert before.numpy().tobytes() == after.numpy().tobytes()
    assert not torch.equal(before, logits(model, lang_ids=torch.zeros(3, dtype=torch.int64)))


def test_only_the_new_expert_is_other_than_the_trunk(plain: Path, grown: tuple[Path, Any]) -> None:
    old, new = (load_file(folder / "model.safetensors") for folder in (plain, grown[0]))
    assert all(torch.equal(weight, new[name]) for name, weight in old.items())
    assert new.keys() - old.keys() == {
        f"roberta.encoder.layer.{layer}.output.adapter_modules.yor.{dense}.{part}"
        for layer in range(2) for dense in ("dense1", "dense2") for part in ("weight", "bias")
    }  # fmt: skip
    assert (grown[0] / "tokenizer.json").read_bytes() == (plain / "tokenizer.json").read_bytes()


def test_the_old_language_forgets_nothing_and_the_new_one_learns(grown: tuple[Path, dict[str, Any]]) -> None:
    old, new = (grown[1]["forgetting"][code] for code in ("swa", "yor"))
    assert (old["new"], new["new"]) == (False, True)
    assert old["kl_after"] == old["kl_before"] and old["nll_after"] == old["nll_before"]
    assert new["kl_after"] < new["kl_before"] and new["nll_after"] < new["nll_before"] - 0.005


def test_an_expert_costs_two_matrices_and_two_biases_a_layer(grown: tuple[Path, dict[str, Any]]) -> None:
    assert grown[1]["experts"]["languages"] == ["yor"]
    assert grown[1]["experts"]["parameters"] == 2 * (16 * 4 + 4 + 4 * 16 + 16)
    assert grown[1]["experts"]["recognised"].keys() == {"swa", "yor"}


def test_a_trunk_with_experts_keeps_them(world: Path, tmp_path: Path) -> None:
    train(world, tmp_path / "first", EXPERTS, ["swa"])
    first = tmp_path / "first/student"
    train(world, tmp_path / "second", EXPERTS.model_copy(update={"trunk": str(first)}), ["swa", "yor"])
    expert = {"lang_ids": torch.zeros(3, dtype=torch.int64)}
    before, after = (AutoModelForMaskedLM.from_pretrained(tmp_path / name / "student") for name in ("first", "second"))
    assert after.config.languages == ["swa", "yor"]
    assert logits(before, **expert).numpy().tobytes() == logits(after, **expert).numpy().tobytes()


def test_the_mean_of_the_last_weights_leaves_the_trunk_as_it_is(
    world: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = TrainingState.keep_best

    def keep_all(self: TrainingState, *about: Any) -> float:
        self.counters["best_loss"] = None  # whatever its loss is, so that the last mean is the student
        return keep(self, *about)

    monkeypatch.setattr(TrainingState, "keep_best", keep_all)
    shape = EXPERTS.model_copy(update={"trunk": str(plain)})
    train(world, tmp_path, shape, ["swa", "yor"], epochs=10, average=3, evaluate_every=5)
    old, new = (load_file(folder / "model.safetensors") for folder in (plain, tmp_path / "student"))
    assert all(torch.equal(weight, new[name]) for name, weight in old.items())


def test_without_a_trunk_every_language_learns_an_expert(world: Path, tmp_path: Path) -> None:
    summary = train(world, tmp_path, EXPERTS, toy.LANGUAGES)
    assert summary["experts"]["languages"] == toy.LANGUAGES and "forgetting" not in summary
    weights = load_file(tmp_path / "student/model.safetensors")
    assert all(weights[f"roberta.encoder.layer.0.output.adapter_modules.{code}.dense2.weight"].abs().sum() > 0
               for code in toy.LANGUAGES)  # fmt: skip


def test_without_experts_the_student_is_as_before(plain: Path) -> None:
    config = json.loads((plain / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "xlm-roberta" and not {"languages", "student_languages"} & config.keys()
    assert not (plain / GATE_FILE).exists()


def gated(folder: Path) -> GatedStudent:
    model: Any = load_student(folder, "distil")
    return GatedStudent(model, read_gate(folder, 2, 16, "distil"))


def test_dense_experts_answer_as_those_of_transformers(plain: Path, grown: tuple[Path, Any]) -> None:
    model = AutoModelForMaskedLM.from_pretrained(grown[0])
    dense = gated(grown[0])
    new = logits(model, lang_ids=torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(logits(dense, language=torch.tensor([1])), new, atol=1e-5, rtol=1e-5)
    before = logits(AutoModelForMaskedLM.from_pretrained(plain))
    assert before.numpy().tobytes() == logits(dense, language=torch.tensor([0])).numpy().tobytes()


def test_the_gate_takes_each_row_to_its_own_expert(grown: tuple[Path, Any]) -> None:
    dense = gated(grown[0])
    ids, mask = texts()
    chosen = dense.choose(dense.get_input_embeddings()(ids), mask)
    rows = torch.stack([logits(dense, language=chosen[row : row + 1])[row] for row in range(3)])
    torch.testing.assert_close(logits(dense), rows)


@pytest.mark.parametrize(
    ("changes", "languages", "sentence"),
    [
        ({"hidden_size": 32}, ["swa", "yor"], r"student\.hidden_size: expected 16, as student\.trunk .* found 32"),
        (
            {},
            ["yor", "swa"],
            r"languages: expected those of student\.trunk .* first, in its order \(sw in its README",
        ),
        ({}, ["swa"], r"languages: all 1 are in student\.trunk .* already; nothing to train"),
        ({"trunk": "/no/such/trunk"}, ["swa", "yor"], r"/no/such/trunk: expected a model folder with config\.json"),
    ],
)
def test_a_trunk_that_does_not_fit_is_refused_in_a_sentence(
    world: Path, plain: Path, tmp_path: Path, changes: dict[str, Any], languages: list[str], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        train(world, tmp_path, EXPERTS.model_copy(update={"trunk": str(plain), **changes}), languages)


def test_a_trunk_with_other_pieces_or_without_a_card_is_refused(world: Path, plain: Path, tmp_path: Path) -> None:
    trunk = tmp_path / "trunk"
    shutil.copytree(plain, trunk)
    (trunk / "README.md").unlink()
    shape = EXPERTS.model_copy(update={"trunk": str(trunk)})
    with pytest.raises(UserError, match=r"README\.md: expected a model card with the student's languages, found none"):
        train(world, tmp_path / "out", shape, ["swa", "yor"])
    spec = json.loads((trunk / "tokenizer.json").read_text(encoding="utf-8"))
    (trunk / "tokenizer.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")
    write_checksums(trunk)
    with pytest.raises(UserError, match=r"with vocabulary\.keep full: the trunk's pieces must stay, .* set vocabulary"):
        train(world, tmp_path / "out", shape, ["swa", "yor"])


def test_a_trunk_of_experts_of_another_width_is_refused(world: Path, grown: tuple[Path, Any], tmp_path: Path) -> None:
    shape = EXPERTS.model_copy(update={"trunk": str(grown[0]), "experts": 8})
    with pytest.raises(UserError, match=r"student\.experts: expected 4, as student\.trunk .*, found 8; set it to 4"):
        train(world, tmp_path, shape, ["swa", "yor"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"experts": 5}, "experts 5: expected 0 or a divisor of hidden_size 16"),
     ({"trunk": "models/old"}, "trunk models/old with experts 0: a new language on a frozen trunk learns an expert")],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        StudentConfig.model_validate(toy.SHAPE.model_dump() | changes)


def test_the_trunks_weights_are_part_of_the_key_of_a_training(plain: Path) -> None:
    assert trunk_key(PLAIN) == {}
    assert trunk_key(EXPERTS.model_copy(update={"trunk": str(plain)})).keys() == {"trunk"}
    with pytest.raises(UserError, match=r"models/old/model\.safetensors: no such file; give student\.trunk a copy"):
        trunk_key(EXPERTS.model_copy(update={"trunk": "models/old"}))


def test_a_damaged_gate_is_refused(grown: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"language_gate\.safetensors: expected arrays of the shapes .*\(3, 16\)"):
        read_gate(grown[0], 3, 16, "distil")
    with pytest.raises(UserError, match=r"language_gate\.safetensors: no such file"):
        read_gate(tmp_path, 2, 16, "distil")
