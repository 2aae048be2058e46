"""Several adapted teachers merged onto the model that they were adapted from (model soups, TIES, DARE).

Adaptations to one language each, or to several kinds of text, become one teacher of the same size. Merged weights are
taken where they predict held-out text better than the base and each of the models alone.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from transformers import XLMRobertaForMaskedLM

from distil.core.params import Params
from distil.modeling.xlm_roberta import load_masked_lm
from distil.teacher.adaptation import AdaptConfig, measure, read_texts, weights_of
from distil.teacher.merge_methods import check_shapes, merge
from distil.teacher.model_folders import check_pieces, model_folders

log = logging.getLogger("distil")


class TeacherMergeConfig(Params):
    """Section `teacher.merge:` of params.yaml."""

    method: Literal["none", "linear", "slerp", "ties", "dare"]
    path: str = Field(min_length=1)
    density: float = Field(gt=0, le=1)


def merge_teachers(
    model: XLMRobertaForMaskedLM, tokenizer: Path, config: TeacherMergeConfig, adapt: AdaptConfig, languages: list[str],
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Give `model` the weights that predict held-out text best: its own, those of one of the models, or the merged.

    Args:
        model: the base.
        tokenizer: a folder with its tokenizer.json.
        config: which models, and how they are merged; its method is not none.
        adapt: whose held-out text and masks are taken.
        languages: codes; each counts alike.
        seed: decides masks, and what dare drops.

    Returns:
        The entry of the manifest of models/teacher (docs/reference/output-files.md).

    Raises:
        UserError: fewer than two models, one of another shape or vocabulary, or no text to measure on.
    """
    assert config.method != "none"
    folders = model_folders(Path(config.path), 2, "teacher.merge.path", "set teacher.merge.method to none")
    room = model.config.max_position_embeddings - 2
    texts = read_texts(languages, adapt, room, "set teacher.merge.method to none")
    base, models = weights_of(model), dict[str, Mapping[str, Tensor]]()
    for folder in folders:
        check_pieces(folder, tokenizer)
        models[folder.name] = weights_of(load_masked_lm(folder, None))
        check_shapes(models[folder.name], base, str(folder), "the teacher")

    def loss(weights: Mapping[str, Tensor]) -> dict[str, float]:
        _put(model, weights)
        return {code: nats for code, (nats, _) in measure(model, tokenizer, texts.heldout, adapt, seed).items()}

    alone: dict[tuple[str, ...], Mapping[str, Tensor]] = {(): base, **{(name,): models[name] for name in models}}
    losses = {names: loss(weights) for names, weights in alone.items()}
    best = min(losses, key=lambda names: fmean(losses[names].values()))
    together = losses[tuple(models)] = loss(merge(config.method, list(models.values()), base, config.density, seed))
    if fmean(together.values()) < fmean(losses[best].values()):
        best = tuple(models)
    else:
        _put(model, alone[best])
    log.info("teacher: merged by %s, held-out masked-LM loss %.3f nats; kept: %s", config.method,
             fmean(together.values()), ", ".join(best) or "the base")  # fmt: skip
    return {
        "method": config.method,
        "density": config.density,
        "kept": list(best),
        "masked_lm": {
            "base": _rounded(losses[()]),
            "models": {name: _rounded(losses[(name,)]) for name in models},
            "merged": _rounded(together),
        },
    }


@torch.no_grad()
def _put(model: XLMRobertaForMaskedLM, weights: Mapping[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])


def _rounded(losses: Mapping[str, float]) -> dict[str, float]:
    return {code: round(nats, 6) for code, nats in losses.items()}
