"""A model whose weights are not whole, not of its shape or not its own is refused by name, wherever it is loaded."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distil.core.errors import UserError
from distil.finetuning.classifier import load_classifier
from distil.modeling.xlm_roberta import load_masked_lm
from distil.serving.torch_runtime import TorchRuntime, load_torch
from tests.support import toy
from tests.support.checkpoints import LEFTOVERS, WORDS, change_config, weights_of, write_safetensors, write_shards

LABELS = {"text_classification": ["good", "bad"], "token_classification": ["O", "B-PER", "I-PER"]}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/teacher of the toy world; read only."""
    root = tmp_path_factory.mktemp("teacher")
    toy.make_text(root)
    toy.make_teacher(root)
    return root / "models/teacher"


@pytest.fixture
def folder(teacher: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(teacher, tmp_path / "model"))


DOORS: dict[str, Callable[[Path], Any]] = {
    "a teacher that a person chose": lambda folder: load_masked_lm(folder, None),
    "models/teacher": lambda folder: load_masked_lm(folder, "teacher"),
    "a served masked LM": lambda folder: TorchRuntime(folder, "masked_lm"),
    "a start of a text classifier": lambda folder: load_classifier(
        folder, "text_classification", ["good", "bad"], 24, "distil"
    ),
    "a start of a tagger": lambda folder: load_classifier(folder, "token_classification", ["O", "B-X"], 24, "distil"),
}
PARTS = [
    "roberta.embeddings.position_embeddings.weight", "roberta.embeddings.token_type_embeddings.weight", WORDS,
    "roberta.embeddings.LayerNorm.weight", "roberta.encoder.layer.1.attention.output.LayerNorm.bias",
    "roberta.encoder.layer.2.output.dense.weight",
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("door", DOORS)
def test_a_missing_weight_is_refused_by_name(folder: Path, door: str, part: str) -> None:
    weights = weights_of(folder)
    del weights[part]
    write_safetensors(folder, weights)
    with pytest.raises(UserError, match=rf"expected every weight .* found none for {re.escape(part)}; copy or"):
        DOORS[door](folder)


@pytest.mark.parametrize("part", ["lm_head.bias", "lm_head.dense.weight", "lm_head.layer_norm.bias"])
@pytest.mark.parametrize("door", list(DOORS)[:3])
def test_a_missing_part_of_the_head_is_refused_where_the_head_is_used(folder: Path, door: str, part: str) -> None:
    weights = weights_of(folder)
    del weights[part]
    write_safetensors(folder, weights)
    with pytest.raises(UserError, match=rf"expected a masked language model with its head, found .* {re.escape(part)}"):
        DOORS[door](folder)


@pytest.mark.parametrize("door", list(DOORS)[3:])
def test_a_classifier_starts_from_a_masked_lm_without_its_head(folder: Path, door: str) -> None:
    write_safetensors(folder, {name: tensor for name, tensor in weights_of(folder).items() if "lm_head" not in name})
    DOORS[door](folder)


@pytest.mark.parametrize("door", DOORS)
def test_weights_that_the_model_has_no_place_for_are_refused_by_name(folder: Path, door: str) -> None:
    change_config(folder, num_hidden_layers=2)
    with pytest.raises(
        UserError,
        match=r"no place for: roberta\.encoder\.layer\.2\.\S+ \(and 15 more\); use the config\.json that came",
    ):
        DOORS[door](folder)


@pytest.mark.parametrize("door", DOORS)
def test_weights_of_another_shape_are_refused_with_both_shapes(folder: Path, door: str) -> None:
    change_config(folder, intermediate_size=50)
    with pytest.raises(
        UserError, match=r"layer\.0\.\S+: expected 50.* as config\.json has it, found .*48.* \(and 8 more\)"
    ):
        DOORS[door](folder)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("values", [{"hidden_size": "32"}, {"is_decoder": True}, {"model_type": "bert"}])
def test_a_config_that_is_refused_is_refused_everywhere(folder: Path, door: str, values: dict[str, Any]) -> None:
    change_config(folder, **values)
    with pytest.raises(UserError, match=rf"{folder}/config\.json: {next(iter(values))}: expected "):
        DOORS[door](folder)


@pytest.mark.parametrize("door", DOORS)
def test_known_leftovers_do_not_matter(folder: Path, door: str) -> None:
    write_safetensors(folder, weights_of(folder) | LEFTOVERS)
    DOORS[door](folder)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("names", [["a.safetensors", "b.safetensors"], ["only one.safetensors"]])
def test_shards_of_any_name_are_loaded(teacher: Path, folder: Path, door: str, names: list[str]) -> None:
    (folder / "model.safetensors").unlink()
    write_shards(folder, weights_of(teacher), names, "safetensors")
    DOORS[door](folder)


@pytest.mark.parametrize("door", DOORS)
def test_an_index_that_lists_a_file_that_is_not_there_is_one_sentence(teacher: Path, folder: Path, door: str) -> None:
    (folder / "model.safetensors").unlink()
    write_shards(folder, weights_of(teacher), ["a.safetensors", "b.safetensors"], "safetensors")
    (folder / "b.safetensors").unlink()
    with pytest.raises(UserError, match=r"index\.json: lists b\.safetensors, which is not there \(1 of 2 shards"):
        DOORS[door](folder)


def test_a_damaged_shard_is_named(teacher: Path, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_shards(folder, weights_of(teacher), ["a.safetensors", "b.safetensors"], "safetensors")
    (folder / "b.safetensors").write_bytes(b"no weights, but long enough to be read as a header")
    with pytest.raises(UserError, match=r"model/b\.safetensors: damaged"):
        load_masked_lm(folder, None)


@pytest.mark.parametrize("kind", LABELS)
def test_a_fine_tuned_classifier_needs_its_own_head(folder: Path, kind: str) -> None:
    labels = LABELS[kind]
    tuned = folder.parent / "tuned"
    load_classifier(folder, kind, labels, 24, "distil").save_pretrained(tuned)
    load_classifier(tuned, kind, labels, 24, "finetune")
    load_torch(tuned, kind)
    whole = weights_of(tuned)
    head = sorted(name for name in whole if name.startswith("classifier."))
    for missing in (head, head[:1]):
        write_safetensors(tuned, {name: tensor for name, tensor in whole.items() if name not in missing})
        for load in (lambda: load_classifier(tuned, kind, labels, 24, "finetune"), lambda: load_torch(tuned, kind)):
            with pytest.raises(UserError, match=rf"expected every weight .* found none for {re.escape(head[0])}"):
                load()


@pytest.mark.parametrize("kind", LABELS)
def test_a_masked_lm_is_served_as_a_classifier_only_where_its_speed_is_measured(folder: Path, kind: str) -> None:
    with pytest.raises(UserError, match=r"expected every weight .* found none for classifier\."):
        load_torch(folder, kind)
    assert TorchRuntime(folder, kind, new_head=True).model.roberta.config.hidden_size == 32


def test_two_loads_give_the_same_model(folder: Path) -> None:
    one, other = (load_masked_lm(folder, None).state_dict() for _ in range(2))
    assert list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_a_tied_decoder_may_be_missing_or_there(folder: Path) -> None:
    weights = weights_of(folder)
    bare = load_masked_lm(folder, None)
    write_safetensors(folder, weights | {"lm_head.decoder.weight": weights[WORDS].clone(),
                                         "lm_head.decoder.bias": weights["lm_head.bias"].clone()})  # fmt: skip
    full = load_masked_lm(folder, None)
    for model in (bare, full):
        assert model.lm_head.decoder.weight is model.roberta.embeddings.word_embeddings.weight
        assert torch.equal(model.lm_head.decoder.weight, weights[WORDS])


@pytest.mark.parametrize(("name", "of"), [("weight", WORDS), ("bias", "lm_head.bias")])
def test_a_tied_decoder_with_other_values_is_refused(folder: Path, name: str, of: str) -> None:
    weights = weights_of(folder)
    write_safetensors(folder, weights | {f"lm_head.decoder.{name}": weights[of] + 1})
    with pytest.raises(UserError, match=rf"lm_head\.decoder\.{name}: expected the values that it shares .* to false"):
        load_masked_lm(folder, None)


def test_an_untied_decoder_has_to_be_there_and_is_used(folder: Path) -> None:
    change_config(folder, tie_word_embeddings=False)
    with pytest.raises(UserError, match=r"found no weights for lm_head\.decoder\.bias \(and 1 more\)"):
        load_masked_lm(folder, None)
    weights = weights_of(folder)
    own = {"lm_head.decoder.weight": weights[WORDS] + 1, "lm_head.decoder.bias": weights["lm_head.bias"].clone()}
    write_safetensors(folder, weights | own)
    assert torch.equal(load_masked_lm(folder, None).lm_head.decoder.weight, weights[WORDS] + 1)


def test_pickled_weights_are_not_opened_here(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    for load in DOORS.values():
        with pytest.raises(UserError, match=r"found pytorch_model\.bin, which can run code and is not opened"):
            load(folder)


def test_a_git_lfs_pointer_is_named(folder: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2244817354\n"
    (folder / "model.safetensors").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"model\.safetensors: .* Git LFS pointer .* `git lfs pull`"):
        load_masked_lm(folder, None)


@pytest.mark.parametrize("index", [
    "{", "[]", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": "../../secret.safetensors"}}',
    '{"weight_map": {"a": "/etc/passwd.safetensors"}}', '{"weight_map": {"a": 7}}', '{"weight_map": {"a": "x.bin"}}',
])  # fmt: skip
def test_an_index_that_is_damaged_or_names_files_elsewhere_is_refused(folder: Path, index: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json: (damaged|weight_map: expected names of)"):
        load_masked_lm(folder, None)
