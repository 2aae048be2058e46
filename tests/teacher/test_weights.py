"""Weights of every form become one model.safetensors with the same values, and no pickle gets to run anything."""

import io
import json
import os
import pickle
import shutil
import tarfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import distil.teacher.weights
from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.modeling.weight_files import find_weights
from distil.teacher.weights import write_weights
from tests.support import toy
from tests.support.checkpoints import LEFTOVERS, WORDS, stored_by_torch, weights_of, write_shards


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/teacher of the toy world; read only."""
    root = tmp_path_factory.mktemp("teacher")
    toy.make_text(root)
    toy.make_teacher(root)
    return root / "models/teacher"


@pytest.fixture
def given(teacher: Path, tmp_path: Path) -> Path:
    """A folder with a config and no weights."""
    (tmp_path / "given").mkdir()
    shutil.copyfile(teacher / "config.json", tmp_path / "given/config.json")
    (tmp_path / "out").mkdir()
    return tmp_path / "given"


def convert(given: Path) -> dict[str, Any] | None:
    config = json.loads((given / "config.json").read_text(encoding="utf-8"))
    weights = find_weights(given, "advice")
    assert weights is not None
    return write_weights(weights, config, config["vocab_size"], given.parent / "out", "advice")


def written(given: Path) -> Path:
    return given.parent / "out/model.safetensors"


@pytest.mark.parametrize("twice", [True, False], ids=["tied twice", "tied once"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_a_pickle_gives_the_bytes_of_the_safetensors_twin(
    teacher: Path, given: Path, zipped: bool, twice: bool
) -> None:
    torch.save(OrderedDict(stored_by_torch(weights_of(teacher), twice)), given / "pytorch_model.bin",
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    found = convert(given)
    assert written(given).read_bytes() == (teacher / "model.safetensors").read_bytes()
    tied = ["lm_head.decoder.weight", "lm_head.decoder.bias"]
    assert found == {
        "files": {"pytorch_model.bin": sha256_file(given / "pytorch_model.bin")},
        "left_out": [*sorted(LEFTOVERS), *(tied if twice else [])],
        "rows_left_out": 0,
    }


@pytest.mark.parametrize(("form", "names"), [
    ("pickled", ["pytorch_model-00001-of-00003.bin", "pytorch_model-00002-of-00003.bin",
                 "pytorch_model-00003-of-00003.bin"]),
    ("pickled", ["first half.bin", "second half.bin"]),
    ("safetensors", ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]),
    ("safetensors", ["weights_a.safetensors", "pytorch_model-00002.safetensors"]),
    ("safetensors", ["anything.safetensors"]),
], ids=lambda value: value if isinstance(value, str) else value[0])  # fmt: skip
def test_shards_of_any_name_give_the_bytes_of_the_single_file(
    teacher: Path, given: Path, form: str, names: list[str]
) -> None:
    write_shards(given, stored_by_torch(weights_of(teacher)), names, form)
    found = convert(given)
    assert written(given).read_bytes() == (teacher / "model.safetensors").read_bytes()
    assert found is not None and found["files"] == {name: sha256_file(given / name) for name in names}


def test_a_single_safetensors_file_is_copied_byte_for_byte_and_a_pickle_beside_it_is_not_opened(
    teacher: Path, given: Path
) -> None:
    shutil.copyfile(teacher / "model.safetensors", given / "model.safetensors")
    (given / "pytorch_model.bin").write_bytes(b"anything")
    assert convert(given) is None
    assert sha256_file(written(given)) == sha256_file(teacher / "model.safetensors")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_precision_of_a_checkpoint_is_kept(teacher: Path, given: Path, dtype: torch.dtype) -> None:
    weights = {name: tensor.to(dtype) for name, tensor in weights_of(teacher).items()}
    torch.save(stored_by_torch(weights, leftovers=False), given / "pytorch_model.bin")
    convert(given)
    found = weights_of(given.parent / "out")
    assert {tensor.dtype for tensor in found.values()} == {dtype}
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def test_parts_of_one_storage_are_written_apart(teacher: Path, given: Path) -> None:
    weights = weights_of(teacher)
    whole = torch.cat([tensor.flatten() for tensor in weights.values()])
    parts, place = {}, 0
    for name, tensor in weights.items():
        parts[name] = whole[place : place + tensor.numel()].view(tensor.shape)
        place += tensor.numel()
    parts["lm_head.dense.weight"] = parts["lm_head.dense.weight"].T.contiguous().T  # not contiguous
    torch.save(parts, given / "pytorch_model.bin")
    convert(given)
    assert written(given).read_bytes() == (teacher / "model.safetensors").read_bytes()


def test_a_tensor_under_its_other_name_alone_takes_its_own(teacher: Path, given: Path) -> None:
    weights = stored_by_torch(weights_of(teacher), leftovers=False)
    del weights["lm_head.bias"]
    torch.save(weights, given / "pytorch_model.bin")
    convert(given)
    assert written(given).read_bytes() == (teacher / "model.safetensors").read_bytes()


def test_a_second_copy_with_other_values_is_refused(teacher: Path, given: Path) -> None:
    weights = stored_by_torch(weights_of(teacher))
    weights["lm_head.decoder.weight"] = weights[WORDS] + 1
    torch.save(weights, given / "pytorch_model.bin")
    with pytest.raises(
        UserError, match=r"lm_head\.decoder\.weight: expected the values .* tie_word_embeddings .* false"
    ):
        convert(given)


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class Evaluated(Payload):
    """The same by evaluating text."""

    def __reduce__(self) -> Any:
        return eval, (f"__import__('os').mkdir({str(self.path)!r})",)


def zipped(payload: Any, weights: dict[str, Tensor], path: Path) -> None:
    torch.save({**weights, "more": payload}, path)


def before_zip(payload: Any, weights: dict[str, Tensor], path: Path) -> None:
    torch.save({**weights, "more": payload}, path, _use_new_zipfile_serialization=False)


def bare(payload: Any, weights: dict[str, Tensor], path: Path) -> None:
    path.write_bytes(pickle.dumps(payload))


def bare_protocol_2(payload: Any, weights: dict[str, Tensor], path: Path) -> None:
    path.write_bytes(pickle.dumps(payload, protocol=2))


def as_a_key(payload: Any, weights: dict[str, Tensor], path: Path) -> None:
    torch.save({**weights, "more": {"deep": [payload]}}, path)


def tar(payload: Any, weights: dict[str, Tensor], path: Path) -> None:
    with tarfile.open(path, "w") as pack:
        for name in ("pickle", "storages", "tensors"):
            entry, content = tarfile.TarInfo(name), pickle.dumps(payload)
            entry.size = len(content)
            pack.addfile(entry, io.BytesIO(content))


FORMS: list[Callable[[Any, dict[str, Tensor], Path], None]] = [
    zipped, before_zip, bare, bare_protocol_2, as_a_key, tar
]  # fmt: skip


@pytest.mark.parametrize("payload", [Payload, Evaluated])
@pytest.mark.parametrize("form", FORMS, ids=[form.__name__ for form in FORMS])
def test_a_hostile_pickle_is_refused_in_one_sentence_and_nothing_of_it_runs(
    teacher: Path, given: Path, form: Callable[..., None], payload: type[Payload]
) -> None:
    sprung = given.parent / "sprung"
    form(payload(sprung), weights_of(teacher), given / "pytorch_model.bin")
    with pytest.raises(UserError) as refused:
        convert(given)
    message = str(refused.value)
    assert not sprung.exists() and not written(given).exists()
    assert message.startswith(f"{given}/pytorch_model.bin: expected tensors") and message.endswith("or advice")
    assert "weights_only" not in message and "\n" not in message and len(message) < 500


def test_what_a_hostile_pickle_would_call_is_named(teacher: Path, given: Path) -> None:
    zipped(Payload(given / "sprung"), weights_of(teacher), given / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"found posix\.mkdir, which could run code; nothing of it was used"):
        convert(given)


@pytest.mark.parametrize(("content", "words"), [
    ({"epoch": 3}, "epoch: expected a tensor, found int"),
    ({"state_dict": {"a": torch.ones(2)}}, "state_dict: expected a tensor, found dict"),
    ([torch.ones(2)], "expected tensors by name, found list"),
    (torch.ones(2), "expected tensors by name, found Tensor"),
    (torch.nn.Linear(2, 2), r"found torch\.nn\.modules\.linear\.Linear, which could run code"),
    ({"a": torch.ones(2, dtype=torch.int8)}, "a: expected a dense tensor of floating-point numbers, found int8"),
    ({"a": torch.ones(2, 2).to_sparse()}, "a: expected a dense tensor of floating-point .* found float32, sparse"),
    ({"a": torch.zeros(1).expand(10**12)}, "a: damaged .a tensor of 1,000,000,000,000 numbers with fewer stored"),
])  # fmt: skip
def test_what_is_no_table_of_weights_is_named(given: Path, content: Any, words: str) -> None:
    torch.save(content, given / "pytorch_model.bin")
    with pytest.raises(UserError, match=words):
        convert(given)


@pytest.mark.parametrize("content", [b"", b"these are no weights" * 50, b"PK\x03\x04 no archive"])
def test_a_damaged_pickle_is_named(given: Path, content: bytes) -> None:
    (given / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(UserError, match=r"pytorch_model\.bin: damaged .*; copy or download it again, or advice"):
        convert(given)


def test_a_pickle_that_was_cut_short_is_named(teacher: Path, given: Path) -> None:
    torch.save(weights_of(teacher), given / "pytorch_model.bin")
    content = (given / "pytorch_model.bin").read_bytes()
    (given / "pytorch_model.bin").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"pytorch_model\.bin: damaged"):
        convert(given)


def test_a_tensor_in_two_shards_is_refused(teacher: Path, given: Path) -> None:
    write_shards(given, weights_of(teacher), ["a.bin", "b.bin"], "pickled")
    torch.save({"lm_head.bias": torch.ones(200)}, given / "b.bin")
    torch.save({"lm_head.bias": torch.ones(200)}, given / "a.bin")
    with pytest.raises(UserError, match=r"b\.bin: lm_head\.bias: is in two shards"):
        convert(given)


@pytest.mark.parametrize(("version", "safe"), [("2.5.1+cu121", False), ("1.13.0", False), ("2.6.0", True),
                                               ("2.10.0a0+git1", True), ("3.0", True)])  # fmt: skip
def test_a_torch_whose_restricted_unpickler_could_be_broken_out_of_opens_no_pickle(
    teacher: Path, given: Path, monkeypatch: pytest.MonkeyPatch, version: str, safe: bool
) -> None:
    torch.save(weights_of(teacher), given / "pytorch_model.bin")
    monkeypatch.setattr(distil.teacher.weights.torch, "__version__", version)
    if safe:
        assert convert(given) is not None
        return
    with pytest.raises(UserError, match=r"expected torch 2\.6 or newer, .* found .*; update torch, or advice"):
        convert(given)
