"""The toy teacher in the forms in which teachers are found: pickled, in shards, padded, with leftovers."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

LEFTOVERS = {
    "roberta.embeddings.position_ids": torch.arange(66)[None],
    "roberta.pooler.dense.weight": torch.ones(32, 32),
    "roberta.pooler.dense.bias": torch.ones(32),
}
WORDS = "roberta.embeddings.word_embeddings.weight"


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def write_safetensors(folder: Path, weights: dict[str, Tensor], name: str = "model.safetensors") -> None:
    save_file(weights, folder / name, metadata={"format": "pt"})


def change_config(folder: Path, **values: Any) -> None:
    """Set keys of config.json; the value ... takes a key out."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text(encoding="utf-8")), **values}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not ...}), encoding="utf-8")


def as_of_2022(source: Path, folder: Path) -> None:
    """A folder with all that a hub model of 2022 has but its weights: SentencePiece, and a config with torch_dtype."""
    folder.mkdir(parents=True)
    shutil.copyfile(source / "sentencepiece.bpe.model", folder / "sentencepiece.bpe.model")
    shutil.copyfile(source / "config.json", folder / "config.json")
    change_config(folder, dtype=..., torch_dtype="float32", transformers_version="4.17.0.dev0",
                  position_embedding_type="absolute")  # fmt: skip
    settings = {"bos_token": "<s>", "mask_token": {"content": "<mask>", "lstrip": True, "__type": "AddedToken"},
                "model_max_length": 512, "tokenizer_class": "XLMRobertaTokenizer"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def stored_by_torch(weights: dict[str, Tensor], twice: bool = True, leftovers: bool = True) -> dict[str, Tensor]:
    """As `state_dict` of transformers 4 gave them: tied tensors under both names, with buffers and a pooler."""
    found = dict(weights)
    if twice:
        found |= {"lm_head.decoder.weight": found[WORDS], "lm_head.decoder.bias": found["lm_head.bias"]}
    return found | (LEFTOVERS if leftovers else {})


def write_shards(folder: Path, weights: dict[str, Tensor], names: list[str], form: str) -> None:
    """`weights` in files of these names, with their index."""
    places = {name: names[number % len(names)] for number, name in enumerate(sorted(weights))}
    for file in names:
        part = {name: weights[name].clone() for name in weights if places[name] == file}
        if form == "safetensors":
            write_safetensors(folder, part, file)
        else:
            torch.save(part, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    name = "model.safetensors" if form == "safetensors" else "pytorch_model.bin"
    (folder / f"{name}.index.json").write_text(json.dumps(index), encoding="utf-8")


def pad_vocabulary(folder: Path, rows: int) -> None:
    """Give the embedding table and the head rows that no piece has."""
    weights = weights_of(folder)
    for name in (WORDS, "lm_head.bias"):
        more = torch.full((rows - len(weights[name]), *weights[name].shape[1:]), 7.0)
        weights[name] = torch.cat([weights[name], more])
    write_safetensors(folder, weights)
    change_config(folder, vocab_size=rows)
