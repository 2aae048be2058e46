"""Where the teacher comes from: trained here (sample), a folder, or the hub; always a local snapshot in the end."""

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock
from pydantic import Field, model_validator
from transformers import XLMRobertaForMaskedLM, XLMRobertaTokenizer

from distil.compute.guard import EVENTS_FILE
from distil.core.errors import UserError
from distil.core.files import scratch_folder, sha256_file, sha256_json, write_checksums, write_json, write_text
from distil.core.params import Params
from distil.core.pipeline import code_checksums
from distil.modeling.config import first_line, read_config, remedy
from distil.modeling.shape import describe_model
from distil.modeling.tokenizer import limit_length, load_tokenizer, special_ids
from distil.modeling.weight_files import PICKLED, SAFETENSORS, find_weights
from distil.modeling.xlm_roberta import load_masked_lm
from distil.sources.hub import hub_files
from distil.sources.hub_models import fetch_model
from distil.teacher.adaptation import AdaptConfig, adapt
from distil.teacher.merging import TeacherMergeConfig, merge_teachers
from distil.teacher.model_folders import weights_sha256
from distil.teacher.pretraining import RECIPE, PretrainConfig, pretrain
from distil.teacher.weights import write_weights

log = logging.getLogger("distil")

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model", "special_tokens_map.json")

# Rows of an embedding table are often padded to a multiple of one of these, which suits the matrix units of a GPU.
PADDED_TO = (8, 16, 32, 64, 128)

# Weights that torch cannot read -> the packages and the argument with which transformers converts them. Tried with
# XLM-R weights of both kinds: 4.49.0 does it in one call, 4.57.6 fails there, and 5 has neither kind.
CONVERTED_BY = {
    "flax_model.msgpack": ("flax", "from_flax=True"),
    "tf_model.h5": ("tensorflow tf-keras", "from_tf=True"),
}


class TeacherConfig(Params):
    """Section `teacher:` of params.yaml."""

    source: Literal["train", "folder", "hub"]
    path: str = Field(min_length=1)
    id: str = Field(min_length=1)
    revision: str = Field(min_length=1)
    train: PretrainConfig
    merge: TeacherMergeConfig
    adapt: AdaptConfig

    @model_validator(mode="after")
    def _change_what_was_trained_elsewhere(self) -> "TeacherConfig":
        if self.adapt.steps and self.source == "train":
            raise ValueError(
                f"adapt.steps is {self.adapt.steps} with source train: expected 0; give train.steps more instead"
            )
        if self.merge.method != "none" and self.source == "train":
            raise ValueError(
                f"merge.method is {self.merge.method} with source train: expected none; merge models adapted from a "
                "teacher of source folder or hub"
            )
        if self.adapt.new_pieces and not self.adapt.steps:
            raise ValueError(
                f"adapt.new_pieces is {self.adapt.new_pieces} with adapt.steps 0: new pieces must be learned; set "
                "steps above 0 or new_pieces to 0"
            )
        return self


def fetch_teacher(config: TeacherConfig, languages: list[str], synthetic: bool, seed: int, out: Path) -> dict[str, Any]:
    """Put a snapshot of the teacher into `out` and describe it in manifest.json.

    Args:
        config: where from.
        languages: whose text a teacher is trained on (source `train`), adapted to or, if merged, measured on.
        synthetic: whether the text of source `train` is synthetic; goes into the manifest. A folder's recipe.json says
            it of a teacher that a command of this project made.
        seed: of the training, merging or adaptation.
        out: an empty folder.

    Returns:
        The manifest (docs/reference/output-files.md).

    Raises:
        UserError: no such folder or hub model, another architecture, no weights, a tokenizer that is not the model's.
    """
    if config.source == "train":
        pretrain([Path(config.path) / f"{language}.txt" for language in languages], config.train, seed, out)
        source, name, revision, original = out, "sample teacher (trained by this pipeline)", "", None
    elif config.source == "folder":
        source = Path(config.path)
        if not source.is_dir():
            raise UserError(
                f"params.yaml: teacher.path: {source}: no such folder; expected a Hugging Face model folder with "
                "config.json, model.safetensors (or pytorch_model.bin) and tokenizer.json"
            )
        original = snapshot(source, out)
        name, revision = source.resolve().name, ""
        synthetic = _of_synthetic_text(source)
    else:
        source = _download(config.id, config.revision)
        original = snapshot(source, out)
        name, revision = config.id, source.name
    limit_length(out)
    # Errors name what a person gave: the copy is gone when they are read.
    model = load_masked_lm(out, None, shown=source)
    merged = {}
    if config.merge.method != "none":
        merged = {"merged": merge_teachers(model, out, config.merge, config.adapt, languages, seed)}
        _save(model, out)
    adapted = _adapt(model, config.adapt, languages, seed, out) if config.adapt.steps else None
    digest = weights_sha256(out)
    manifest = {
        "source": config.source,
        "id": name,
        "revision": revision or digest[:12],
        "synthetic": config.source != "hub" and synthetic,
        "original": original,
        "adapted": adapted,
        **merged,
        **describe_model(model),
        "max_position_embeddings": model.config.max_position_embeddings,
        "weights_sha256": digest,
        "tokenizer_sha256": sha256_file(out / "tokenizer.json"),
    }
    write_json(out / "manifest.json", manifest)
    write_checksums(out)
    return manifest


def _of_synthetic_text(folder: Path) -> bool:
    """Whether the recipe beside a teacher says so; a recipe.json of somebody else's says nothing."""
    try:
        recipe = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(recipe, dict) and recipe.get("synthetic") is True


def _adapt(
    model: XLMRobertaForMaskedLM, config: AdaptConfig, languages: list[str], seed: int, out: Path
) -> dict[str, Any]:
    """Adapt the model and put it in place of the one in `out`; a killed run continues from its checkpoint."""
    texts = {name: path for name in languages if (path := Path(config.text) / f"{name}.txt").is_file()}
    key = sha256_json({
        "weights": weights_sha256(out), "adapt": config.model_dump(), "seed": seed, "torch": torch.__version__,
        "code": code_checksums("teacher"),
        "texts": {name: sha256_file(path) for name, path in texts.items()},
    })  # fmt: skip
    scratch = scratch_folder("teacher", key)
    with FileLock(scratch / "lock"):
        adapted = adapt(model, out, languages, config, seed, scratch)
        if config.guard:
            shutil.copyfile(scratch / EVENTS_FILE, out / EVENTS_FILE)
        _save(model, out)
    shutil.rmtree(scratch)
    return adapted


def _save(model: XLMRobertaForMaskedLM, out: Path) -> None:
    """Put a model in place of the one in `out`."""
    (out / SAFETENSORS).unlink()
    model.save_pretrained(out)


def snapshot(source: Path, out: Path) -> dict[str, Any] | None:
    """Copy a masked language model and its tokenizer, with its weights as one model.safetensors.

    Args:
        source: a Hugging Face folder, as its maker published it.
        out: an empty folder.

    Returns:
        What became of the weights, see `distil.teacher.weights.write_weights`.

    Raises:
        UserError: a file is missing, damaged or of another kind of model, or the tokenizer is not the model's.
    """
    advice = remedy(None)
    config = read_config(source, advice)
    weights = find_weights(source, advice)
    if weights is None:
        raise UserError(_no_weights(source, [path.name for path in source.iterdir()], f"{source}"))
    _copy_tokenizer(source, out)
    pieces = _check_tokenizer(source, out, config)
    if pieces == config["vocab_size"]:
        shutil.copyfile(source / "config.json", out / "config.json")
    else:
        write_text(out / "config.json", json.dumps({**config, "vocab_size": pieces}, indent=2) + "\n")
    return write_weights(weights, config, pieces, out, advice)


def _copy_tokenizer(source: Path, out: Path) -> None:
    for name in TOKENIZER:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)
    if (out / "tokenizer.json").is_file():
        return
    if not (out / "sentencepiece.bpe.model").is_file():  # transformers would make one of five pieces
        raise UserError(
            f"{source}: expected tokenizer.json, or sentencepiece.bpe.model to make it from, found neither; take "
            "the tokenizer that came with the weights"
        )
    # An older snapshot carries the SentencePiece model only; transformers makes the fast one from it.
    with tempfile.TemporaryDirectory() as made:
        # Its tokenizer_config.json would differ from one machine's settings to another's.
        try:
            XLMRobertaTokenizer.from_pretrained(out, trust_remote_code=False).save_pretrained(made)
            shutil.copyfile(Path(made) / "tokenizer.json", out / "tokenizer.json")
        except Exception as error:  # SentencePiece and tokenizers raise classes of many kinds
            raise UserError(
                f"{source}: expected tokenizer.json, found none that can be made ({first_line(error)}); take the "
                "tokenizer that came with the weights"
            ) from None
    log.info("teacher: tokenizer.json made from sentencepiece.bpe.model")


def _check_tokenizer(source: Path, out: Path, config: dict[str, Any]) -> int:
    """The number of the tokenizer's pieces: as many as rows of the embedding table, or fewer where that is padded.

    Raises:
        UserError: the tokenizer is not the model's.
    """
    folder = source if (source / "tokenizer.json").is_file() else out
    rows, pad_id = config["vocab_size"], config.get("pad_token_id", 1)
    tokenizer = load_tokenizer(folder, "teacher")
    special = special_ids(tokenizer)
    pieces = tokenizer.get_vocab_size()
    padded = pieces < rows and any(rows == -(-pieces // multiple) * multiple for multiple in PADDED_TO)
    if (pieces != rows and not padded) or special.pad != pad_id:
        raise UserError(
            f"{source}: not the tokenizer of this model: expected {rows} pieces with <pad> as {pad_id} "
            f"(config.json), found {pieces} with <pad> as {special.pad}; use the tokenizer that came with the weights"
        )
    return pieces


def _download(name: str, revision: str) -> Path:
    """Fetch a snapshot through the hub's own cache; its folder is named for the commit that `revision` resolves to.

    Pickled weights are fetched only where the commit has no safetensors.
    """
    advice = remedy(None)
    folder = fetch_model(name, revision, TOKENIZER, lambda found: read_config(found, advice), advice, "teacher")
    commit = folder.name
    if find_weights(folder, advice) is None:
        raise UserError(_no_weights(Path("teacher"), hub_files(name, commit), f"{name} at commit {commit}",
                                    f"hf download {name} --revision {commit} --local-dir teacher && "))  # fmt: skip
    log.info("teacher: %s at commit %s", name, folder.name)
    return folder


def _no_weights(folder: Path, names: list[str], shown: str, before: str = "") -> str:
    """The error for a model without weights that torch can read.

    Args:
        folder: where it is, or will be.
        names: of its files.
        shown: what to call it.
        before: a command to run first.
    """
    expected = f"{shown}: expected weights in {SAFETENSORS} or {PICKLED}, found"
    for name, (packages, argument) in CONVERTED_BY.items():
        if name in names:
            command = (
                f"{before}python3 -m venv /tmp/convert && /tmp/convert/bin/pip install transformers==4.49.0 torch "
                f'{packages} && /tmp/convert/bin/python -c "from transformers import XLMRobertaForMaskedLM as M; '
                f"M.from_pretrained('{folder}', {argument}).save_pretrained('{folder}')\""
            )
            return (
                f"{expected} {name} alone; `{command}` converts it, then set teacher.source to folder and "
                f"teacher.path to {folder}"
            )
    return f"{expected} none; {remedy(None)}"
