"""The student's loss on a batch: its terms, layers and weights."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from distil.cache.format import TeacherCache
from distil.cache.sparse_logits import soft_targets
from distil.core.errors import UserError
from distil.core.params import Params
from distil.losses.attention import attention_kl, attention_mse, combine_heads
from distil.losses.hidden_states import hidden_mse
from distil.losses.logits import logit_kd, masked_lm
from distil.losses.relations import relation_kl
from distil.modeling.experts import expert_ids
from distil.modeling.xlm_roberta import AttentionTap, MaskedHead, Student, attention_rows, resolve_layer
from distil.training.data_loader import Batch

VECTORS = ("query", "key", "value")


class LossConfig(Params):
    """Section `loss:` of params.yaml."""

    alpha: float = Field(ge=0, le=1)
    temperature: float = Field(gt=0, le=100)
    attention: Literal["mse", "kl"]
    attention_projection: Literal["learned", "mean"]
    relations: float = Field(ge=0)
    relation_heads: int = Field(ge=1, le=1024)
    hidden: float = Field(ge=0)
    distillation: float = Field(ge=0)
    masked_lm: float = Field(ge=0)

    @model_validator(mode="after")
    def _something_is_learned(self) -> "LossConfig":
        if not self.distillation and not self.masked_lm:
            raise ValueError(
                f"distillation {self.distillation} and masked_lm {self.masked_lm} leave nothing to learn from; set one "
                "of them above 0"
            )
        return self

    def weights(self) -> dict[str, float]:
        """The weight of each term in the sum that is minimised."""
        return {
            "logit_kd": self.distillation * self.alpha,
            "attention": self.distillation * (1 - self.alpha),
            "relations": self.distillation * self.relations,
            "hidden": self.distillation * self.hidden,
            "masked_lm": self.masked_lm,
        }


MASKED_LM_ONLY = LossConfig(
    alpha=1.0, temperature=1.0, attention="mse", attention_projection="mean", relations=0.0, relation_heads=1,
    hidden=0.0, distillation=0.0, masked_lm=1.0,
)  # fmt: skip


class LayerPair(Params):
    """One line of `layer_map:` in params.yaml; layers count from 1, -1 is the last."""

    student: int
    teacher: int


def masked_mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean of the values whose mask is true; 0 with gradient 0 where none is.

    Args:
        values: (N,).
        mask: (N,) bool, or None for all.
    """
    if mask is not None:
        values = values[mask]
    return values.sum() / max(values.numel(), 1)


class Term(NamedTuple):
    """One part of a batch's loss, unreduced, and the language of each element."""

    values: Tensor  # (N,): N masked positions, attention rows or tokens
    languages: Tensor  # (N,) int64


class Objective(nn.Module):
    """distillation * (alpha * T² * KL + (1 - alpha) * attention + relations + hidden) + masked_lm * cross-entropy.

    With `distillation` 1 and the other weights 0 it is the form of AfroXLMR-Comet. Holds what is learned beside the
    student: how its heads combine into each cached map, and how its states become as wide as the teacher's.
    """

    experts: Tensor | None

    def __init__(
        self, student: Student, cache: TeacherCache | None, loss: LossConfig, layer_map: list[LayerPair],
        languages: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Match the layer map with the student and with what is cached.

        Args:
            student: the model that is trained.
            cache: one language's teacher outputs, the others are of the same form; None without a teacher.
            loss: the weights.
            layer_map: which student layer learns from which cached layer.
            languages: codes, in the order of the numbers in a batch; a student with language experts needs them.

        Raises:
            UserError: a layer that the student does not have or that is not cached, or a form of the cache from which a
                term cannot be made.
        """
        super().__init__()
        self.loss, self.weights = loss, loss.weights()
        # Where there is a teacher, its distributions are compared also when they do not count.
        self.terms_used = tuple(
            name for name, weight in self.weights.items()
            if weight > 0 or (name == "logit_kd" and loss.distillation > 0)
        )  # fmt: skip
        used = [name in self.terms_used for name in ("relations", "attention")]
        self._vectors = VECTORS if used[0] else VECTORS[:2] if used[1] else ()
        self.has_teacher = cache is not None
        self._student = [student]  # in a list, so that its parameters are not counted as ours
        self.register_buffer("experts", expert_ids(student, languages), persistent=False)
        self._head = MaskedHead(student)
        self.pairs: list[tuple[int, int]] = []  # student layer, place among the cached layers
        if cache is not None:
            self.sampling = {split: cache.logit_format(split) for split in ("train", "heldout")}
            self._match_layers(cache, layer_map)
        self._tap = AttentionTap(student, sorted({student_layer for student_layer, _ in self.pairs}))

    def _match_layers(self, cache: TeacherCache, layer_map: list[LayerPair]) -> None:
        """Fill `pairs` and make what is learned beside the student."""
        loss, config = self.loss, self._student[0].config
        wanting = {"alpha": loss.alpha, "relations": loss.relations, "hidden": loss.hidden}
        wanting = {
            name: value for name, value in wanting.items()
            if self.weights["attention" if name == "alpha" else name] > 0
        }  # fmt: skip
        for pair in layer_map if wanting else []:
            where = "params.yaml: layer_map"
            teacher = resolve_layer(pair.teacher, cache.manifest["teacher"]["num_hidden_layers"], f"{where}.teacher")
            if teacher not in cache.layers:
                raise UserError(
                    f"{where}: teacher layer {pair.teacher}: expected one of the cached layers {cache.layers}, found "
                    f"{teacher}; add it to cache_teacher.attention_layers"
                )
            layer = resolve_layer(pair.student, config.num_hidden_layers, f"{where}.student")
            self.pairs.append((layer, cache.layers.index(teacher)))
        for name, value in wanting.items():
            asks = f"params.yaml: loss.{name}: {value} asks for {'attention' if name == 'alpha' else name}"
            off = f"set loss.{name} to {1 if name == 'alpha' else 0}"
            if not self.pairs:
                raise UserError(f"{asks}, but layer_map is empty; {off} or name a pair of layers")
            if name != "alpha" and cache.attention_form != "inputs":
                raise UserError(
                    f"{asks}, which need what goes into the teacher's layers, but the cache keeps attention as "
                    f"{cache.attention_form}; set cache_teacher.attention to inputs and cache_teacher.attention_rows "
                    f"to 1, or {off}"
                )
        self.maps, self._cached_layers = cache.heads, cache.layers
        # The teacher's frozen projections: they move to the device with the rest, and no checkpoint has them.
        kept = cache.projections()
        self._from_inputs = bool(kept)
        for name, array in kept.items():
            self.register_buffer(f"teacher_{name}".replace(".", "_"), torch.tensor(array), persistent=False)
        shape = (max(1, len(self.pairs)), cache.heads, config.num_attention_heads)
        self.heads = nn.Parameter(torch.zeros(shape), requires_grad=loss.attention_projection == "learned")
        teacher_width = len(next(iter(kept.values()))) if kept else 0
        if "relations" in wanting:
            _check_relation_heads(loss.relation_heads, config.hidden_size, teacher_width)
        if "hidden" in wanting:
            self.widen = nn.ModuleList(
                nn.Linear(config.hidden_size, teacher_width, bias=False) for _ in self.pairs
            )  # fmt: skip
            for weight in self.widen.parameters():
                nn.init.orthogonal_(weight)

    @property
    def student(self) -> Student:
        """The model that is trained."""
        return self._student[0]

    def logits(self, batch: Batch) -> Tensor:
        """(P, V) the student's scores at the masked positions; fills the taps."""
        expert = {} if self.experts is None else {"lang_ids": self.experts[batch.languages]}
        hidden = self.student.roberta(batch.input_ids, attention_mask=batch.mask, **expert).last_hidden_state
        return self._head.logits(hidden[batch.masked_sequence, batch.masked_position])

    def terms(self, batch: Batch, logits: Tensor, split: str) -> dict[str, Term]:
        """The parts of the loss that `terms_used` names, unreduced."""
        positions = batch.languages[batch.masked_sequence]
        found: dict[str, Term] = {}
        if "logit_kd" in self.terms_used:
            form = self.sampling[split]
            targets = soft_targets(batch.teacher_logits, form.form, self.loss.temperature, form.sampling_temperature)
            found["logit_kd"] = Term(logit_kd(logits, targets, self.loss.temperature), positions)
        if self.pairs:
            rows = batch.languages[batch.query_sequence]
            layers = [self._layer_terms(batch, number) for number in range(len(self.pairs))]
            found |= {name: Term(torch.stack([layer[name] for layer in layers]).mean(dim=0), rows)
                      for name in layers[0]}  # fmt: skip
        if "masked_lm" in self.terms_used:
            found["masked_lm"] = Term(masked_lm(logits, batch.gold), positions)
        return found

    def _layer_terms(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """(R,) each: the terms of one pair of layers, one value for each attention row that is kept."""
        layer, place = self.pairs[number]
        rows = (batch.query_sequence, batch.query_position)
        student_states, student = self._tap.inputs(layer), self._tap.vectors(layer, self._vectors)
        teacher_states = self._teacher_states(batch, place) if self._from_inputs else None
        teacher = self._teacher_vectors(teacher_states, place)
        found = {}
        if "attention" in self.terms_used:
            heads = self.student.config.num_attention_heads
            probs = attention_rows(student["query"], student["key"], heads, *rows, batch.mask)
            combined = combine_heads(probs, self.heads[number])
            if teacher:
                kept = attention_rows(teacher["query"], teacher["key"], self.maps, *rows, batch.mask)
            else:
                kept = batch.attention[:, place * self.maps : (place + 1) * self.maps]
            if self.loss.attention == "kl":
                found["attention"] = attention_kl(combined, kept)
            else:
                found["attention"] = attention_mse(combined, kept, batch.row_lengths)
        if "relations" in self.terms_used:
            # The three kinds are added up, as in the paper.
            kinds = [relation_kl(student[name], teacher[name], self.loss.relation_heads, batch.mask)
                     for name in VECTORS]  # fmt: skip
            found["relations"] = torch.stack(kinds).sum(dim=0)[rows]
        if "hidden" in self.terms_used:
            assert teacher_states is not None
            found["hidden"] = hidden_mse(self.widen[number](student_states[rows]), teacher_states[rows])
        return found

    def _teacher_states(self, batch: Batch, place: int) -> Tensor:
        """(B, T, D) what goes into the cached layer number `place`; 0 at padding."""
        states = batch.attention[:, place]
        inputs = states.new_zeros(*batch.mask.shape, states.shape[1])
        inputs[batch.query_sequence, batch.query_position] = states
        return inputs

    def _teacher_vectors(self, states: Tensor | None, place: int) -> dict[str, Tensor]:
        """(B, T, D) each: the vectors of a cached layer that the terms need; none where its inputs are not cached."""
        if states is None:
            return {}
        teacher = f"teacher_{self._cached_layers[place]}"
        return {
            name: F.linear(states, getattr(self, f"{teacher}_{name}_weight"), getattr(self, f"{teacher}_{name}_bias"))
            for name in self._vectors
        }

    def total(self, terms: dict[str, Term], counts: dict[str, float] | None = None) -> Tensor:
        """The scalar that is minimised, or with `counts` this process's part of it.

        Args:
            terms: from `terms`; a part of the batch's where several processes share it, {} where it has none.
            counts: elements of each term in the whole batch; None where `terms` is all of it.
        """
        weighted = [
            weight * (masked_mean(terms[name].values) if counts is None
                      else terms[name].values.sum() / max(counts[name], 1))
            for name, weight in self.weights.items()
            if weight > 0 and name in terms
        ]  # fmt: skip
        return torch.stack(weighted).sum() if weighted else torch.zeros((), device=self.student.device)

    def total_from_means(self, means: dict[str, float]) -> float:
        """The same from the means of the terms."""
        return sum(weight * means[name] for name, weight in self.weights.items() if weight > 0)


def _check_relation_heads(heads: int, student_width: int, teacher_width: int) -> None:
    for whose, width in (("student.hidden_size", student_width), ("the teacher's hidden size", teacher_width)):
        if width % heads:
            raise UserError(
                f"params.yaml: loss.relation_heads: expected a divisor of {whose} {width}, found {heads}; a power of "
                "two that divides both widths always serves"
            )
