"""The teacher: opened from a folder, and run to give logits at masked positions and attention of some layers.

Legend: B batch, T tokens, P masked positions, V pieces, H heads, D hidden size.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import XLMRobertaForMaskedLM, XmodForMaskedLM

from distil.core.errors import UserError
from distil.core.files import verify_checksums
from distil.modeling.config import remedy
from distil.modeling.loading import load_model

Student = XLMRobertaForMaskedLM | XmodForMaskedLM  # without and with language experts (distil/modeling/experts.py)


def load_masked_lm(folder: Path, made_by: str | None, shown: Path | None = None) -> XLMRobertaForMaskedLM:
    """An XLM-R masked language model from a Hugging Face folder, in float32, ready to read from.

    Weights are safetensors only; no code from the folder is ever run.

    Args:
        folder: config.json and model.safetensors, whole or in shards.
        made_by: the stage that writes `folder`, named in errors; None where a person chose it.
        shown: the folder to name in errors, where `folder` is a copy of it.

    Raises:
        UserError: no config, another architecture, or weights that are missing, damaged or not those of the model.
    """
    if made_by:
        verify_checksums(folder, made_by)
    return load_model(XLMRobertaForMaskedLM, folder, remedy(made_by), shown=shown)


def resolve_layer(layer: int, layers: int, where: str) -> int:
    """A layer's number counted from 1; -1 is the last.

    Raises:
        UserError: there is no such layer.
    """
    resolved = layer + layers + 1 if layer < 0 else layer
    if not 1 <= resolved <= layers:
        raise UserError(f"{where}: expected a layer from 1 to {layers} (or -{layers} to -1), found {layer}")
    return resolved


def attention_rows(queries: Tensor, keys: Tensor, heads: int, sequence: Tensor, query: Tensor, mask: Tensor) -> Tensor:
    """Attention probabilities of some queries (Vaswani et al. 2017, equation 1), in float32.

    Args:
        queries: (B, T, D) projected, all heads side by side.
        keys: (B, T, D) likewise.
        heads: H.
        sequence: (R,) int64, row of the batch, not decreasing.
        query: (R,) int64, position of the query.
        mask: (B, T) bool, true at tokens.

    Returns:
        (R, H, T) probabilities; 0 at padding.
    """
    batch, tokens, width = keys.shape
    rows = queries[sequence, query].view(-1, heads, width // heads)  # (R, H, D/H)
    split = keys.view(batch, tokens, heads, width // heads)  # (B, T, H, D/H)
    # All rows of a sequence at once: pad them to the longest list, so that one batched product serves.
    counts = torch.bincount(sequence, minlength=batch)
    slot = torch.arange(len(sequence), device=sequence.device) - (counts.cumsum(0) - counts)[sequence]
    stacked = rows.new_zeros(batch, int(counts.max()), heads, width // heads).index_put((sequence, slot), rows)
    scores = torch.einsum("brhd,bthd->brht", stacked, split).float() * (width // heads) ** -0.5
    scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)
    return scores.softmax(dim=-1)[sequence, slot]


class AttentionTap:
    """Attention probabilities of chosen layers, while every layer runs fused attention.

    Fused attention returns no probabilities, and transformers' eager attention would slow every layer down. A hook
    takes the input of each chosen layer; its queries and keys are projected a second time, with the layer's own
    weights, only when `probs` is asked for. Gradients flow, so a student is read in the same way.
    """

    def __init__(self, model: Student, layers: list[int]) -> None:
        """Hook `layers` (counted from 1) of a model."""
        self.layers = layers
        self._inputs: dict[int, Tensor] = {}
        encoder: Any = model.roberta.encoder.layer
        self._attention: dict[int, Any] = {layer: encoder[layer - 1].attention.self for layer in layers}
        self._hooks = [
            module.register_forward_pre_hook(self._keep(layer), with_kwargs=True)
            for layer, module in self._attention.items()
        ]

    def _keep(self, layer: int) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            # Of a pass in bfloat16 too, what is made of it is float32.
            self._inputs[layer] = (args[0] if args else kwargs["hidden_states"]).float()

        return hook

    def probs(self, layer: int, sequence: Tensor, query: Tensor, mask: Tensor) -> Tensor:
        """Rows of one layer's attention in the last forward pass.

        Args:
            layer: one of those hooked.
            sequence: (R,) int64, row of the batch.
            query: (R,) int64, position of the query.
            mask: (B, T) bool, true at tokens.

        Returns:
            (R, H, T) float32 probabilities; 0 at padding. Dropout takes no part.
        """
        hidden, module = self._inputs[layer], self._attention[layer]
        heads = module.num_attention_heads
        return attention_rows(module.query(hidden), module.key(hidden), heads, sequence, query, mask)

    def vectors(self, layer: int, names: tuple[str, ...]) -> dict[str, Tensor]:
        """(B, T, D) each: one layer's query, key or value vectors in the last forward pass, all heads side by side."""
        projections = self.projections(layer)
        return {name: projections[name](self._inputs[layer]) for name in names}

    def inputs(self, layer: int) -> Tensor:
        """(B, T, D) what went into one layer's attention in the last forward pass."""
        return self._inputs[layer]

    def projections(self, layer: int) -> dict[str, nn.Linear]:
        """One layer's query, key and value projections."""
        module = self._attention[layer]
        return {"query": module.query, "key": module.key, "value": module.value}

    def close(self) -> None:
        """Take the hooks out again."""
        for hook in self._hooks:
            hook.remove()


class MaskedHead:
    """The masked-LM head at chosen positions and over chosen pieces only."""

    def __init__(self, model: Student, piece_ids: Tensor | None = None) -> None:
        """`piece_ids` (V,) int64 restricts the head to these pieces, in this order; None keeps all."""
        self._head = model.lm_head
        decoder = model.lm_head.decoder
        every = piece_ids is None or (
            len(piece_ids) == len(decoder.weight)
            and torch.equal(piece_ids, torch.arange(len(piece_ids), device=piece_ids.device))
        )
        self.weight = decoder.weight if every else decoder.weight.detach()[piece_ids]  # (V, D)
        self.bias = decoder.bias if every else decoder.bias.detach()[piece_ids]  # (V,)

    def states(self, hidden: Tensor) -> Tensor:
        """(P, D) the head's last hidden state, from which the scores are linear, from the encoder's output (P, D)."""
        return self._head.layer_norm(nn.functional.gelu(self._head.dense(hidden)))

    def logits(self, hidden: Tensor) -> Tensor:
        """(P, V) unnormalised scores from the encoder's output (P, D)."""
        return nn.functional.linear(self.states(hidden), self.weight, self.bias)
