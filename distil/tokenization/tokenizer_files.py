"""A tokenizer's files as transformers and SentencePiece read them: pieces are taken out of all alike, and put in.

XLM-R keeps its Unigram pieces twice. tokenizer.json lists <s>, <pad>, </s>, <unk>, the pieces, <mask>. In
sentencepiece.bpe.model the same pieces follow <unk>, <s>, </s>, so that each id is one lower there, and neither <pad>
nor <mask> is in it (the "fairseq offset" of transformers' XLMRobertaTokenizer).
"""

import copy
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]  # made at run time

from distil.core.errors import UserError
from distil.core.files import verify_checksums, write_text
from distil.modeling.tokenizer import CONFIG_DEFAULTS, read_tokenizer_json

TOKENIZER, CONFIG, SENTENCEPIECE = "tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model"

_SENTENCEPIECE_HEAD = ["<unk>", "<s>", "</s>"]
_FIRST_PIECE = 4  # id of the first piece in tokenizer.json that is not special; 3 in the SentencePiece model


class TokenizerFiles(NamedTuple):
    """What a tokenizer's folder holds."""

    folder: Path
    spec: dict[str, Any]  # tokenizer.json
    config: dict[str, Any]  # tokenizer_config.json, empty where there is none
    sentencepiece: ModelProto | None  # sentencepiece.bpe.model, where there is one

    @property
    def pieces(self) -> list[str]:
        """Every piece by its id: the model's, then the added ones that the model does not have."""
        pieces = [piece for piece, _ in self.spec["model"]["vocab"]]
        beyond = {token["id"]: token["content"] for token in self.spec["added_tokens"] if token["id"] >= len(pieces)}
        return pieces + [beyond[number] for number in sorted(beyond)]


def read_tokenizer_files(folder: Path, made_by: str) -> TokenizerFiles:
    """Read and compare a tokenizer's files.

    Args:
        folder: has tokenizer.json; tokenizer_config.json and sentencepiece.bpe.model may be missing.
        made_by: the stage that writes `folder`, named in errors.

    Raises:
        UserError: a file is damaged, or tokenizer.json and sentencepiece.bpe.model differ.
    """
    verify_checksums(folder, made_by, TOKENIZER, CONFIG, SENTENCEPIECE)
    spec = read_tokenizer_json(folder / TOKENIZER, made_by)
    repair = f"run `dvc repro --force {made_by}`"
    config, proto = {}, None
    if (path := folder / CONFIG).is_file():
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); {repair}") from None
        if not isinstance(config, dict):
            raise UserError(f"{path}: expected settings by name, found {type(config).__name__}; {repair}")
    if (path := folder / SENTENCEPIECE).is_file():
        try:
            proto = ModelProto.FromString(path.read_bytes())
        except DecodeError as error:
            raise UserError(f"{path}: damaged ({error}); {repair}") from None
        _check_same_pieces(spec, proto, path)
    files = TokenizerFiles(folder, spec, config, proto)
    _check_added(files)
    return files


def _check_added(files: TokenizerFiles) -> None:
    """Raises UserError at the first added token whose id is that of another piece or of none."""
    pieces = dict(enumerate(files.pieces))
    added = {token["id"]: token["content"] for token in files.spec["added_tokens"]}
    named = {int(number): token["content"] for number, token in files.config.get("added_tokens_decoder", {}).items()}
    for name, tokens, expected in ((TOKENIZER, added, pieces), (CONFIG, named, added)):
        for number, content in tokens.items():
            if expected.get(number) != content:
                found = expected.get(number, "no such token")
                raise UserError(
                    f"{files.folder / name}: added token {content!r}: expected an id that is its own in {TOKENIZER}, "
                    f"found {number}, which is {found!r} there; mend the file where it comes from"
                )


def _check_same_pieces(spec: dict[str, Any], proto: ModelProto, path: Path) -> None:
    """Raises UserError at the first id whose piece, or its score, is another one in the SentencePiece model."""
    vocab = spec["model"]["vocab"]
    added = {token["content"] for token in spec["added_tokens"]}
    advice = "take both files from the same teacher, or take this one away: nothing here needs it"
    head = [piece.piece for piece in proto.pieces[:3]]
    if head != _SENTENCEPIECE_HEAD:
        raise UserError(f"{path}: expected the first pieces {_SENTENCEPIECE_HEAD}, found {head}; {advice}")
    ours = [(piece, np.float32(score)) for piece, score in vocab[_FIRST_PIECE:] if piece not in added]
    theirs = [(piece.piece, np.float32(piece.score)) for piece in proto.pieces[3:] if piece.piece not in added]
    if ours == theirs:
        return
    number = next((i for i, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), None)
    if number is None:
        raise UserError(
            f"{path}: expected {len(ours):,} pieces besides the special ones, as in {TOKENIZER} beside it, found "
            f"{len(theirs):,}; {advice}"
        )
    (piece, score), (other, other_score) = ours[number], theirs[number]
    raise UserError(
        f"{path}: piece {number + 3}: expected {piece!r} of score {score:g} as in {TOKENIZER} beside it, found "
        f"{other!r} of score {other_score:g}; {advice}"
    )


def write_tokenizer_files(files: TokenizerFiles, kept: np.ndarray, out: Path) -> None:
    """Write the files with the pieces of `kept` only; a file that stays the same is copied byte for byte.

    Args:
        files: the teacher's.
        kept: (pieces,) ascending teacher ids, every special piece and added token among them.
        out: a folder.
    """
    new = {int(old): number for number, old in enumerate(kept)}
    everything = len(kept) == len(files.pieces)
    config = _config(files.config, new)
    if config == files.config:
        shutil.copyfile(files.folder / CONFIG, out / CONFIG)
    else:
        write_text(out / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    if everything:
        shutil.copyfile(files.folder / TOKENIZER, out / TOKENIZER)
        if files.sentencepiece is not None:
            shutil.copyfile(files.folder / SENTENCEPIECE, out / SENTENCEPIECE)
        return
    write_text(out / TOKENIZER, json.dumps(_spec(files.spec, new), ensure_ascii=False, separators=(",", ":")) + "\n")
    if files.sentencepiece is not None:
        pieces = files.pieces
        (out / SENTENCEPIECE).write_bytes(_sentencepiece(files.sentencepiece, {pieces[number] for number in kept}))


def add_pieces(files: TokenizerFiles, pieces: Sequence[tuple[str, float]], out: Path) -> int:
    """Write the files with more pieces, between those that are there and <mask>; returns the id of the first.

    The id of <mask>, and of added tokens behind it, rises by their number. SentencePiece's model ends with them, so the
    fairseq offset holds.

    Args:
        files: of any tokenizer of XLM-R.
        pieces: text as the normalizer leaves it, and natural logarithm of its share of all pieces; by id.
        out: a folder; may be that of `files`.

    Raises:
        UserError: other pieces follow <mask>.
    """
    vocab = files.spec["model"]["vocab"]
    first = min(files.pieces.index("<mask>"), len(vocab))
    added = {"<mask>", *(token["content"] for token in files.spec["added_tokens"])}
    if behind := [piece for piece, _ in vocab[first:] if piece not in added]:
        raise UserError(
            f"{files.folder / TOKENIZER}: expected <mask> as the last piece, as in every XLM-R tokenizer, found "
            f"{len(behind):,} behind it, {behind[0]!r} the first; set teacher.adapt.new_pieces to 0"
        )
    new = {number: number + (len(pieces) if number >= first else 0) for number in range(len(files.pieces))}
    entries = [(piece, float(np.float32(score))) for piece, score in pieces]  # SentencePiece keeps float32
    spec = _spec(files.spec, new)
    spec["model"]["vocab"][first:first] = [list(entry) for entry in entries]
    write_text(out / TOKENIZER, json.dumps(spec, ensure_ascii=False, separators=(",", ":")) + "\n")
    write_text(out / CONFIG, json.dumps(_config(files.config, new), indent=2, ensure_ascii=False) + "\n")
    if files.sentencepiece is not None:
        proto = ModelProto()
        proto.CopyFrom(files.sentencepiece)
        proto.pieces.extend(ModelProto.SentencePiece(piece=piece, score=score) for piece, score in entries)
        proto.trainer_spec.vocab_size = len(proto.pieces)
        (out / SENTENCEPIECE).write_bytes(proto.SerializeToString(deterministic=True))
    return first


def _spec(spec: dict[str, Any], new: dict[int, int]) -> dict[str, Any]:
    """tokenizer.json with the pieces of `new`, and its ids wherever it names one."""
    model = dict(spec["model"])
    model["vocab"] = [entry for number, entry in enumerate(model["vocab"]) if number in new]
    model["unk_id"] = new[model["unk_id"]]
    spec = copy.deepcopy({key: value for key, value in spec.items() if key != "model"}) | {"model": model}
    for token in spec["added_tokens"]:
        token["id"] = new[token["id"]]
    if spec.get("padding"):
        spec["padding"]["pad_id"] = new[spec["padding"]["pad_id"]]
    if spec.get("post_processor"):
        _renumber_processor(spec["post_processor"], new)
    return spec


def _renumber_processor(processor: dict[str, Any], new: dict[int, int]) -> None:
    """In place: the ids of the special pieces that a post-processor puts around a text."""
    match processor["type"]:
        case "Sequence":
            for part in processor["processors"]:
                _renumber_processor(part, new)
        case "TemplateProcessing":
            for token in processor["special_tokens"].values():
                token["ids"] = [new[number] for number in token["ids"]]
        case "RobertaProcessing" | "BertProcessing":
            for name in ("sep", "cls"):
                piece, number = processor[name]
                processor[name] = [piece, new[number]]


def _config(config: dict[str, Any], new: dict[int, int]) -> dict[str, Any]:
    """tokenizer_config.json with its ids renumbered, and with what a folder without config.json needs."""
    config = config | {name: value for name, value in CONFIG_DEFAULTS.items() if name not in config}
    if decoder := config.get("added_tokens_decoder"):
        config["added_tokens_decoder"] = {str(new[int(number)]): token for number, token in decoder.items()}
    return config


def _sentencepiece(proto: ModelProto, kept: set[str]) -> bytes:
    """The SentencePiece model with the pieces of `kept`, in their order; all else as it was."""
    trimmed = ModelProto()
    trimmed.CopyFrom(proto)
    del trimmed.pieces[:]
    trimmed.pieces.extend(piece for piece in proto.pieces if piece.piece in kept)
    trimmed.trainer_spec.vocab_size = len(trimmed.pieces)
    return trimmed.SerializeToString(deterministic=True)
