"""Language experts on an XLM-R student: transformers' X-MOD (Pfeiffer et al. 2022, arXiv 2205.06266).

An expert is a bottleneck in each layer for one language: h becomes h + W2 gelu(W1 LN(h)), with the layer's own norm.
W2 starts at zero, so a new expert changes nothing, and a language without an expert (`NO_EXPERT`) is computed as
without any, bit for bit. A frozen trunk with an expert for a new language is the idea of MoE-CT (Li et al. 2024, arXiv
2407.00875).

A folder with experts has model_type xmod, the languages with an expert under `languages` and all of them, in the order
of tables, under `student_languages` in config.json, and language_gate.safetensors: which language a text is in.
Legend: B rows, T tokens, D hidden size, L languages, E experts, W width of an expert.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import XmodConfig, XmodForMaskedLM
from transformers.models.xmod.modeling_xmod import XmodEmbeddings

from distil.core.arrays import read_arrays, write_arrays
from distil.core.errors import UserError
from distil.modeling.config import EXPERTS
from distil.modeling.loading import load_model
from distil.modeling.xlm_roberta import Student, load_masked_lm

NO_EXPERT = -1  # X-MOD adds nothing for a language number that no expert has
BY_GATE = -1  # in place of a language's number: the gate decides
GATE_FILE = "language_gate.safetensors"


def has_experts(folder: Path) -> bool:
    """Whether the model of a folder has language experts; of a damaged config.json no, and its reader refuses it."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"] == EXPERTS
    except (OSError, ValueError, KeyError, TypeError):
        return False


def load_student(folder: Path, made_by: str) -> Student:
    """A student, with language experts or without, as `load_masked_lm`."""
    if not has_experts(folder):
        return load_masked_lm(folder, made_by)
    return load_model(XmodForMaskedLM, folder, f"run `dvc repro --force {made_by}`")


@torch.no_grad()
def add_experts(model: Student, new: Sequence[str], languages: Sequence[str], width: int) -> XmodForMaskedLM:
    """The same model with experts for more languages; it computes what `model` does until they are trained.

    W1 is drawn from torch's global generator, W2 is zero.

    Args:
        model: a student; read only.
        new: languages that get an expert.
        languages: all languages of the result, in the order of tables.
        width: W, a divisor of D and that of the experts that `model` has.
    """
    old = model.config.to_dict()
    known: dict[str, Any] = {
        name: old[name] for name in XmodConfig.__dataclass_fields__ if name in old and name != "model_type"
    }
    known |= {
        "adapter_reduction_factor": model.config.hidden_size // width, "adapter_reuse_layer_norm": True,
        "ln_before_adapter": False, "languages": [*expert_languages(model), *new],
        "student_languages": list(languages),
    }  # fmt: skip
    result = XmodForMaskedLM(XmodConfig(**known))
    for layer in _layers(result):
        for expert in layer.output.adapter_modules.values():
            expert.dense2.weight.zero_()
            expert.dense2.bias.zero_()
    result.load_state_dict(model.state_dict(), strict=False)
    return result.eval()


def expert_languages(model: Any) -> list[str]:
    """Languages with an expert, in the order of their numbers; none of an XLM-R model."""
    return list(model.config.languages) if model.config.model_type == EXPERTS else []


def expert_ids(model: Any, languages: Sequence[str]) -> Tensor | None:
    """(L,) int64: which expert each language has, `NO_EXPERT` for none; None for an XLM-R model."""
    if model.config.model_type != EXPERTS:
        return None
    known = expert_languages(model)
    return torch.tensor([known.index(code) if code in known else NO_EXPERT for code in languages])


def _layers(model: Any) -> Any:
    return model.roberta.encoder.layer


class LanguageGate(NamedTuple):
    """A linear model of the mean word embedding of a text: scores = mean @ weight.T + bias."""

    weight: np.ndarray  # (L, D) float32
    bias: np.ndarray  # (L,) float32

    def save(self, folder: Path) -> None:
        """Write language_gate.safetensors."""
        write_arrays(folder / GATE_FILE, self._asdict())


def copy_gate(source: Path, folder: Path) -> None:
    """Copy the gate of a student with experts beside a model that was made of it."""
    if has_experts(source):
        shutil.copyfile(source / GATE_FILE, folder / GATE_FILE)


def read_gate(folder: Path, languages: int, hidden_size: int, made_by: str) -> LanguageGate:
    """The gate beside a model.

    Raises:
        UserError: missing, damaged, or of another model.
    """
    arrays = read_arrays(folder / GATE_FILE, made_by)
    expected, found = {"weight": (languages, hidden_size), "bias": (languages,)}, {
        name: array.shape for name, array in arrays.items()
    }  # fmt: skip
    if found != expected:
        raise UserError(
            f"{folder / GATE_FILE}: expected arrays of the shapes {expected}, found {found}; run `dvc repro --force "
            f"{made_by}` or download the folder again"
        )
    return LanguageGate(**arrays)


class DenseExperts(nn.Module):
    """The end of an X-MOD layer with all experts as one pair of matrices and a gate of 0 and 1 between them.

    W2 (g * gelu(W1 LN(h))): no operator depends on data, as the loop over languages in X-MOD does.
    """

    def __init__(self, output: Any) -> None:
        """`output`: the layer's, whose weights are shared."""
        super().__init__()
        self.dense, self.LayerNorm = output.dense, output.LayerNorm
        experts = list(output.adapter_modules.values())
        self.width = experts[0].bottleneck_size
        self.narrow = nn.Linear(self.dense.out_features, len(experts) * self.width)
        self.widen = nn.Linear(len(experts) * self.width, self.dense.out_features, bias=False)
        self.bias = nn.Parameter(torch.stack([expert.dense2.bias.detach() for expert in experts]))  # (E, D)
        with torch.no_grad():
            self.narrow.weight.copy_(torch.cat([expert.dense1.weight for expert in experts]))
            self.narrow.bias.copy_(torch.cat([expert.dense1.bias for expert in experts]))
            self.widen.weight.copy_(torch.cat([expert.dense2.weight for expert in experts], dim=1))

    def forward(self, hidden_states: Tensor, input_tensor: Tensor, lang_ids: Tensor) -> Tensor:
        """(B, T, D), before the layer's norm; `lang_ids` (B, E) float32, 1 at the text's expert."""
        hidden = self.dense(hidden_states) + input_tensor
        # No product of matrices with the gate: the quantiser would round its 0 and 1.
        gates = lang_ids[:, :, None].expand(-1, -1, self.width).flatten(1)
        inner = gates[:, None] * functional.gelu(self.narrow(self.LayerNorm(hidden)))
        bias = (lang_ids[:, :, None] * self.bias).sum(dim=1)
        return self.widen(inner) + bias[:, None] + hidden


class GatedStudent(nn.Module):
    """A model with experts that detects the language of each text unless the caller gives it."""

    language_of: Tensor

    def __init__(self, model: Any, gate: LanguageGate) -> None:
        """`model`: an Xmod... of transformers in evaluation mode; changed in place."""
        super().__init__()
        languages = model.config.student_languages
        for layer in _layers(model):
            layer.output = DenseExperts(layer.output)
        self.model, self.config = model, model.config
        self.weight, self.bias = (nn.Parameter(torch.from_numpy(array.copy())) for array in gate)
        self.register_buffer("language_of", torch.tensor([languages.index(code) for code in model.config.languages]))

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings."""
        return self.model.get_input_embeddings()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, language: Tensor | None = None) -> Any:
        """What the model of transformers returns.

        Args:
            input_ids: (B, T) int64.
            attention_mask: (B, T) int64 or bool.
            language: (1,) int64 number of all texts' language, BY_GATE or None: the gate decides for each.
        """
        words = self.get_input_embeddings()(input_ids)
        chosen = self.choose(words, attention_mask)
        if language is not None:
            chosen = torch.where(language >= 0, language, chosen)
        pad = self.config.pad_token_id
        return self.model(
            inputs_embeds=words, attention_mask=attention_mask, lang_ids=(chosen[:, None] == self.language_of).float(),
            position_ids=XmodEmbeddings.create_position_ids_from_input_ids(input_ids, pad),
        )  # fmt: skip

    def choose(self, words: Tensor, attention_mask: Tensor) -> Tensor:
        """(B,) int64 numbers of languages, from word embeddings (B, T, D)."""
        mask = attention_mask[:, :, None].to(words.dtype)
        mean = (words * mask).sum(dim=1) / mask.sum(dim=1)
        return ((mean[:, None] * self.weight).sum(dim=2) + self.bias).argmax(dim=1)
