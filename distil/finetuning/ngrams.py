"""A table of hashed n-grams beside a text classifier's transformer: what a linear model remembers, trained with it.

Wide and deep learning (Cheng et al. 2016, arXiv 1606.07792) with the hashed n-grams of fastText (Joulin et al. 2016,
arXiv 1607.01759). The table's row sum over the n-grams of a text's pieces, divided by the root of their number, is
added to the transformer's logits. The hash takes nothing but products, sums and remainders of int64 numbers that do not
overflow, so torch, numpy and ONNX Runtime find the same rows.

ngrams.safetensors, beside model.safetensors: `weight`, (2^bits, C) float32, and a `NgramShape` as JSON in its metadata.
config.json names the file under `ngrams`, so a folder without it is refused.

Legend: B texts, T tokens, N lengths of n-grams, C labels.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from distil.core.errors import UserError, cut
from distil.core.params import Params
from distil.modeling.tokenizer import SpecialTokenIds

NGRAMS_FILE = "ngrams.safetensors"
FORMAT_VERSION = 1

# A polynomial in MULTIPLIER modulo the prime MODULUS: each step stays below 2^31 * 2^31 + 2^31 < 2^63.
MULTIPLIER = 1_540_483_477
MODULUS = 2**31 - 1


class NgramsConfig(Params):
    """Section `finetune.ngrams:` of params.yaml."""

    max_n: int = Field(ge=0, le=5)  # pieces of the longest n-gram; 0: no table
    bits: int = Field(ge=8, le=22)  # the table has 2^bits rows
    learning_rate: float = Field(gt=0, le=1)  # of Adagrad
    alone_weight: float = Field(ge=0, lt=1)  # of the transformer's own loss


class NgramShape(NamedTuple):
    """What a table is made for."""

    max_n: int
    bits: int
    labels: list[str]
    pieces: int  # of the tokenizer
    special: list[int]  # ids of the special pieces, whose n-grams do not count


class NgramTable(nn.Module):
    """The sum of a text's n-grams."""

    def __init__(self, shape: NgramShape) -> None:
        """Zero: at the start it adds nothing."""
        super().__init__()
        self.shape = shape
        self.weight = nn.Parameter(torch.zeros(2**shape.bits, len(shape.labels)))

    def rows(self, buckets: Tensor) -> Tensor:
        """(..., C) float32 rows of the table."""
        return functional.embedding(buckets, self.weight, sparse=True)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What is added to the logits.

        Args:
            input_ids: (B, T) int64.
            attention_mask: (B, T), 0 or false for padding.

        Returns:
            (B, C) float32; 0 for a text without an n-gram.
        """
        buckets, counted = ngram_buckets(input_ids, attention_mask, self.shape)
        total = (self.rows(buckets) * counted[..., None]).sum(dim=(1, 2))
        return total * counted.sum(dim=(1, 2)).clamp(min=1)[:, None].float().rsqrt()


class QuantisedNgramTable(NgramTable):
    """The same in 8 bits, with one scale for each label."""

    scale: Tensor

    def __init__(self, table: NgramTable) -> None:
        """Round a trained table."""
        nn.Module.__init__(self)
        self.shape = table.shape
        weight = table.weight.detach()
        scale = weight.abs().amax(dim=0).clamp(min=torch.finfo(torch.float32).tiny) / 127
        self.register_buffer("scale", scale)
        self.register_buffer("quantised", (weight / scale).round().to(torch.int8))

    def rows(self, buckets: Tensor) -> Tensor:
        """As of the table that was rounded."""
        return self.quantised[buckets].float() * self.scale  # type: ignore[index]


def ngram_buckets(input_ids: Tensor, attention_mask: Tensor, shape: NgramShape) -> tuple[Tensor, Tensor]:
    """The rows of the table for the n-grams of 1 to max_n pieces that begin at each token.

    Args:
        input_ids: (B, T) int64, T at least 1.
        attention_mask: (B, T), 0 or false for padding.
        shape: of the table.

    Returns:
        (B, T, N) int64 row numbers, and (B, T, N) bool, true where the n-gram is within the text and has no special
        piece.
    """
    length, ahead = input_ids.shape[1], shape.max_n - 1
    usable = attention_mask.bool()
    for special in shape.special:
        usable = usable & (input_ids != special)
    ids, usable = functional.pad(input_ids, (0, ahead)), functional.pad(usable, (0, ahead))
    hashed = torch.ones_like(input_ids)
    counted = torch.ones_like(input_ids, dtype=torch.bool)
    buckets, counts = [], []
    for offset in range(shape.max_n):
        hashed = torch.remainder(hashed * MULTIPLIER + ids[:, offset : offset + length] + 1, MODULUS)
        counted = counted & usable[:, offset : offset + length]
        buckets.append(torch.remainder(hashed, 2**shape.bits))
        counts.append(counted)
    return torch.stack(buckets, dim=-1), torch.stack(counts, dim=-1)


class NgramOptimizer(nn.Module):
    """Adagrad (Duchi et al. 2011) of a table; a module, so that a checkpoint holds its sums of squares.

    The gradient is sparse: a step of 16 texts takes 2 ms, with a dense one 10 (2^18 rows, three labels, one thread).
    """

    def __init__(self, table: NgramTable, learning_rate: float) -> None:
        """Start with sums of 0; the rate stays as it is, since Adagrad itself lowers it by row."""
        super().__init__()
        self._adagrad = torch.optim.Adagrad([table.weight], lr=learning_rate)
        state = self._adagrad.state[table.weight]
        self.register_buffer("sums", state["sum"])
        self.register_buffer("steps", state["step"])

    def step(self) -> None:
        """Update the table and forget the gradient."""
        with torch.sparse.check_sparse_tensor_invariants(False):  # said explicitly, torch does not warn
            self._adagrad.step()
        self._adagrad.zero_grad(set_to_none=True)


def new_table(config: NgramsConfig, labels: list[str], pieces: int, special: SpecialTokenIds) -> NgramTable:
    """A table of zeros for a model with `pieces` pieces."""
    return NgramTable(NgramShape(config.max_n, config.bits, labels, pieces, sorted(special)))


def save_table(table: NgramTable, folder: Path) -> None:
    """Write ngrams.safetensors; the same table gives the same bytes."""
    about = {"format_version": FORMAT_VERSION, **table.shape._asdict()}
    save_file({"weight": table.weight.detach().cpu().contiguous()}, folder / NGRAMS_FILE,
              metadata={"ngrams": json.dumps(about, ensure_ascii=False, sort_keys=True)})  # fmt: skip


def load_table(folder: Path, config: Mapping[str, Any], advice: str) -> NgramTable | None:
    """The table beside a text classifier, None where it has none.

    Args:
        folder: of the model.
        config: its config.json.
        advice: what to do about a fault, for the message.

    Raises:
        UserError: missing, damaged, of another format, or made for other labels or pieces.
    """
    path = folder / NGRAMS_FILE
    if not path.is_file():
        if config.get("ngrams"):
            raise UserError(f"{path}: no such file, but the model of config.json has an n-gram table; {advice}")
        return None
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["ngrams"])
            version = about.pop("format_version")
            if version != FORMAT_VERSION:
                raise UserError(f"{path}: expected format version {FORMAT_VERSION}, found {version}; {advice}")
            shape, weight = NgramShape(**about), file.get_tensor("weight")
        expected = (2**shape.bits, len(shape.labels))
        if weight.dtype != torch.float32 or tuple(weight.shape) != expected:
            raise ValueError(f"weight is {weight.dtype} of shape {tuple(weight.shape)}, expected float32 of {expected}")
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({cut(error)}); {advice}") from None
    names, pieces = config.get("id2label") or {}, int(config["vocab_size"])
    labels = [str(names[str(number)]) for number in range(len(names))]
    if shape.labels != labels:
        raise UserError(
            f"{path}: made for the labels {cut(', '.join(shape.labels))}, but the model has {cut(', '.join(labels))}; "
            f"{advice}"
        )
    if shape.pieces != pieces:
        raise UserError(f"{path}: made for {shape.pieces:,} pieces, but the model has {pieces:,}; {advice}")
    table = NgramTable(shape)
    table.load_state_dict({"weight": weight})
    return table
