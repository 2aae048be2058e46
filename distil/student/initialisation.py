"""A student's first weights from its teacher's: embeddings, and layers where they are asked for.

The student's space is the span of h directions of the teacher's, B (D, h) with orthonormal columns: a teacher's state x
is Bᵀx in the student, and a weight W that reads and writes states becomes Bᵀ W B (the rotate-and-slice of SliceGPT,
arXiv 2401.15024). Without layers the directions are the leading principal ones of the kept word embeddings. With layers
they are those of words and of states on real text together: the words' own directions hold little of the states. A
student as wide as its teacher takes the teacher's own directions, so that layers of the same shape are copied exactly.
Legend: D teacher width, h student width, V pieces, N tokens.
"""

import logging
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import XLMRobertaForMaskedLM

from distil.core.errors import UserError
from distil.modeling.xlm_roberta import resolve_layer

log = logging.getLogger("distil")


class Text(NamedTuple):
    """Some text as the teacher reads it."""

    input_ids: Tensor  # (B, T) int64, the teacher's ids
    mask: Tensor  # (B, T) bool, true at tokens


@torch.no_grad()
def init_from_teacher(
    student: XLMRobertaForMaskedLM,
    teacher: XLMRobertaForMaskedLM,
    teacher_ids: Tensor,
    layers: tuple[int, ...] = (),
    text: Text | None = None,
) -> float:
    """Give the student the teacher's embeddings in its leading principal directions, and some of its layers.

    Word rows of the kept pieces are multiplied by B, whose columns are the leading eigenvectors of their second moment
    (not centred: the common direction carries the position of the cloud); positions by the same, so that the sum of
    both stays a projection of the teacher's. The head's bias of each piece is copied. A student at least as wide as
    the teacher keeps the teacher's rows, padded with zeros.

    Student layer i takes teacher layer `layers[i]`, as it is where width, heads and neurons are the teacher's; layers
    beyond stay random. So does the head's transform, but for a student as wide as its teacher, which copies it: its
    GELU acts in the words' own space, which no rotation keeps.

    Args:
        student: changed in place.
        teacher: read only.
        teacher_ids: (V,) the teacher's id of each piece of the student.
        layers: teacher layers counted from 1, -1 the last; at most as many as the student has.
        text: where there are layers: what the teacher reads to fit them.

    Returns:
        The share of the squared length of the kept rows that the projection keeps, 0 to 1.

    Raises:
        UserError: a layer that the teacher does not have, or layers for a student wider than its teacher.
    """
    source, target = teacher.roberta.embeddings, student.roberta.embeddings
    words = source.word_embeddings.weight[teacher_ids].double()
    moment = words.T @ words
    pairs = _pair_norms(student, teacher, layers)
    inputs = _norm_inputs(teacher, [norm for _, norm in pairs], text)
    if inputs:
        states = [norm(x).double() for (_, norm), x in zip(pairs, inputs, strict=True)]
        moment = moment / moment.trace() + sum(x.T @ x / x.square().sum() for x in states) / len(states)
    basis = _leading_directions(moment, student.config.hidden_size)
    width = basis.shape[1]
    rows = min(len(target.position_embeddings.weight), len(source.position_embeddings.weight))
    for table in (target.word_embeddings, target.position_embeddings, target.token_type_embeddings):
        table.weight.zero_()
    projected = words @ basis
    target.word_embeddings.weight[:, :width] = projected.float()
    target.position_embeddings.weight[:rows, :width] = (
        source.position_embeddings.weight[:rows].double() @ basis
    ).float()
    target.token_type_embeddings.weight[:, :width] = (source.token_type_embeddings.weight.double() @ basis).float()
    student.lm_head.bias.copy_(teacher.lm_head.bias[teacher_ids])
    kept = float(projected.square().sum() / words.square().sum())
    log.info("student starts from the teacher's embeddings: %.1f %% of their squared length kept", 100 * kept)
    for (new, old), x in zip(pairs, inputs, strict=True):
        init_norm(new, old, x, basis.float())
    for number, layer in enumerate(layers):
        _init_layer(_layers(student)[number], _layers(teacher)[_resolve(layer, teacher) - 1], basis.float())
    if student.config.hidden_size == teacher.config.hidden_size:
        student.lm_head.dense.load_state_dict(teacher.lm_head.dense.state_dict())
        student.lm_head.layer_norm.load_state_dict(teacher.lm_head.layer_norm.state_dict())
    return kept


def _leading_directions(moment: Tensor, count: int) -> Tensor:
    """(D, at most D) orthonormal columns, the leading eigenvectors of (D, D); with room for all of them the axes.

    The axes, since a rotation of the whole space keeps no layer norm as it is: its gains belong to axes.
    """
    if count >= len(moment):
        return torch.eye(len(moment), dtype=moment.dtype)
    basis = torch.linalg.eigh(moment).eigenvectors.flip(1)[:, :count]
    # The sign of an eigenvector is arbitrary; make its largest component positive, so that the result is one.
    return basis * basis.gather(0, basis.abs().argmax(dim=0, keepdim=True)).sign()


def _layers(model: XLMRobertaForMaskedLM) -> Any:
    return model.roberta.encoder.layer


def _resolve(layer: int, teacher: XLMRobertaForMaskedLM) -> int:
    return resolve_layer(layer, teacher.config.num_hidden_layers, "params.yaml: student.init_layers")


def _pair_norms(
    student: XLMRobertaForMaskedLM, teacher: XLMRobertaForMaskedLM, layers: tuple[int, ...]
) -> list[tuple[nn.LayerNorm, nn.LayerNorm]]:
    """The student's layer norms that start from the teacher's, and those; none without layers."""
    if not layers:
        return []
    if student.config.hidden_size > teacher.config.hidden_size:
        raise UserError(
            f"params.yaml: student.init_layers: expected a student no wider than its teacher, "
            f"{teacher.config.hidden_size}, found student.hidden_size {student.config.hidden_size}; set init_layers to "
            "an empty list"
        )
    pairs = [(student.roberta.embeddings.LayerNorm, teacher.roberta.embeddings.LayerNorm)]
    for number, layer in enumerate(layers):
        new, old = _layers(student)[number], _layers(teacher)[_resolve(layer, teacher) - 1]
        pairs += [(new.attention.output.LayerNorm, old.attention.output.LayerNorm),
                  (new.output.LayerNorm, old.output.LayerNorm)]  # fmt: skip
    return pairs


def _norm_inputs(teacher: XLMRobertaForMaskedLM, norms: list[nn.LayerNorm], text: Text | None) -> list[Tensor]:
    """(N, D) each: what goes into the teacher's layer norms on a text."""
    if not norms:
        return []
    assert text is not None
    found: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        found[module] = args[0][text.mask]

    hooks = [norm.register_forward_pre_hook(keep) for norm in set(norms)]
    teacher.roberta(text.input_ids, attention_mask=text.mask)
    for hook in hooks:
        hook.remove()
    return [found[norm] for norm in norms]


@torch.no_grad()
def init_norm(student: nn.LayerNorm, teacher: nn.LayerNorm, inputs: Tensor, basis: Tensor) -> None:
    """The gain and bias with which the student's norm of Bᵀx is nearest to Bᵀ of the teacher's norm of x.

    The teacher's gain is a diagonal matrix, which B rotates into one that is not; for each of the student's directions
    the best diagonal is a line fitted by least squares.

    Args:
        student: changed in place.
        teacher: read only.
        inputs: (N, D) x, what the teacher's norm read.
        basis: (D, h) orthonormal columns.
    """
    wanted = teacher(inputs) @ basis
    plain = nn.functional.layer_norm(inputs @ basis, basis.shape[1:], eps=student.eps)
    centred, aim = plain - plain.mean(dim=0), wanted - wanted.mean(dim=0)
    gain = (centred * aim).sum(dim=0) / centred.square().sum(dim=0).clamp_min(1e-6)
    student.weight.copy_(gain)
    student.bias.copy_(wanted.mean(dim=0) - gain * plain.mean(dim=0))


def _init_layer(student: Any, teacher: Any, basis: Tensor) -> None:
    """Into the space of `basis`; as it is where nothing is cut."""
    shapes = [{name: tensor.shape for name, tensor in layer.state_dict().items()} for layer in (student, teacher)]
    heads = [layer.attention.self.num_attention_heads for layer in (student, teacher)]
    if shapes[0] == shapes[1] and heads[0] == heads[1]:
        student.load_state_dict(teacher.state_dict())
        return
    init_attention(student.attention, teacher.attention, basis)
    init_feed_forward(student.intermediate.dense, student.output.dense, teacher.intermediate.dense,
                       teacher.output.dense, basis)  # fmt: skip


@torch.no_grad()
def init_attention(student: Any, teacher: Any, basis: Tensor) -> None:
    """Whole heads, each through the best low-rank form of what it does.

    A head is two bilinear forms: which token looks at which, Bᵀ Wqᵀ Wk B, and what is carried over, Bᵀ Wo Wv B. Each is
    factored by its singular values into the student's head size (exact where that is no less than the teacher's).
    Where the teacher has more heads, those that carry most (Frobenius norm) are taken; where it has fewer, or smaller
    ones, what is left of the student's queries and values stays random and of its keys and outputs becomes 0: it adds
    nothing at first, and learns. Of the biases, the query's survives in the scores and the value's as a constant in the
    output; the key's adds the same to all scores of a query, which softmax ignores.

    Args:
        student: an XLM-R attention block, changed in place.
        teacher: likewise, read only.
        basis: (D, h) orthonormal columns.
    """
    old_heads, old_size = teacher.self.num_attention_heads, teacher.self.attention_head_size
    new_heads, new_size = student.self.num_attention_heads, student.self.attention_head_size
    query, key, value = (
        (getattr(teacher.self, name).weight @ basis).view(old_heads, old_size, -1) for name in ("query", "key", "value")
    )
    query_bias = teacher.self.query.bias.view(old_heads, old_size, 1)
    output = (basis.T @ teacher.output.dense.weight).view(-1, old_heads, old_size).permute(1, 0, 2)
    carried = output @ value  # (heads, h, h)
    strongest = carried.square().sum(dim=(1, 2)).argsort(descending=True, stable=True)[:new_heads].sort().values
    rank = min(old_size, new_size)
    for empty in (student.self.key.weight, student.output.dense.weight):
        empty.zero_()
    for name in ("query", "key", "value"):
        getattr(student.self, name).bias.zero_()
    for number, head in enumerate(strongest.tolist()):
        rows = slice(number * new_size, number * new_size + rank)
        left, size, right = torch.linalg.svd(query[head].T @ key[head] * (new_size / old_size) ** 0.5)
        root = size[:rank].sqrt()[:, None]
        student.self.query.weight[rows] = root * left[:, :rank].T
        student.self.key.weight[rows] = root * right[:rank]
        # bᵀ Wk y, as far as the directions kept of y give it.
        bias = (right[:rank] @ key[head].T @ query_bias[head]).squeeze(1) * (new_size / old_size) ** 0.5
        student.self.query.bias[rows] = bias / root.squeeze(1).clamp_min(1e-6)
        left, size, right = torch.linalg.svd(carried[head])
        root = size[:rank].sqrt()[:, None]
        student.self.value.weight[rows] = root * right[:rank]
        student.output.dense.weight[:, rows] = (root * left[:, :rank].T).T
    constant = teacher.output.dense.weight @ teacher.self.value.bias + teacher.output.dense.bias
    student.output.dense.bias.copy_(basis.T @ constant)


@torch.no_grad()
def init_feed_forward(
    student_in: nn.Linear, student_out: nn.Linear, teacher_in: nn.Linear, teacher_out: nn.Linear, basis: Tensor
) -> None:
    """Whole neurons: those with the largest product of the norms of what they read and write in the student's space.

    Where the teacher has fewer, the student's others write 0 at first.

    Args:
        student_in: (h -> neurons), changed in place.
        student_out: (neurons -> h), changed in place.
        teacher_in: (D -> neurons), read only.
        teacher_out: (neurons -> D), read only.
        basis: (D, h) orthonormal columns.
    """
    reads, writes = teacher_in.weight @ basis, basis.T @ teacher_out.weight
    strength = reads.norm(dim=1) * writes.norm(dim=0)
    chosen = strength.argsort(descending=True, stable=True)[: student_in.out_features].sort().values
    count = len(chosen)
    student_out.weight.zero_()
    student_in.weight[:count], student_in.bias[:count] = reads[chosen], teacher_in.bias[chosen]
    student_out.weight[:, :count] = writes[:, chosen]
    student_out.bias.copy_(basis.T @ teacher_out.bias)
