"""The teacher's weights as one model.safetensors, whatever form they came in.

Checkpoints from before safetensors are pickles, which can run code when they are opened. torch's restricted unpickler
reads them here, and nowhere else in distil are pickles opened.
"""

import logging
import re
import shutil
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.modeling.config import first_line
from distil.modeling.loading import DIFFERS, is_leftover
from distil.modeling.weight_files import SAFETENSORS, WeightFiles

log = logging.getLogger("distil")

SAFE_TORCH = (2, 6)  # before it `weights_only=True` could be made to run code (CVE-2025-32434)

_WORDS = "roberta.embeddings.word_embeddings.weight"
_TIED = {"lm_head.decoder.weight": _WORDS, "lm_head.decoder.bias": "lm_head.bias"}
VOCABULARY_ROWS = (_WORDS, *_TIED, "lm_head.bias")  # a row for each piece
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def write_weights(
    weights: WeightFiles, config: dict[str, Any], pieces: int, out: Path, advice: str
) -> dict[str, Any] | None:
    """Write `out`/model.safetensors.

    A single safetensors file of the right size is copied byte for byte. Of shards and pickles every tensor keeps its
    values and its precision; known leftovers and second copies of tied tensors are left out, and so are rows of the
    vocabulary beyond `pieces`, with which some embedding tables are padded.

    Args:
        weights: what was found.
        config: config.json.
        pieces: of the tokenizer; at most config's `vocab_size`.
        out: a folder.
        advice: ends each error.

    Returns:
        None for a copy. Otherwise the entry of the manifest: {"files": {name: sha256}, "left_out": names of tensors,
        "rows_left_out": of the vocabulary}.

    Raises:
        UserError: a file is damaged, a pickle holds more than tensors, torch is too old to open one, or a tensor has
            other than floating-point numbers.
    """
    padding = config["vocab_size"] - pieces
    if not padding and weights.form == "safetensors" and [path.name for path in weights.files] == [SAFETENSORS]:
        shutil.copyfile(weights.files[0], out / SAFETENSORS)
        return None
    tensors: dict[str, Tensor] = {}
    for path in weights.files:
        found = open_pickle(path, advice) if weights.form == "pickled" else _open_safetensors(path, advice)
        if twice := sorted(found.keys() & tensors.keys()):
            raise UserError(f"{path}: {twice[0]}: is in two shards; copy or download the folder again, or {advice}")
        tensors |= found
    left_out = _leave_out(tensors, config, weights.files[0].parent, advice)
    for name in VOCABULARY_ROWS:
        if padding and name in tensors and tensors[name].shape[:1] == (config["vocab_size"],):
            tensors[name] = tensors[name][:pieces]
    save_file(apart(tensors), out / SAFETENSORS, metadata={"format": "pt"})
    files = {path.name: sha256_file(path) for path in weights.files}
    log.info("teacher: %s written as %s; left out: %s", ", ".join(f"{name} (sha256 {digest[:12]})" for name, digest in
             files.items()), SAFETENSORS, ", ".join(left_out) or "nothing")  # fmt: skip
    if padding:
        log.info("teacher: %s rows of the vocabulary have no piece and were left out: %s are left",
                 f"{padding:,}", f"{pieces:,}")  # fmt: skip
    return {"files": files, "left_out": left_out, "rows_left_out": padding}


def _open_safetensors(path: Path, advice: str) -> dict[str, Tensor]:
    """The tensors of one file, memory-mapped."""
    try:
        with safe_open(path, framework="pt") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged ({first_line(error)}); {advice}") from None


def open_pickle(path: Path, advice: str) -> dict[str, Tensor]:
    """The tensors of one .bin file, memory-mapped where its form allows that; nothing in it is run.

    Raises:
        UserError: torch is too old, the file is damaged, or it holds more than tensors by name.
    """
    if tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < SAFE_TORCH:
        raise UserError(
            f"{path}: expected torch {'.'.join(map(str, SAFE_TORCH))} or newer, which opens a pickle without running "
            f"it, found {torch.__version__}; update torch, or {advice}"
        )
    with path.open("rb") as stream:
        zipped = stream.read(4) == b"PK\x03\x04"  # torch 1.6 and newer; older files cannot be mapped
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a damaged or hostile stream ends in errors of any class
        raise UserError(f"{path}: {_refusal(error)}, or {advice}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected tensors by name, found {type(found).__name__}; {advice}")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UserError(
                f"{path}: {str(name)[:60]}: expected a tensor, found {type(tensor).__name__}; save the tensors alone "
                f"(`torch.save(model.state_dict(), ...)`), or {advice}"
            )
    return dict(found)


def _refusal(error: Exception) -> str:
    """What is wrong with a pickle, without torch's advice to open it unsafely."""
    text, alone = str(error), "save the tensors alone (`torch.save(model.state_dict(), ...)`)"
    if more := re.search(r"GLOBAL (\S+)", text):
        return f"expected tensors alone, found {more[1][:100]}, which could run code; nothing of it was used; {alone}"
    if isinstance(error, UnpicklingError) or "weights_only" in text:
        return f"expected tensors as torch.save writes them, found a pickle or an archive of another kind; {alone}"
    return f"damaged ({first_line(error)}); copy or download it again"


def _leave_out(tensors: dict[str, Tensor], config: dict[str, Any], where: Path, advice: str) -> list[str]:
    """Take leftovers and second copies of tied tensors out of `tensors`; returns their names.

    Raises:
        UserError: a tensor is not one of floating-point numbers, or should be a second copy and is another one.
    """
    left_out = sorted(name for name in tensors if is_leftover(name))
    for name in left_out:
        del tensors[name]
    _check_tensors(tensors, where, advice)
    if config.get("tie_word_embeddings", True):
        for copy, name in _TIED.items():
            if copy not in tensors:
                continue
            tensor = tensors.pop(copy)
            left_out.append(copy)
            kept = tensors.setdefault(name, tensor)  # it may be stored under its other name only
            if kept.data_ptr() != tensor.data_ptr() and not torch.equal(kept, tensor):
                raise UserError(f"{where}: {copy}: {DIFFERS}; {advice}")
    return left_out


def _check_tensors(tensors: dict[str, Tensor], where: Path, advice: str) -> None:
    """Raises UserError at a tensor that is not one of floating-point numbers with storage of its own size."""
    for name, tensor in tensors.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.dtype not in _FLOATS:
            raise UserError(
                f"{where}: {name}: expected a dense tensor of floating-point numbers, found {kind}"
                f"{'' if tensor.layout is torch.strided else ', sparse'}; {advice}"
            )
        # A view can repeat a small storage without end: written out it would fill memory and disk.
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise UserError(
                f"{where}: {name}: damaged (a tensor of {tensor.numel():,} numbers with fewer stored); {advice}"
            )


def apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, each contiguous and none within another, as safetensors wants them."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        shared = tensor.data_ptr() in seen
        seen.add(tensor.data_ptr())
        found[name] = tensor.clone() if shared else tensor.contiguous()
    return found
