"""The student's loss on a batch: which terms, on which layers, with which weights."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from transformers import XLMRobertaForMaskedLM

from distil.batches import Batch
from distil.cache import TeacherCache
from distil.errors import UserError
from distil.losses import attention_mse, combine_heads, logit_kd, masked_lm, masked_mean
from distil.params import Params
from distil.targets import weigh_entries
from distil.teacher import AttentionTap, MaskedHead, attention_rows, resolve_layer


class LossConfig(Params):
    """Section `loss:` of params.yaml."""

    alpha: float = Field(ge=0, le=1)
    temperature: float = Field(gt=0, le=100)
    attention_projection: Literal["learned", "mean"]
    masked_lm: float = Field(ge=0)


class LayerPair(Params):
    """One line of `layer_map:` in params.yaml; layers count from 1, -1 is the last."""

    student: int
    teacher: int


class Terms(NamedTuple):
    """The unreduced parts of a batch's loss and the language of each element."""

    logit_kd: Tensor  # (P,)
    attention: Tensor  # (R,); empty without attention
    masked_lm: Tensor  # (P,); empty when its weight is 0
    position_languages: Tensor  # (P,)
    row_languages: Tensor  # (R,)


class Objective(nn.Module):
    """alpha * T² * KL + (1 - alpha) * attention MSE (AfroXLMR-Comet), plus masked_lm * cross-entropy.

    Holds what is learned beside the student: how its heads combine into each cached map.
    """

    def __init__(
        self, student: XLMRobertaForMaskedLM, cache: TeacherCache, loss: LossConfig, layer_map: list[LayerPair]
    ) -> None:
        """Match the layer map with the student and with what is cached.

        Raises:
            UserError: a layer that the student does not have or whose attention is not cached.
        """
        super().__init__()
        self.loss = loss
        self.sampling = {split: cache.logit_format(split) for split in ("train", "heldout")}
        layers = student.config.num_hidden_layers
        self.pairs: list[tuple[int, int]] = []  # student layer, place among the cached layers
        for pair in layer_map if loss.alpha < 1 else []:
            where = "params.yaml: layer_map"
            teacher = resolve_layer(pair.teacher, cache.manifest["teacher"]["num_hidden_layers"], f"{where}.teacher")
            if teacher not in cache.layers:
                raise UserError(
                    f"{where}: teacher layer {pair.teacher}: expected one of the cached layers {cache.layers}, found "
                    f"{teacher}; add it to cache_teacher.attention_layers"
                )
            self.pairs.append((resolve_layer(pair.student, layers, f"{where}.student"), cache.layers.index(teacher)))
        if loss.alpha < 1 and not self.pairs:
            raise UserError(
                f"params.yaml: loss.alpha: {loss.alpha} asks for attention, but layer_map is empty; set loss.alpha "
                "to 1 or "
                "name a pair of layers"
            )
        self.maps = cache.heads
        kept = {name: torch.tensor(array) for name, array in cache.projections().items()}
        self._projections = [
            [(kept[f"{layer}.{name}.weight"], kept[f"{layer}.{name}.bias"]) for name in ("query", "key")]
            for layer in cache.layers
            if kept
        ]
        shape = (max(1, len(self.pairs)), cache.heads, student.config.num_attention_heads)
        self.heads = nn.Parameter(torch.zeros(shape), requires_grad=loss.attention_projection == "learned")
        self._student = [student]  # in a list, so that its parameters are not counted as ours
        self._head = MaskedHead(student)
        self._tap = AttentionTap(student, sorted({student_layer for student_layer, _ in self.pairs}))

    def logits(self, batch: Batch) -> Tensor:
        """(P, V) the student's scores at the masked positions; fills the attention taps."""
        hidden = self._student[0].roberta(batch.input_ids, attention_mask=batch.mask).last_hidden_state
        return self._head.logits(hidden[batch.masked_sequence, batch.masked_position])

    def terms(self, batch: Batch, logits: Tensor, split: str) -> Terms:
        """The parts of the loss, unreduced."""
        form = self.sampling[split]
        targets = weigh_entries(batch.kept, form.form, self.loss.temperature, form.sampling_temperature)
        empty = logits.new_zeros(0)
        rows = []
        for number, (student_layer, place) in enumerate(self.pairs):
            probs = self._tap.probs(student_layer, batch.row_sequence, batch.row_query, batch.mask)
            combined = combine_heads(probs, self.heads[number])
            rows.append(attention_mse(combined, self._teacher_rows(batch, place), batch.row_lengths))
        return Terms(
            logit_kd(logits, targets, self.loss.temperature),
            torch.stack(rows).mean(dim=0) if rows else empty,
            masked_lm(logits, batch.gold) if self.loss.masked_lm else empty,
            batch.languages[batch.masked_sequence],
            batch.languages[batch.row_sequence],
        )

    def _teacher_rows(self, batch: Batch, place: int) -> Tensor:
        """(R, H, T) the teacher's attention in the cached layer number `place`."""
        if not self._projections:
            return batch.attention[:, place * self.maps : (place + 1) * self.maps]
        states = batch.attention[:, place]
        inputs = states.new_zeros(*batch.mask.shape, states.shape[1])
        inputs[batch.row_sequence, batch.row_query] = states
        query, key = (
            F.linear(inputs, weight.to(inputs.device), bias.to(inputs.device))
            for weight, bias in self._projections[place]
        )
        return attention_rows(query, key, self.maps, batch.row_sequence, batch.row_query, batch.mask)

    def total(self, terms: Terms) -> Tensor:
        """The scalar that is minimised."""
        loss = self.loss
        return (
            loss.alpha * masked_mean(terms.logit_kd)
            + (1 - loss.alpha) * masked_mean(terms.attention)
            + loss.masked_lm * masked_mean(terms.masked_lm)
        )
