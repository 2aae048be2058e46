"""A causal language model from a folder or from the Hub: every weight from its files, and no code of theirs is run."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from distil.compute.distributed import process_device
from distil.core.errors import UserError
from distil.core.files import scratch_folder, sha256_file, sha256_json
from distil.evaluation.decoders import DecoderConfig
from distil.modeling.config import first_line
from distil.modeling.weight_files import SAFETENSORS, WeightFiles, find_weights
from distil.runtime.progress import silence_transformers
from distil.sources.hub_models import fetch_model
from distil.teacher.weights import apart, open_pickle

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model", "vocab.json",
             "merges.txt")  # fmt: skip


class Decoder(NamedTuple):
    """A causal language model, ready to read."""

    where: str  # names it in errors
    model: Any  # of transformers, evaluating
    tokenizer: Any  # a fast one of transformers
    first: list[int]  # the ids that its tokenizer puts in front of every text, such as <s>
    positions: int  # that it can read; 0: no limit
    sha256: str  # of its weights and its tokenizer

    def encode(self, text: str) -> list[int]:
        """The ids of a text as it begins, without an end of text behind it."""
        return [*self.first, *self.tokenizer(text, add_special_tokens=False).input_ids]

    def ends(self, text: str) -> list[int]:
        """Where each token of a text ends, in characters."""
        offsets = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
        return [end for _, end in offsets]


def open_decoder(name: str, config: DecoderConfig) -> Decoder:
    """The model of a block of `decoders:`.

    Raises:
        UserError: it is not there, is no causal language model of transformers, or lacks weights or a tokenizer.
    """
    where = f"params.yaml: decoders.{name}"
    if config.source == "hub":
        advice = f"choose another model in decoders.{name} of params.yaml"
        folder = fetch_model(config.id, config.revision, TOKENIZER, lambda found: _model_type(found, advice), advice,
                             f"decoders.{name}")  # fmt: skip
        shown = config.id
    else:
        folder, shown = Path(config.path), config.path
        if not folder.is_dir():
            raise UserError(f"{where}.path: {folder}: no such folder; expected a Hugging Face model folder with "
                            "config.json, weights and a tokenizer")  # fmt: skip
    return load_decoder(folder, shown, config.precision)


def load_decoder(folder: Path, shown: str, precision: str) -> Decoder:
    """A causal language model of a Hugging Face folder, which errors call `shown`."""
    silence_transformers()
    advice = "copy or download it again, or choose another model in decoders: of params.yaml"
    _model_type(folder, advice)
    weights = find_weights(folder, advice)
    if weights is None:
        raise UserError(f"{shown}: expected weights in model.safetensors or pytorch_model.bin, found none; {advice}")
    with _as_safetensors(folder, weights, advice) as loaded:
        try:
            found: Any = AutoModelForCausalLM.from_pretrained(
                loaded, dtype=getattr(torch, precision), use_safetensors=True, trust_remote_code=False,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
            model, loading = found
        except (SafetensorError, OSError, ValueError, RuntimeError, ImportError, TypeError) as error:
            raise UserError(f"{shown}: the weights do not load ({first_line(error)}); {advice}") from None
    _check_loaded(model, loading, shown, weights, advice)
    tokenizer, first = _tokenizer(folder, shown, model.get_input_embeddings().weight.shape[0], advice)
    files = [*weights.files, *(folder / file for file in TOKENIZER if (folder / file).is_file())]
    digest = sha256_json({path.name: sha256_file(path) for path in files})
    positions = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    return Decoder(shown, model.to(process_device()).eval(), tokenizer, first, positions, digest)


def _model_type(folder: Path, advice: str) -> str:
    """The type of model in config.json, one that transformers has as a causal language model."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found = config.get("model_type")
    except FileNotFoundError:
        raise UserError(f"{folder}: expected a model folder with config.json, found none; {advice}") from None
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a model's config ({first_line(error)}); {advice}") from None
    if found not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        own = "; code that comes with a model is never run" if config.get("auto_map") else ""
        raise UserError(
            f"{path}: model_type: expected a causal language model of transformers, such as llama, found {found}{own}; "
            f"{advice}"
        )
    return str(found)


@contextmanager
def _as_safetensors(folder: Path, weights: WeightFiles, advice: str) -> Iterator[Path]:
    """The folder itself, or for weights in a pickle a copy in scratch; nothing of it is run."""
    if weights.form == "safetensors":
        yield folder
        return
    tensors: dict[str, torch.Tensor] = {}
    for path in weights.files:
        found = open_pickle(path, advice)
        tensors |= {name: tensor for name, tensor in found.items() if tensor.is_floating_point()}  # no masks
    with tempfile.TemporaryDirectory(dir=scratch_folder("decoder")) as made:
        shutil.copyfile(folder / "config.json", Path(made) / "config.json")
        save_file(apart(tensors), Path(made) / SAFETENSORS, metadata={"format": "pt"})
        yield Path(made)


def _check_loaded(model: Any, loading: dict[str, Any], shown: str, weights: WeightFiles, advice: str) -> None:
    """Raises UserError at a weight that is of another shape, missing, or not the model's."""
    kind, file = type(model).__name__, weights.files[0].name
    if mismatched := sorted(loading["mismatched_keys"]):
        raise UserError(
            f"{shown}: {mismatched[0][0]}: expected the shape of config.json, found another; use the config.json "
            f"that came with the weights, or {advice}"
        )
    missing = sorted(loading["missing_keys"])
    if model.config.tie_word_embeddings:
        shared = getattr(model, "_tied_weights_keys", None) or {}
        missing = [name for name in missing if name not in shared]
    if missing:
        raise UserError(
            f"{shown}: {file} lacks {len(missing)} weights that {kind} needs ({missing[0]}"
            f"{', ...' if len(missing) > 1 else ''}): they would be random; docs/guides/decoders.md tells how to write "
            "them all, if the checkpoint shares weights between layers"
        )
    if unexpected := sorted(loading["unexpected_keys"]):
        raise UserError(
            f"{shown}: {file} has {len(unexpected)} weights for which {kind} has no place ({unexpected[0]}); {advice}"
        )


def _tokenizer(folder: Path, shown: str, rows: int, advice: str) -> tuple[Any, list[int]]:
    """The fast tokenizer, and the ids in front of every text."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, use_fast=True)
        around = list(tokenizer("").input_ids)
        largest = max(tokenizer.get_vocab().values())
    except Exception as error:  # tokenizers raise classes of many kinds
        raise UserError(f"{shown}: the tokenizer does not load ({first_line(error)}); {advice}") from None
    if not tokenizer.is_fast:
        raise UserError(f"{shown}: expected a tokenizer with tokenizer.json, found none; {advice}")
    if largest >= rows:
        raise UserError(f"{shown}: not the tokenizer of this model: expected ids below {rows:,}, found {largest:,}")
    begin = tokenizer.bos_token_id
    return tokenizer, [begin] if begin is not None and around[:1] == [begin] else []
