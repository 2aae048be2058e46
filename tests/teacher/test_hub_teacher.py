"""A teacher of 2022 on the hub: what is fetched of a commit, and that it gives the models/teacher of its twin."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from distil.core.files import sha256_file
from tests.support import toy
from tests.support.checkpoints import as_of_2022, stored_by_torch, weights_of, write_shards
from tests.support.hub_client import Client
from tests.support.standin_hub import Fault, StandinHub

NOT_OURS = {"README.md": b"# A model", "modeling_x.py": b"raise SystemExit", "training_args.bin": b"pickle",
            "vocab.txt": b"a", "rust_model.ot": b"rust", "optimizer.pt": b"pickle"}  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pickled(weights: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    torch.save(weights, stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of one teacher: all but its weights, and its weights in every form."""
    root = tmp_path_factory.mktemp("teacher")
    toy.make_text(root)
    toy.make_teacher(root)
    teacher = root / "models/teacher"
    weights = stored_by_torch(weights_of(teacher))
    as_of_2022(teacher, root / "rest")
    found = {"rest": files_of(root / "rest") | NOT_OURS,
             "safetensors": {"model.safetensors": (teacher / "model.safetensors").read_bytes()},
             "pickle": {"pytorch_model.bin": pickled(weights)}}  # fmt: skip
    for form, ending in (("safetensors", ".safetensors"), ("pickled", ".bin")):
        (root / form).mkdir()
        write_shards(root / form, weights_of(teacher), [f"first half{ending}", f"[2]{ending}"], form)
        found[f"{form} shards"] = files_of(root / form)
    return found


@pytest.fixture(scope="module")
def hub(parts: dict[str, dict[str, bytes]]) -> Iterator[StandinHub]:
    with StandinHub() as hub:
        flax = {"flax_model.msgpack": b"flax"}
        hub.add("models/org/old", parts["rest"] | parts["pickle"] | flax)
        hub.add("models/org/new", parts["rest"] | parts["safetensors"])
        hub.add("models/org/both", parts["rest"] | parts["safetensors"] | {"pytorch_model.bin": b"a hostile pickle"})
        hub.add("models/org/shards", parts["rest"] | parts["safetensors shards"] | {"pytorch_model.bin": b"pickle"})
        hub.add("models/org/old-shards", parts["rest"] | parts["pickled shards"])
        hub.add("models/org/garbled", parts["rest"] | parts["pickle"])
        hub.add("models/org/flax", parts["rest"] | flax)
        hub.add("models/org/nothing", parts["rest"])
        lacking = parts["safetensors shards"].copy()
        del lacking["[2].safetensors"]
        hub.add("models/org/lacking", parts["rest"] | lacking)
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the hub's cache."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def client(hub: StandinHub, home: Path) -> Iterator[Client]:
    client = Client(hub, home)
    yield client
    client.close()


def sums(folder: Path) -> dict[str, str]:
    """The sha256 of each file but those that say where the weights came from."""
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir())
            if path.name not in ("manifest.json", "checksums.json")}  # fmt: skip


@pytest.fixture(scope="module")
def twin(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/teacher from the same model with safetensors."""
    out = tmp_path_factory.mktemp("twin") / "out"
    manifest, _ = client("teacher", "org/new", "main", str(out))
    assert manifest["original"] is None
    return out


@pytest.mark.parametrize(("name", "fetched"), [
    ("org/old", ["pytorch_model.bin"]),
    ("org/old-shards", ["[2].bin", "first half.bin"]),
    ("org/shards", ["[2].safetensors", "first half.safetensors"]),
    ("org/both", []),
])  # fmt: skip
def test_every_form_on_the_hub_gives_the_bytes_of_the_twin_and_only_its_files_are_fetched(
    hub: StandinHub, client: Client, twin: Path, tmp_path: Path, name: str, fetched: list[str]
) -> None:
    hub.asked.clear()
    manifest, lines = client("teacher", name, "main", str(tmp_path / "out"))
    assert sums(tmp_path / "out") == sums(twin)
    assert sorted((manifest["original"] or {"files": {}})["files"]) == fetched
    assert manifest["id"] == name and manifest["revision"] == hub.repositories[f"models/{name}"].refs["main"]
    asked = {path.rpartition("/")[2] for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path}
    rest = {"config.json", "tokenizer_config.json", "sentencepiece.bpe.model"}
    index = {file for file in asked if file.endswith(".index.json")}
    assert asked - index == rest | set(fetched or ["model.safetensors"])
    if fetched:
        assert any(all(f"{file} (sha256 " in line for file in fetched) and "written as model.safetensors" in line
                   for line in lines)  # fmt: skip


def test_flax_weights_alone_end_in_the_commands_that_fetch_and_convert_them(
    hub: StandinHub, client: Client, tmp_path: Path
) -> None:
    message = client("teacher", "org/flax", "main", str(tmp_path / "out"))
    commit = hub.repositories["models/org/flax"].refs["main"]
    assert message.startswith(f"UserError: org/flax at commit {commit}: expected weights in model.safetensors or "
                              "pytorch_model.bin, found flax_model.msgpack alone; `hf download org/flax --revision "
                              f"{commit} --local-dir teacher && python3 -m venv ")  # fmt: skip
    assert message.endswith("converts it, then set teacher.source to folder and teacher.path to teacher")


def test_no_weights_on_the_hub_are_said(client: Client, tmp_path: Path) -> None:
    message = client("teacher", "org/nothing", "main", str(tmp_path / "out"))
    assert "expected weights in model.safetensors or pytorch_model.bin, found none; choose another model" in message


def test_a_shard_that_the_commit_lacks_is_one_sentence(client: Client, tmp_path: Path) -> None:
    message = client("teacher", "org/lacking", "main", str(tmp_path / "out"))
    assert message.startswith("UserError: ") and "lists [2].safetensors, which is not there (1 of 2 shards" in message


def test_a_pickle_that_is_not_the_hubs_is_refused_before_it_is_opened(
    hub: StandinHub, client: Client, tmp_path: Path
) -> None:
    commit = hub.repositories["models/org/garbled"].refs["main"]
    hub.break_next(f"GET org/garbled/resolve/{commit}/pytorch_model.bin", Fault("garbage"))
    message = client("teacher", "org/garbled", "main", str(tmp_path / "out"))
    assert "pytorch_model.bin came with another sha256 than the hub names, and was deleted" in message
    assert client("teacher", "org/garbled", "main", str(tmp_path / "again"))[0]["id"] == "org/garbled"


def test_offline_a_fetched_teacher_of_2022_is_found_in_the_cache(
    hub: StandinHub, client: Client, home: Path, twin: Path, tmp_path: Path
) -> None:
    client("teacher", "org/old-shards", "main", str(tmp_path / "one"))
    offline = Client(hub, home, HF_HUB_OFFLINE="1")
    offline("teacher", "org/old-shards", "main", str(tmp_path / "two"))
    offline.close()
    assert sums(tmp_path / "one") == sums(tmp_path / "two") == sums(twin)
