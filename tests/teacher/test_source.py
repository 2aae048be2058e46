"""A teacher of 2022 gives the models/teacher of its safetensors twin; what is no teacher is named."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from distil.core.errors import UserError
from distil.core.files import read_json, sha256_file
from distil.modeling.tokenizer import load_tokenizer
from distil.modeling.xlm_roberta import load_masked_lm
from distil.teacher.source import TeacherConfig, fetch_teacher, snapshot
from tests.support import ROOT, toy
from tests.support.checkpoints import (
    LEFTOVERS,
    WORDS,
    as_of_2022,
    change_config,
    pad_vocabulary,
    stored_by_torch,
    weights_of,
    write_safetensors,
    write_shards,
)

SECTION = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["teacher"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/teacher of the toy world; read only."""
    root = tmp_path_factory.mktemp("teacher")
    toy.make_text(root)
    toy.make_teacher(root)
    return root / "models/teacher"


def fetch(folder: Path, name: str = "out") -> tuple[Path, dict[str, Any]]:
    """models/teacher of a folder, and its manifest."""
    out = folder.parent / name
    out.mkdir()
    config = TeacherConfig.model_validate({**SECTION, "source": "folder", "path": str(folder)})
    return out, fetch_teacher(config, toy.LANGUAGES, False, 1, out)


def sums(folder: Path) -> dict[str, str]:
    """The sha256 of each file but those that say where the weights came from."""
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir())
            if path.name not in ("manifest.json", "checksums.json")}  # fmt: skip


@pytest.fixture
def twins(teacher: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The same teacher of 2022 with pytorch_model.bin, and with model.safetensors."""
    old, new = tmp_path / "old/given", tmp_path / "new/given"
    for folder in (old, new):
        as_of_2022(teacher, folder)
    torch.save(stored_by_torch(weights_of(teacher)), old / "pytorch_model.bin")
    shutil.copyfile(teacher / "model.safetensors", new / "model.safetensors")
    return old, new


def test_a_teacher_of_2022_gives_the_bytes_of_its_safetensors_twin(twins: tuple[Path, Path]) -> None:
    (old, manifest), (new, other) = map(fetch, twins)
    assert sums(old) == sums(new)
    assert {"config.json", "model.safetensors", "tokenizer.json", "sentencepiece.bpe.model"} <= set(sums(old))
    assert manifest == {**other, "original": manifest["original"]} and other["original"] is None
    assert manifest == read_json(old / "manifest.json", "teacher")
    digest = sha256_file(twins[0] / "pytorch_model.bin")
    assert manifest["original"]["files"] == {"pytorch_model.bin": digest}


def test_what_became_of_the_weights_is_logged(twins: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        fetch(twins[0])
    digest = sha256_file(twins[0] / "pytorch_model.bin")[:12]
    (line,) = [record.message for record in caplog.records if "pytorch_model.bin" in record.message]
    assert line.startswith(f"teacher: pytorch_model.bin (sha256 {digest}) written as model.safetensors; left out: ")
    assert all(name in line for name in (*LEFTOVERS, "lm_head.decoder.weight", "lm_head.decoder.bias"))


def test_the_tokenizer_that_is_made_from_sentencepiece_is_the_teachers(twins: tuple[Path, Path], teacher: Path) -> None:
    out, _ = fetch(twins[0])
    made, own = load_tokenizer(out), load_tokenizer(teacher)
    assert [made.encode(line).ids for line in toy.sentences(50, 9)] == [
        own.encode(line).ids for line in toy.sentences(50, 9)
    ]


def test_without_a_tokenizer_config_one_is_written(twins: tuple[Path, Path]) -> None:
    (twins[0] / "tokenizer_config.json").unlink()
    out, _ = fetch(twins[0])
    found = json.loads((out / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert found["tokenizer_class"] == "XLMRobertaTokenizer" and found["model_max_length"] == 64


@pytest.mark.parametrize("form", ["safetensors", "pickled"])
def test_shards_are_one_file_in_models_teacher_and_named_in_the_manifest(
    teacher: Path, twins: tuple[Path, Path], form: str
) -> None:
    names = ["half-a.safetensors", "half-b.safetensors"] if form == "safetensors" else ["x-1.bin", "x-2.bin"]
    (twins[0] / "pytorch_model.bin").unlink()
    write_shards(twins[0], weights_of(teacher), names, form)
    (out, manifest), (new, other) = map(fetch, twins)
    assert sums(out) == sums(new) and manifest["weights_sha256"] == other["weights_sha256"]
    assert manifest["original"]["files"] == {name: sha256_file(twins[0] / name) for name in names}


def test_teachers_in_shards_have_hashes_of_their_own(teacher: Path, tmp_path: Path) -> None:
    found = []
    for number in (1, 2):
        folder = tmp_path / str(number) / "given"
        shutil.copytree(teacher, folder)
        (folder / "model.safetensors").unlink()
        weights = {name: tensor * number for name, tensor in weights_of(teacher).items()}
        write_shards(folder, weights, ["a.safetensors", "b.safetensors"], "safetensors")
        found.append(fetch(folder)[1]["weights_sha256"])
    assert found[0] != found[1]


def test_the_copy_is_loaded_and_the_folder_is_named(twins: tuple[Path, Path], teacher: Path) -> None:
    weights = stored_by_torch(weights_of(teacher))
    del weights["roberta.embeddings.LayerNorm.weight"]
    torch.save(weights, twins[0] / "pytorch_model.bin")
    with pytest.raises(
        UserError, match=rf"^{twins[0]}: expected every weight .* roberta\.embeddings\.LayerNorm\.weight"
    ):
        fetch(twins[0])
    torch.save({**stored_by_torch(weights_of(teacher)), "roberta.adapter.weight": torch.ones(2)},
               twins[0] / "pytorch_model.bin")  # fmt: skip
    with pytest.raises(UserError, match=rf"^{twins[0]}: found weights .* no place for: roberta\.adapter\.weight; use"):
        fetch(twins[0], "second")


@pytest.mark.parametrize("rows", [208, 256])  # of 200 pieces: to a multiple of 16 and of 64 or 128
@pytest.mark.parametrize("pickled", [False, True])
def test_rows_beyond_the_pieces_are_left_out_with_a_note(
    teacher: Path, tmp_path: Path, rows: int, pickled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    given = Path(shutil.copytree(teacher, tmp_path / "padded/given"))
    pad_vocabulary(given, rows)
    if pickled:
        torch.save(stored_by_torch(weights_of(given)), given / "pytorch_model.bin")
        (given / "model.safetensors").unlink()
    with caplog.at_level(logging.INFO):
        out, manifest = fetch(given)
    assert sha256_file(out / "model.safetensors") == sha256_file(teacher / "model.safetensors")
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["vocab_size"] == 200
    assert manifest["original"]["rows_left_out"] == rows - 200 and manifest["vocabulary"] == 200
    assert f"teacher: {rows - 200} rows of the vocabulary have no piece and were left out: 200 are left" in caplog.text
    load_masked_lm(out, "teacher")


@pytest.mark.parametrize("rows", [201, 210, 264, 512])
def test_rows_that_no_padding_explains_are_another_tokenizers(teacher: Path, tmp_path: Path, rows: int) -> None:
    given = Path(shutil.copytree(teacher, tmp_path / "padded/given"))
    pad_vocabulary(given, rows)
    with pytest.raises(UserError, match=f"not the tokenizer of this model: expected {rows} pieces .* found 200"):
        fetch(given)


def test_a_config_that_does_not_count_the_padding_is_refused_with_both_numbers(teacher: Path, tmp_path: Path) -> None:
    given = Path(shutil.copytree(teacher, tmp_path / "padded/given"))
    pad_vocabulary(given, 256)
    change_config(given, vocab_size=200)
    with pytest.raises(UserError, match=r"expected 200 as config\.json has it, found 256"):
        fetch(given)


@pytest.mark.parametrize(("name", "packages", "argument"), [
    ("flax_model.msgpack", "torch flax", "from_flax=True"),
    ("tf_model.h5", "torch tensorflow tf-keras", "from_tf=True"),
])  # fmt: skip
def test_weights_of_another_library_come_with_the_command_that_converts_them(
    twins: tuple[Path, Path], name: str, packages: str, argument: str
) -> None:
    given = twins[0]
    (given / "pytorch_model.bin").rename(given / name)
    with pytest.raises(UserError) as refused:
        fetch(given)
    message = str(refused.value)
    assert message.startswith(
        f"{given}: expected weights in model.safetensors or pytorch_model.bin, found {name} alone; "
    )
    assert f"pip install transformers==4.49.0 {packages} && " in message and "\n" not in message
    assert f"M.from_pretrained('{given}', {argument}).save_pretrained('{given}')" in message


def test_no_weights_at_all_are_said(twins: tuple[Path, Path]) -> None:
    (twins[0] / "pytorch_model.bin").unlink()
    with pytest.raises(
        UserError, match=r"in model\.safetensors or pytorch_model\.bin, found none; choose another model"
    ):
        fetch(twins[0])


def test_a_sentencepiece_model_that_is_damaged_is_one_sentence(twins: tuple[Path, Path]) -> None:
    (twins[0] / "sentencepiece.bpe.model").write_bytes(b"no pieces")
    with pytest.raises(
        UserError, match=r"expected tokenizer\.json, found none that can be made \(.*\); take the token"
    ):
        fetch(twins[0])


def test_float16_weights_are_kept_and_read_as_float32(teacher: Path, twins: tuple[Path, Path]) -> None:
    half = {name: tensor.half() for name, tensor in weights_of(teacher).items()}
    torch.save(stored_by_torch(half, leftovers=False), twins[0] / "pytorch_model.bin")
    write_safetensors(twins[1], half)
    (old, _), (new, _) = map(fetch, twins)
    assert sums(old) == sums(new) and weights_of(old)[WORDS].dtype == torch.float16
    assert load_masked_lm(old, "teacher").lm_head.bias.dtype == torch.float32


def test_files_that_are_no_part_of_a_teacher_are_not_copied(twins: tuple[Path, Path]) -> None:
    for name in ("modeling_evil.py", "training_args.bin", "adapter_config.json", "flax_model.msgpack", "vocab.txt"):
        (twins[1] / name).write_text("{}", encoding="utf-8")
    out = twins[1].parent / "out"
    out.mkdir()
    snapshot(twins[1], out)
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json", "model.safetensors", "sentencepiece.bpe.model", "tokenizer.json", "tokenizer_config.json"
    ]  # fmt: skip
