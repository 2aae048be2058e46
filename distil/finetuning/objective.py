"""The loss of each unit of a training step: from labels, and from the teachers where the rows have their soft labels.

A unit is a text or a word (distil/finetuning/encoding.py). U units of a batch, C labels.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from distil.compute.precision import autocast
from distil.finetuning.classifier import Classifier, unit_logits
from distil.finetuning.config import FineTuningRecipe
from distil.finetuning.encoding import Encoded
from distil.finetuning.losses import confidence, task_distillation


def unit_losses(model: Classifier, rows: Encoded, batch: np.ndarray, recipe: FineTuningRecipe, pad_id: int) -> Tensor:
    """(U,) nats of the units with a place in some rows.

    With n-grams the transformer has a share of the loss to itself: the table soon fits the training rows, and what is
    left of the common loss teaches the transformer little.

    Args:
        model: in training.
        rows: all that it is trained on.
        batch: numbers of those to score.
        recipe: precision and the weights of the parts.
        pad_id: of the tokenizer.
    """
    with autocast(model.device, recipe.precision):
        logits, alone, units = unit_logits(model, rows, batch, pad_id)
    losses = _losses(model, logits, rows, units, batch, recipe)
    if recipe.ngrams is None:
        return losses
    weight = recipe.ngrams.alone_weight
    return (1 - weight) * losses + weight * _losses(model, alone, rows, units, batch, recipe)


def _losses(
    model: Classifier, logits: Tensor, rows: Encoded, units: np.ndarray, batch: np.ndarray, recipe: FineTuningRecipe
) -> Tensor:
    """(U,) of (U, C) logits."""
    gold_losses = teacher_losses = None
    if model.chain is not None:
        marginals = rows.teacher is not None and rows.sequences is None
        logits, gold_losses, teacher_losses = model.chain(logits, rows, batch, marginals)
    gold = torch.from_numpy(rows.gold[units]).to(logits.device)
    if rows.teacher is None:
        return functional.cross_entropy(logits, gold, reduction="none") if gold_losses is None else gold_losses
    teacher = torch.from_numpy(rows.teacher[units]).to(logits.device)
    losses = task_distillation(logits, gold, teacher, recipe.temperature, recipe.weight, gold_losses, teacher_losses)
    if recipe.unlabelled is None or recipe.unlabelled.weight == "even":
        return losses
    return losses * torch.where(gold >= 0, torch.ones_like(losses), confidence(teacher))
