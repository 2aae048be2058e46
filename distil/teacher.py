"""The teacher: opened from a folder, and run to give logits at masked positions and attention of some layers.

Legend: B batch, T tokens, P masked positions, V pieces, H heads, D hidden size.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, XLMRobertaForMaskedLM
from transformers.utils import logging as transformers_logging

from distil.errors import UserError

SUPPORTED = "xlm-roberta"


def load_masked_lm(folder: Path, made_by: str) -> XLMRobertaForMaskedLM:
    """An XLM-R masked language model from a Hugging Face folder, in float32, ready to read from.

    Weights are safetensors only; no code from the folder is ever run.

    Raises:
        UserError: no config, another architecture, no weights, or weights that are damaged.
    """
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    again = f"run `dvc repro --force {made_by}`"
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: expected a model folder with config.json, found none; {again}")
    if not (folder / "model.safetensors").is_file() and not (folder / "model.safetensors.index.json").is_file():
        raise UserError(f"{folder}: expected weights in model.safetensors, found none; {again}")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}/config.json: not a model's config ({_first_line(error)}); {again}") from None
    if config.model_type != SUPPORTED:
        raise UserError(
            f"{folder}/config.json: model_type: expected {SUPPORTED}, found {config.model_type}; any XLM-R masked "
            "language model works, such as Davlan/afro-xlmr-large, Davlan/afro-xlmr-base or FacebookAI/xlm-roberta-base"
        )
    try:
        loaded: Any = XLMRobertaForMaskedLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder}: the weights do not load ({_first_line(error)}); {again}") from None
    except SafetensorError as error:
        raise UserError(f"{folder}/model.safetensors: damaged ({_first_line(error)}); {again}") from None
    model, loading = loaded
    missing = sorted(name for name in loading["missing_keys"] if "lm_head" in name or "encoder" in name)
    if missing:
        raise UserError(
            f"{folder}: expected a masked language model with its head, found no weights for {missing[0]} and "
            f"{len(missing) - 1} more; use a model trained with masked-LM, not one without its head"
        )
    return model.eval()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def resolve_layer(layer: int, layers: int, where: str) -> int:
    """A layer's number counted from 1; -1 is the last.

    Raises:
        UserError: there is no such layer.
    """
    resolved = layer + layers + 1 if layer < 0 else layer
    if not 1 <= resolved <= layers:
        raise UserError(f"{where}: expected a layer from 1 to {layers} (or -{layers} to -1), found {layer}")
    return resolved


class AttentionTap:
    """Attention probabilities of chosen layers, while every layer runs fused attention.

    Fused attention returns no probabilities, and transformers' eager attention would slow every layer down. A hook
    takes the input of each chosen layer; its queries and keys are projected a second time, with the layer's own
    weights, only when `probs` is asked for. Gradients flow, so a student is read in the same way.
    """

    def __init__(self, model: XLMRobertaForMaskedLM, layers: list[int]) -> None:
        """Hook `layers` (counted from 1) of an XLM-R model."""
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
            self._inputs[layer] = args[0] if args else kwargs["hidden_states"]

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
        heads, size = module.num_attention_heads, module.attention_head_size
        queries = module.query(hidden[sequence, query]).view(-1, heads, size)  # (R, H, D/H)
        keys = module.key(hidden).view(*hidden.shape[:2], heads, size)  # (B, T, H, D/H)
        # All rows of a sequence at once: pad the rows to the longest list, so that one batched product serves.
        order = torch.zeros(len(hidden), dtype=torch.int64, device=hidden.device)
        counts = order.index_add(0, sequence, torch.ones_like(sequence))
        slot = torch.arange(len(sequence), device=hidden.device) - (counts.cumsum(0) - counts)[sequence]
        stacked = queries.new_zeros(len(hidden), int(counts.max()), heads, size)
        stacked = stacked.index_put((sequence, slot), queries)
        scores = torch.einsum("brhd,bthd->brht", stacked, keys).float() * module.scaling
        scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)
        return scores.softmax(dim=-1)[sequence, slot]

    def close(self) -> None:
        """Take the hooks out again."""
        for hook in self._hooks:
            hook.remove()


class MaskedHead:
    """The masked-LM head at chosen positions and over chosen pieces only."""

    def __init__(self, model: XLMRobertaForMaskedLM, piece_ids: Tensor | None = None) -> None:
        """`piece_ids` (V,) int64 restricts the head to these pieces, in this order; None keeps all."""
        self._head = model.lm_head
        decoder = model.lm_head.decoder
        every = piece_ids is None or (
            len(piece_ids) == len(decoder.weight) and bool((piece_ids == torch.arange(len(piece_ids))).all())
        )
        self._weight = decoder.weight if every else decoder.weight.detach()[piece_ids]
        self._bias = decoder.bias if every else decoder.bias.detach()[piece_ids]

    def logits(self, hidden: Tensor) -> Tensor:
        """(P, V) unnormalised scores from the encoder's output (P, D)."""
        transformed = self._head.layer_norm(nn.functional.gelu(self._head.dense(hidden)))
        return nn.functional.linear(transformed, self._weight, self._bias)
