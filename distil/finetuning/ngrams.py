"""A table of hashed n-grams beside a classifier's transformer: what a linear model remembers, trained with it.

Wide and deep learning (Cheng et al. 2016, arXiv 1606.07792) with the hashed n-grams of fastText (Joulin et al. 2016,
arXiv 1607.01759). The sum of the table's rows over the n-grams of a text's pieces, divided by the root of their number,
is added to the transformer's logits. A tagger has such a sum at each token, over the n-grams that begin within a window
around it; each is marked with its distance, so the same pieces before and after a word have rows of their own. The hash
takes nothing but products, sums and remainders of int64 numbers that do not overflow, so torch, numpy and ONNX Runtime
find the same rows.

ngrams.safetensors, beside model.safetensors: `weight`, (2^bits, C) float32, and a `NgramShape` as JSON in its metadata.
config.json names the file under `ngrams`, so a folder without it is refused.

Legend: B texts, T tokens, N n-grams at a token (their lengths times the places in the window), C labels.
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
    tag_window: int = Field(ge=0, le=5)  # pieces before and after a word; 0: taggers have no table
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
    window: int = 0  # of a tagger, pieces on either side of a token; 0: of texts


class NgramTable(nn.Module):
    """The sum of the n-grams of a text, or of those around each of its tokens."""

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
            (B, C) float32, of a tagger (B, T, C); 0 without an n-gram.
        """
        buckets, counted = ngram_buckets(input_ids, attention_mask, self.shape)
        over = (2,) if self.shape.window else (1, 2)
        total = (self.rows(buckets) * counted[..., None]).sum(dim=over)
        return total * counted.sum(dim=over).clamp(min=1)[..., None].float().rsqrt()


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
    """The rows of the table for the n-grams of 1 to max_n pieces that begin at each token, or in the window around it.

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
    ids, usable = _windows(input_ids, shape.window, ahead), _windows(usable, shape.window, ahead)
    # The place in the window is what the hash begins with.
    hashed = torch.zeros_like(ids[:, :length]) + torch.arange(1, 2 * shape.window + 2, device=ids.device)
    counted = torch.ones_like(hashed, dtype=torch.bool)
    buckets, counts = [], []
    for offset in range(shape.max_n):
        hashed = torch.remainder(hashed * MULTIPLIER + ids[:, offset : offset + length] + 1, MODULUS)
        counted = counted & usable[:, offset : offset + length]
        buckets.append(torch.remainder(hashed, 2**shape.bits))
        counts.append(counted)
    return torch.cat(buckets, dim=-1), torch.cat(counts, dim=-1)


def _windows(of_tokens: Tensor, window: int, ahead: int) -> Tensor:
    """(B, T + ahead, 2 * window + 1): for each token what is `window` tokens before it to `window` behind; 0 beyond."""
    width = of_tokens.shape[1] + ahead
    padded = functional.pad(of_tokens, (window, window + ahead))
    return torch.stack([padded[:, first : first + width] for first in range(2 * window + 1)], dim=-1)


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


def new_table(config: NgramsConfig, kind: str, labels: list[str], pieces: int, special: SpecialTokenIds) -> NgramTable:
    """A table of zeros for a classifier of `kind` with `pieces` pieces."""
    window = config.tag_window if kind == "token_classification" else 0
    return NgramTable(NgramShape(config.max_n, config.bits, labels, pieces, sorted(special), window))


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
    tagger = any(str(name).endswith("ForTokenClassification") for name in config.get("architectures") or [])
    if tagger != bool(shape.window):
        made, has = ("words", "texts") if shape.window else ("texts", "words")
        raise UserError(f"{path}: made for {made}, but the model classifies {has}; {advice}")
    if shape.pieces != pieces:
        raise UserError(f"{path}: made for {shape.pieces:,} pieces, but the model has {pieces:,}; {advice}")
    table = NgramTable(shape)
    table.load_state_dict({"weight": weight})
    return table
