"""Where the teacher comes from: trained here (sample), a folder, or the hub; always a local snapshot in the end."""

import logging
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock
from pydantic import Field, model_validator
from transformers import AutoTokenizer, XLMRobertaForMaskedLM

from distil.core.errors import UserError
from distil.core.files import scratch_folder, seal, sha256_file, sha256_json, write_json
from distil.core.params import Params
from distil.core.pipeline import code_checksums
from distil.modeling.shape import describe_model
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.modeling.xlm_roberta import check_architecture, load_masked_lm
from distil.sources.hub import hub_snapshot
from distil.teacher.adaptation import AdaptConfig, adapt
from distil.teacher.pretraining import PretrainConfig, pretrain

log = logging.getLogger("distil")

SNAPSHOT = (
    "config.json",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
)


class TeacherConfig(Params):
    """Section `teacher:` of params.yaml."""

    source: Literal["train", "folder", "hub"]
    path: str = Field(min_length=1)
    id: str = Field(min_length=1)
    revision: str = Field(min_length=1)
    train: PretrainConfig
    adapt: AdaptConfig

    @model_validator(mode="after")
    def _adapt_what_was_trained_elsewhere(self) -> "TeacherConfig":
        if self.adapt.steps and self.source == "train":
            raise ValueError(
                f"adapt.steps is {self.adapt.steps} with source train: expected 0; give train.steps more instead"
            )
        return self


def fetch_teacher(config: TeacherConfig, languages: list[str], synthetic: bool, seed: int, out: Path) -> dict[str, Any]:
    """Put a snapshot of the teacher into `out` and describe it in manifest.json.

    Args:
        config: where from.
        languages: whose text a teacher is trained on (source `train`) or adapted to.
        synthetic: whether the text of source `train` is synthetic; goes into the manifest.
        seed: of the training or adaptation.
        out: an empty folder.

    Returns:
        The manifest (docs/design.md).

    Raises:
        UserError: no such folder or hub model, another architecture, no weights, a tokenizer that is not the model's.
    """
    if config.source == "train":
        pretrain([Path(config.path) / f"{language}.txt" for language in languages], config.train, seed, out)
        source, name, revision = out, "sample teacher (trained by this pipeline)", ""
    elif config.source == "folder":
        source = Path(config.path)
        if not source.is_dir():
            raise UserError(
                f"params.yaml: teacher.path: {source}: no such folder; expected a Hugging Face model folder with "
                "config.json, "
                "model.safetensors and tokenizer.json"
            )
        _copy(source, out)
        name, revision = source.resolve().name, ""
    else:
        source = _download(config.id, config.revision)
        _copy(source, out)
        name, revision = config.id, source.name
    # Errors name what a person gave: the copy is gone when they are read.
    model = load_masked_lm(source, None)
    _check_tokenizer(source, out, model)
    adapted = _adapt(model, config.adapt, languages, seed, out) if config.adapt.steps else None
    digest = _weights_sha256(out)
    manifest = {
        "source": config.source,
        "id": name,
        "revision": revision or digest[:12],
        "synthetic": config.source == "train" and synthetic,
        "adapted": adapted,
        **describe_model(model),
        "max_position_embeddings": model.config.max_position_embeddings,
        "weights_sha256": digest,
        "tokenizer_sha256": sha256_file(out / "tokenizer.json"),
    }
    write_json(out / "manifest.json", manifest)
    seal(out)
    return manifest


def _weights_sha256(folder: Path) -> str:
    return sha256_json({path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))})


def _adapt(
    model: XLMRobertaForMaskedLM, config: AdaptConfig, languages: list[str], seed: int, out: Path
) -> dict[str, Any]:
    """Adapt the model and put it in place of the one in `out`; a killed run continues from its checkpoint."""
    texts = {name: path for name in languages if (path := Path(config.text) / f"{name}.txt").is_file()}
    key = sha256_json({
        "weights": _weights_sha256(out), "adapt": config.model_dump(), "seed": seed, "torch": torch.__version__,
        "code": code_checksums("teacher"),
        "texts": {name: sha256_file(path) for name, path in texts.items()},
    })  # fmt: skip
    scratch = scratch_folder("teacher", key)
    with FileLock(scratch / "lock"):
        adapted = adapt(model, out, languages, config, seed, scratch)
        for path in (*out.glob("*.safetensors"), *out.glob("*.safetensors.index.json")):
            path.unlink()
        model.save_pretrained(out)
    shutil.rmtree(scratch)
    return adapted


def _copy(source: Path, out: Path) -> None:
    for pattern in SNAPSHOT:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, out / path.name)
    if not (out / "tokenizer.json").is_file():
        if not (out / "sentencepiece.bpe.model").is_file():  # transformers would make one of five pieces
            raise UserError(
                f"{source}: expected tokenizer.json, or sentencepiece.bpe.model to make it from, found neither; take "
                "the tokenizer that came with the weights"
            )
        # An older snapshot carries the SentencePiece model only; transformers makes the fast one from it.
        try:
            AutoTokenizer.from_pretrained(source, trust_remote_code=False).save_pretrained(out)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{source}: expected tokenizer.json, found none that can be made ({reason})") from None


def _download(name: str, revision: str) -> Path:
    """Fetch a snapshot through the hub's own cache; its folder is named for the commit that `revision` stands for."""
    config = hub_snapshot(name, revision, ["config.json"])
    check_architecture(config, None)  # before gigabytes of weights
    folder = hub_snapshot(name, config.name, list(SNAPSHOT))
    log.info("teacher: %s at commit %s", name, folder.name)
    return folder


def _check_tokenizer(source: Path, out: Path, model: XLMRobertaForMaskedLM) -> None:
    folder = source if (source / "tokenizer.json").is_file() else out
    vocabulary, pad_id = model.config.vocab_size, model.config.pad_token_id
    tokenizer = load_tokenizer(folder, "teacher")
    special = special_ids(tokenizer)
    found = tokenizer.get_vocab_size()
    if found != vocabulary or special.pad != pad_id:
        raise UserError(
            f"{source}: not the tokenizer of this model: expected {vocabulary} pieces with <pad> as {pad_id} "
            f"(config.json), found {found} with <pad> as {special.pad}; use the tokenizer that came with the weights"
        )
