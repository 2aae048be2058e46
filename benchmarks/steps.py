"""The optimiser steps that the benchmarks compare: from the cache, without a teacher, with the teacher in the loop.

All of them read the same batches, train students of the same shape and use the same optimiser, clipping included.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import XLMRobertaForMaskedLM

from distil.compute.precision import Precision, autocast
from distil.losses.logits import masked_lm
from distil.modeling.xlm_roberta import AttentionTap, MaskedHead
from distil.training.data_loader import Batch
from distil.training.objective import Objective, masked_mean

TEMPERATURE = 2.0
Work = Callable[[Batch], None]


def stepping(student: XLMRobertaForMaskedLM, loss: Callable[[Batch], Tensor], *more: nn.Module) -> Work:
    """One optimiser step on `loss`, as distil/training/trainer.py does it; `more` is trained beside the student."""
    parameters = [p for module in (student, *more) for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    student.train()

    def step(batch: Batch) -> None:
        value = loss(batch)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def from_cache(student: XLMRobertaForMaskedLM, objective: Objective, precision: Precision = "float32") -> Work:
    """What stage distil does."""

    def loss(batch: Batch) -> Tensor:
        with autocast(student.device, precision):
            logits = objective.logits(batch)
        return objective.total(objective.terms(batch, logits.float(), "train"))

    return stepping(student, loss, objective)


def plain_masked_lm(student: XLMRobertaForMaskedLM) -> Work:
    """Masked-LM training without a teacher, scores at the masked places only."""
    head = MaskedHead(student)

    def loss(batch: Batch) -> Tensor:
        hidden = student.roberta(batch.input_ids, attention_mask=batch.mask).last_hidden_state
        return masked_mean(masked_lm(head.logits(hidden[batch.masked_sequence, batch.masked_position]), batch.gold))

    return stepping(student, loss)


def online(
    student: XLMRobertaForMaskedLM, teacher: XLMRobertaForMaskedLM, pieces: Tensor | None,
    precision: Precision = "float32",
) -> Work:  # fmt: skip
    """The teacher in every step, as toolkits do it: eager attention returned by every layer, scores at every token.

    Args:
        student: the model that is trained; switched to eager attention.
        teacher: read only; likewise.
        pieces: (V,) the teacher's id of each piece of the student; None where they are the same.
        precision: of both models' matrix products; losses are float32.
    """
    for model in (student, teacher):
        model.set_attn_implementation("eager")

    def loss(batch: Batch) -> Tensor:
        read = batch.input_ids if pieces is None else pieces[batch.input_ids]
        with torch.no_grad(), autocast(teacher.device, precision):
            says = teacher(read, attention_mask=batch.mask, output_attentions=True)
            scores = says.logits if pieces is None else says.logits[..., pieces]
        with autocast(student.device, precision):
            found = student(batch.input_ids, attention_mask=batch.mask, output_attentions=True)
        target = (scores.float() / TEMPERATURE).log_softmax(dim=-1)
        ours = (found.logits.float() / TEMPERATURE).log_softmax(dim=-1)
        kl = nn.functional.kl_div(ours, target, log_target=True, reduction="none").sum(dim=-1)[batch.mask].mean()
        maps = found.attentions[-1].float().mean(dim=1) - says.attentions[-1].float().mean(dim=1)
        return 0.5 * TEMPERATURE**2 * kl + 0.5 * maps.square()[batch.mask].mean()

    return stepping(student, loss)


def lean_online(
    student: XLMRobertaForMaskedLM, teacher: XLMRobertaForMaskedLM, pieces: Tensor | None,
    precision: Precision = "float32",
) -> Work:  # fmt: skip
    """The best online step that we can make: fused attention, scores at masked places, one layer's maps."""
    heads = MaskedHead(student), MaskedHead(teacher, pieces)
    layers = student.config.num_hidden_layers, teacher.config.num_hidden_layers
    taps = AttentionTap(student, [layers[0]]), AttentionTap(teacher, [layers[1]])

    def loss(batch: Batch) -> Tensor:
        read = batch.input_ids if pieces is None else pieces[batch.input_ids]
        at = batch.masked_sequence, batch.masked_position
        row, query = batch.query_sequence, batch.query_position
        with torch.no_grad():
            with autocast(teacher.device, precision):
                hidden = teacher.roberta(read, attention_mask=batch.mask).last_hidden_state
                scores = heads[1].logits(hidden[at])
            target = (scores.float() / TEMPERATURE).log_softmax(dim=-1)
            maps = taps[1].probs(layers[1], row, query, batch.mask).mean(dim=1)
        with autocast(student.device, precision):
            hidden = student.roberta(batch.input_ids, attention_mask=batch.mask).last_hidden_state
            scores = heads[0].logits(hidden[at])
        ours = (scores.float() / TEMPERATURE).log_softmax(dim=-1)
        kl = nn.functional.kl_div(ours, target, log_target=True, reduction="none").sum(dim=-1).mean()
        difference = taps[0].probs(layers[0], row, query, batch.mask).mean(dim=1) - maps
        return 0.5 * TEMPERATURE**2 * kl + 0.5 * difference.square().mean()

    return stepping(student, loss)
