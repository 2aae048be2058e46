"""What is loaded of a decoder's folder, and what is refused by name."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from distil.core.errors import UserError
from distil.decoders.loading import load_decoder, open_decoder
from distil.modeling.weight_files import PICKLED, SAFETENSORS
from tests.support.decoders import config
from tests.support.hub_client import Client
from tests.support.standin_hub import StandinHub


@pytest.fixture
def own(room: Path, tmp_path: Path) -> Path:
    """A copy of the decoder that a test may damage."""
    return Path(shutil.copytree(room / "decoder", tmp_path / "own"))


def change_weights(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    weights = load_file(folder / SAFETENSORS)
    change(weights)
    save_file(weights, folder / SAFETENSORS, metadata={"format": "pt"})


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def logits(folder: Path) -> torch.Tensor:
    decoder = load_decoder(folder, "x", "float32")
    with torch.no_grad():
        return decoder.model(torch.tensor([decoder.encode("zuri bwana")])).logits


def test_a_pickle_of_tensors_gives_the_same_model(own: Path) -> None:
    expected, weights = logits(own), load_file(own / SAFETENSORS)
    (own / SAFETENSORS).unlink()
    torch.save({**weights, "model.layers.0.self_attn.bias": torch.ones(2, 2, dtype=torch.bool)}, own / PICKLED)
    assert torch.equal(logits(own), expected)


def test_text_is_read_with_the_begin_and_without_the_end_of_the_tokenizer(own: Path) -> None:
    decoder = load_decoder(own, "x", "float32")
    assert decoder.encode("zuri")[0] == 0 and 1 not in decoder.encode("zuri")
    assert decoder.positions == 256 and decoder.ends("zuri bwana")[-1] == len("zuri bwana")


def mlp(layer: int) -> Callable[[dict[str, Any]], None]:
    """As a checkpoint whose layers share one MLP is saved: without the repeats."""

    def leave_out(weights: dict[str, Any]) -> None:
        for name in [name for name in weights if f"layers.{layer}.mlp" in name]:
            del weights[name]

    return leave_out


def test_weights_that_would_be_random_are_refused(own: Path) -> None:
    change_weights(own, mlp(1))
    with pytest.raises(UserError, match=r"^a model: model.safetensors lacks 3 weights that LlamaForCausalLM needs "
                       r"\(model.layers.1.mlp.down_proj.weight, ...\): they would be random; docs/g"):  # fmt: skip
        load_decoder(own, "a model", "float32")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda own: change_weights(own, lambda weights: weights.update(extra=torch.ones(2))),
         r"has 1 weights for which LlamaForCausalLM has no place \(extra\)"),
        (lambda own: change_config(own, hidden_size=32), r"expected the shape of config.json, found another"),
        (lambda own: change_config(own, model_type="xlm-roberta-of-mine", auto_map={"AutoModel": "x.X"}),
         r"model_type: expected a causal language model .*, found xlm-roberta-of-mine; code that comes with"),
        (lambda own: (own / SAFETENSORS).write_bytes(b"broken"), r"weights do not load"),
        (lambda own: (own / SAFETENSORS).unlink(), r"expected weights in model.safetensors or pytorch"),
        (lambda own: (own / "config.json").unlink(), r"expected a model folder with config.json, found none"),
        (lambda own: (own / "tokenizer.json").write_text("{}"), r"the tokenizer does not load"),
        (lambda own: change_weights(own, lambda weights: weights.update({
            name: weights[name][:300] for name in ("model.embed_tokens.weight", "lm_head.weight")
        })) or change_config(own, vocab_size=300), r"not the tokenizer of this model: expected ids below 300, found"),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_whole_decoder_is_refused(own: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(own)
    with pytest.raises(UserError, match=message):
        load_decoder(own, "a model", "float32")


class Hostile:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_a_pickle_that_could_run_code_is_refused(own: Path) -> None:
    torch.save({"x": Hostile()}, own / PICKLED)
    (own / SAFETENSORS).unlink()
    with pytest.raises(UserError, match="could run code; nothing of it was used"):
        load_decoder(own, "a model", "float32")


def test_a_folder_that_is_not_there_is_named_with_its_key() -> None:
    with pytest.raises(UserError, match=r"params.yaml: decoders.tiny.path: nowhere: no such folder; expected a Hugg"):
        open_decoder("tiny", config(path="nowhere"))


@pytest.fixture(scope="module")
def client(room: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    files = {path.name: path.read_bytes() for path in (room / "decoder").iterdir()}
    with StandinHub() as hub:
        hub.add("models/org/decoder", files | {"modeling_own.py": b"raise SystemExit", "training.bin": b"pickle"})
        hub.add("models/org/bert", files | {"config.json": b'{"model_type": "xlm-roberta-xl-of-mine"}'})
        client = Client(hub, tmp_path_factory.mktemp("home"))
        yield client
        client.close()


@pytest.mark.slow
def test_a_decoder_of_the_hub_is_the_one_of_the_folder_and_code_is_not_fetched(client: Client, room: Path) -> None:
    digest, files = client("decoder", "org/decoder")
    assert digest == load_decoder(room / "decoder", "x", "float32").sha256
    assert "modeling_own.py" not in files and "training.bin" not in files and SAFETENSORS in files
    refused = client("decoder", "org/bert")
    assert refused.startswith("UserError") and "expected a causal language model" in refused
    assert "params.yaml: decoders.tiny: org/nothing at revision main" in client("decoder", "org/nothing")
