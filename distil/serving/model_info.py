"""What a folder declares about its model, and whether its files belong together: no torch, no ONNX Runtime."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from distil.core.errors import UserError, cut
from distil.core.files import sha256_file
from distil.modeling.tokenizer import max_tokens, read_as_text, special_ids
from distil.tasks.tag_decoding import TRANSITIONS_FILE, read_transitions

ServedKind = Literal["text_classification", "token_classification", "masked_lm", "sentence_embedding"]

SENTENCE_EMBEDDING: ServedKind = "sentence_embedding"  # named in the manifest only

KINDS: dict[str, ServedKind] = {
    "ForSequenceClassification": "text_classification",
    "ForTokenClassification": "token_classification",
    "ForMaskedLM": "masked_lm",
}


GRAPHS = ("model.onnx", "model.ort")


class Card(NamedTuple):
    """What a folder declares about its model."""

    kind: ServedKind
    labels: list[str]  # none for a masked language model and a sentence encoder
    normalised: bool  # texts are viewed as those were from which it learned (distil/text/views.py)
    marks: Literal["keep", "drop"]
    script: Literal["keep", "latin"]
    max_length: int  # tokens with <s> and </s>; what is behind them is cut off
    pieces: int  # rows of the embedding table
    task: str | None
    languages: list[str]  # ISO 639-3 codes; none where the folder does not say
    gated: list[str]  # of a model with language experts: all that its gate tells apart, in the order of their numbers
    ngrams: bool  # an n-gram table is part of the model (distil/finetuning/ngrams.py)
    transitions: bool  # a tagger decodes with transitions.json beside it (distil/tasks/tag_decoding.py)
    sha256: dict[str, str]  # of files that must be the ones that were exported

    @property
    def view(self) -> dict[str, Any]:
        """What is done to a text first, as a manifest has it: marks and script only where they are not kept."""
        changed = {"marks": self.marks, "script": self.script}
        return {"normalised": self.normalised} | {key: value for key, value in changed.items() if value != "keep"}


def read_card(folder: Path) -> Card:
    """config.json of a folder, and the manifest.json in it or, of a fine-tuned model, above it.

    Raises:
        UserError: no such folder, no model in it, or the config is damaged or of another kind of model.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one with a model in it, such as models/onnx/sentiment/int8")
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if "config.json" not in found or not {*GRAPHS, "model.safetensors"} & set(found):
        raise UserError(
            f"{folder}: expected config.json and model.onnx or model.safetensors, found "
            f"{', '.join(found[:6]) or 'an empty folder'}; give a folder such as models/onnx/sentiment/int8"
        )
    config, manifest = _read(folder / "config.json"), _manifest(folder)
    try:
        architecture = str(config["architectures"][0])
        names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # transformers leaves two unnamed ones out
        labels = [str(names[str(number)]) for number in range(len(names))]
        pieces, longest = int(config["vocab_size"]), max_tokens(config)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder}/config.json: expected an XLM-R model's config, found no usable {error}; export it again"
        ) from None
    kind = next((kind for suffix, kind in KINDS.items() if architecture.endswith(suffix)), None)
    if manifest.get("kind") == SENTENCE_EMBEDDING:
        kind = SENTENCE_EMBEDDING
    if kind is None:
        raise UserError(
            f"{folder}/config.json: expected an architecture that ends with {', '.join(KINDS)}, found {architecture}; "
            "choose a classifier, a tagger or a masked language model"
        )
    if kind in ("masked_lm", SENTENCE_EMBEDDING):
        labels = []
    elif manifest.get("labels", labels) != labels:
        raise UserError(
            f"{folder}: manifest.json has the labels {cut(', '.join(map(str, manifest['labels'])))}, config.json "
            f"{cut(', '.join(labels))}; export the folder again"
        )
    return Card(
        kind=kind,
        labels=labels,
        normalised=bool(manifest.get("normalised", False)),
        marks="drop" if _changes(folder, manifest, "marks", "drop") else "keep",
        script="latin" if _changes(folder, manifest, "script", "latin") else "keep",
        max_length=min(int(manifest.get("max_length", 512)), longest),
        pieces=pieces,
        task=manifest.get("task"),
        languages=[str(code) for code in manifest.get("languages", [])],
        gated=[str(code) for code in config.get("student_languages", [])],
        ngrams=bool(config.get("ngrams") or "ngrams.safetensors" in found),
        transitions=kind == "token_classification" and bool(config.get("transitions")),
        sha256=manifest.get("sha256", {}),
    )


def _changes(folder: Path, manifest: dict[str, Any], key: str, change: str) -> bool:
    """Whether a manifest names `change` under `key`; it may also name `keep` or nothing."""
    if (found := manifest.get(key, "keep")) not in ("keep", change):
        raise UserError(
            f"{folder}: manifest.json: {key}: expected keep or {change}, found {found}; export the folder again"
        )
    return bool(found == change)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("no object")
        return value
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); export or download the folder again") from None


def _manifest(folder: Path) -> dict[str, Any]:
    """Of an exported folder its own; of models/finetuned/MODEL/TASK/seed-N or seed-N/LANG the task's above it."""
    for place in (folder, *list(folder.absolute().parents)[:2]):
        if (path := place / "manifest.json").is_file():
            manifest = _read(path)
            if "max_length" in manifest and "kind" in manifest:
                return manifest
    return {}


def check_sha256(folder: Path, card: Card, name: str) -> None:
    """Compare a file with the manifest beside it, where that names it.

    Raises:
        UserError: it is another one.
    """
    expected = card.sha256.get(name)
    if expected and (found := sha256_file(folder / name)) != expected:
        raise UserError(
            f"{folder / name}: damaged or of another model (sha256 {found[:12]}..., manifest.json has "
            f"{expected[:12]}...); export or download the folder again"
        )


def open_transitions(folder: Path, card: Card) -> np.ndarray | None:
    """Of a tagger that has them, see `read_transitions`.

    Raises:
        UserError: missing, damaged or another model's.
    """
    if not card.transitions:
        return None
    found = read_transitions(folder, card.labels, "export or download the folder again")
    check_sha256(folder, card, TRANSITIONS_FILE)
    return found


def open_tokenizer(folder: Path, card: Card) -> Tokenizer:
    """tokenizer.json, as `read_as_text` gives it, checked against the embedding's rows.

    Raises:
        UserError: missing, damaged, without XLM-R's special pieces, or of another size than the embedding table.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file; export or download the folder again")
    try:
        tokenizer = read_as_text(path, mask=card.kind == "masked_lm")
    except Exception as error:  # tokenizers raises no narrower class
        raise UserError(f"{path}: damaged ({error}); export or download the folder again") from None
    if (size := tokenizer.get_vocab_size()) != card.pieces:
        raise UserError(
            f"{path}: {size:,} pieces, but the embedding table has {card.pieces:,} rows; put the tokenizer beside the "
            "model with which it was trained"
        )
    check_sha256(folder, card, "tokenizer.json")
    try:
        special_ids(tokenizer)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return tokenizer
