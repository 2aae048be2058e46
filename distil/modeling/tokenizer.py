"""Reading models/tokenizer: the tokenizer, its special pieces, and which of the teacher's pieces each of its is.

Written by tokenization/vocabulary.py. It is a module of its own so that a change in how pieces are chosen reaches the
teacher's cache through the folder only, and not where the folder comes out the same.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

from distil.core.arrays import read_arrays
from distil.core.errors import UserError
from distil.core.files import read_json, verify_checksums, write_text


class SpecialTokenIds(NamedTuple):
    """Ids of XLM-R's special pieces."""

    bos: int  # <s>
    pad: int  # <pad>
    eos: int  # </s>
    unk: int  # <unk>
    mask: int  # <mask>


TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model")

# What AutoTokenizer needs to know where tokenizer_config.json leaves it to a config.json beside it.
CONFIG_DEFAULTS = {
    "tokenizer_class": "XLMRobertaTokenizer",
    "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
    "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>",
}  # fmt: skip

_NAMES = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}


def load_tokenizer(folder: Path, made_by: str = "vocabulary") -> Tokenizer:
    """The tokenizer of a folder, as `read_as_text` gives it.

    Args:
        folder: has a tokenizer.json.
        made_by: the stage that writes `folder`, named in errors.

    Raises:
        UserError: tokenizer.json is missing or damaged, its model is not Unigram, or a special piece is lacking.
    """
    path = folder / "tokenizer.json"
    verify_checksums(folder, made_by, path.name)
    read_tokenizer_json(path, made_by)
    try:
        tokenizer = read_as_text(path)
    except Exception as error:  # tokenizers raises no narrower class
        raise UserError(f"{path}: damaged ({error}); run `dvc repro --force {made_by}`") from None
    try:
        special_ids(tokenizer)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return tokenizer


def read_as_text(path: Path, mask: bool = False) -> Tokenizer:
    """The tokenizer of a file, to which `<s>`, `<pad>` and the like in a text are characters as any others.

    As the file is, they would become special pieces: twice, as tokens that are looked for in the text, and as pieces of
    the Unigram model, of the best score. No text is split otherwise than before unless it has such a piece. The file's
    own truncation and padding are off.

    Args:
        path: a tokenizer.json.
        mask: whether `<mask>` in a text is the special piece, for a text whose masks are filled.
    """
    if mask:
        spec = json.loads(path.read_text(encoding="utf-8"))
        for token in spec["added_tokens"]:
            token["special"] = token["special"] and token["content"] != _NAMES["mask"]
        tokenizer = Tokenizer.from_str(json.dumps(spec))
    else:
        tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    pieces = sorted(piece for piece in special.union(_NAMES.values()) if len(piece) > 1)
    first = "|".join(f"{re.escape(piece[0])}(?={re.escape(piece[1:])})" for piece in pieces)
    apart = pre_tokenizers.Split(Regex(first), "merged_with_previous")  # behind the first character of each
    before = tokenizer.pre_tokenizer
    tokenizer.pre_tokenizer = apart if before is None else pre_tokenizers.Sequence([before, apart])  # type: ignore[assignment]
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def read_tokenizer_json(path: Path, made_by: str) -> dict[str, Any]:
    """A tokenizer.json as nested dicts.

    Raises:
        UserError: it is missing, is not JSON, or its model is not Unigram with a vocabulary.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; expected a tokenizer in the fast format, which `save_pretrained` of transformers "
            f"writes; give a folder that has one and run `dvc repro {made_by}`"
        )
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
        model = spec["model"]
        # Older files leave the type out; only Unigram's vocabulary is a list of pieces with scores.
        kind = model.get("type") or ("Unigram" if isinstance(model["vocab"], list) else "another type")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error!r}); run `dvc repro --force {made_by}`") from None
    if kind != "Unigram":
        raise UserError(
            f"{path}: expected a Unigram model, as every XLM-R tokenizer is, found {kind}; choose an XLM-R teacher"
        )
    return spec


def special_ids(tokenizer: Tokenizer) -> SpecialTokenIds:
    """Ask a tokenizer for the ids of its special pieces.

    Raises:
        UserError: names the pieces that it lacks.
    """
    ids = {field: number for field, piece in _NAMES.items() if (number := tokenizer.token_to_id(piece)) is not None}
    if lacking := [piece for field, piece in _NAMES.items() if field not in ids]:
        raise UserError(
            f"the tokenizer lacks {', '.join(lacking)}; expected XLM-R's {', '.join(_NAMES.values())}; choose an XLM-R "
            "teacher that was trained to fill masks"
        )
    return SpecialTokenIds(**ids)


def max_tokens(config: Mapping[str, Any]) -> int:
    """The longest sequence a model can read, <s> and </s> included: XLM-R counts positions from <pad>'s id + 1.

    Args:
        config: config.json.
    """
    return int(config["max_position_embeddings"]) - int(config.get("pad_token_id", 1)) - 1


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy a tokenizer's files beside a model, and limit it to what that model can read.

    Args:
        source: a folder with a tokenizer.
        folder: has the model's config.json.
    """
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    limit_length(folder)


def limit_length(folder: Path) -> None:
    """Set `model_max_length` in tokenizer_config.json, which `truncation=True` of transformers cuts texts to.

    Without it, or with that of another model, a long text fails at the position table.

    Args:
        folder: a model with its config.json and tokenizer.

    Raises:
        UserError: tokenizer_config.json is damaged.
    """
    path, longest = folder / "tokenizer_config.json", max_tokens(read_json(folder / "config.json", ""))
    config: dict[str, Any] = dict(CONFIG_DEFAULTS)
    if path.is_file():
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                raise ValueError(f"expected settings by name, found {type(config).__name__}")
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); copy or download the folder again") from None
    if config.get("model_max_length") != longest:
        config["model_max_length"] = longest
        write_text(path, json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """models/tokenizer/manifest.json, as docs/reference/output-files.md has it."""
    verify_checksums(folder, "vocabulary")
    return read_json(folder / "manifest.json", "vocabulary")


def teacher_piece_ids(folder: Path) -> np.ndarray:
    """(pieces,) int32, ascending: the teacher's id of each piece of models/tokenizer.

    Raises:
        UserError: the file is missing or damaged, or does not belong to the manifest beside it.
    """
    path = folder / "pieces.safetensors"
    manifest = read_manifest(folder)
    arrays = read_arrays(path, "vocabulary")
    ids, pieces, bound = arrays.get("teacher_ids"), manifest["pieces"], manifest["teacher_pieces"]
    fits = ids is not None and ids.dtype == np.int32 and ids.shape == (pieces,)
    if ids is None or not fits or (np.diff(ids) <= 0).any() or not 0 <= ids[0] <= ids[-1] < bound:
        found = "no such array" if ids is None else f"{ids.dtype} of shape {ids.shape}" if not fits else "other values"
        raise UserError(
            f"{path}: teacher_ids: expected {pieces:,} ascending int32 ids below {bound:,} as in manifest.json, found "
            f"{found}; run `dvc repro --force vocabulary`"
        )
    return ids
