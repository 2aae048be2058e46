"""First weights from the teacher: its own layers where the width is the same, the best low rank where it is smaller."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.core.params import NO_FOLDER
from distil.modeling.shape import build_masked_lm
from distil.modeling.tokenizer import load_tokenizer, special_ids, teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.student.initialisation import Text, init_attention, init_feed_forward, init_from_teacher, init_norm
from distil.student.model import StudentConfig
from distil.student.start import sample_text
from tests.support import toy
from tests.training.test_trainer import TRAIN, caches, distil

TEACHER = StudentConfig(
    hidden_size=24, num_hidden_layers=1, num_attention_heads=4, intermediate_size=40, dropout=0.0, init="random",
    init_layers=(),
    experts=0,
    trunk=NO_FOLDER,
)  # fmt: skip


def layer_of(seed: int, **changes: Any) -> Any:
    """A random encoder layer whose weights and biases matter."""
    torch.manual_seed(seed)
    shape = TEACHER.model_copy(update=changes)
    layer: Any = build_masked_lm(shape.shape, special_ids_of_toy(), 50, 66).eval().roberta.encoder.layer[0]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def special_ids_of_toy() -> Any:
    from distil.modeling.tokenizer import SpecialTokenIds

    return SpecialTokenIds(0, 1, 2, 3, 49)


def rotation(width: int, columns: int, seed: int = 1) -> torch.Tensor:
    """(width, columns) with orthonormal columns."""
    return torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(seed))).Q[:, :columns]


def attended(attention: Any, states: torch.Tensor) -> torch.Tensor:
    """What an attention block adds to states (1, T, D), before residual and norm."""
    return attention.output.dense(attention.self(states)[0])


def states_of(width: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(1, 7, width, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("heads", [4, 2, 6])
def test_attention_in_the_whole_rotated_space_is_the_teachers_rotated(heads: int) -> None:
    # 4 heads of 6 as they are; two of the teacher's four in heads of 12; all four in six heads of 4, of rank 4 only.
    teacher, student, basis = layer_of(0).attention, layer_of(5, num_attention_heads=heads).attention, rotation(24, 24)
    if heads == 2:  # the other two carry nothing
        teacher.output.dense.weight[:, :6] = teacher.output.dense.weight[:, 12:18] = 0.0
    if heads == 6:
        for name in ("query", "key", "value"):
            getattr(teacher.self, name).weight.view(4, 6, 24)[:, 4:] = 0.0
            getattr(teacher.self, name).bias.view(4, 6)[:, 4:] = 0.0
    init_attention(student, teacher, basis)
    states = states_of(24)
    wanted = attended(teacher, states) @ basis
    torch.testing.assert_close(attended(student, states @ basis), wanted, atol=2e-4, rtol=1e-3)


@torch.no_grad()
def test_scores_in_a_smaller_space_are_the_best_of_their_rank() -> None:
    teacher, student, basis = layer_of(0).attention, layer_of(5, hidden_size=12).attention, rotation(24, 12)
    init_attention(student, teacher, basis)
    for head in range(4):
        wanted = (
            (teacher.self.query.weight[6 * head : 6 * head + 6] @ basis).T
            @ (teacher.self.key.weight[6 * head : 6 * head + 6] @ basis)
            / 6**0.5
        )
        rows = slice(3 * head, 3 * head + 3)
        found = student.self.query.weight[rows].T @ student.self.key.weight[rows] / 3**0.5
        dropped = torch.linalg.svdvals(wanted)[3:]  # Eckart and Young: no matrix of rank 3 is nearer
        assert (wanted - found).norm().item() == pytest.approx(dropped.norm().item(), rel=1e-3)


@torch.no_grad()
def test_the_heads_that_carry_most_are_taken() -> None:
    teacher, basis = layer_of(0).attention, torch.eye(24)
    for head in (0, 2):
        teacher.output.dense.weight[:, 6 * head : 6 * head + 6] *= 0.01
    student = layer_of(5, num_attention_heads=2, hidden_size=24).attention
    init_attention(student, teacher, basis)
    for place, head in ((0, 1), (1, 3)):
        rows, old = slice(12 * place, 12 * place + 12), slice(6 * head, 6 * head + 6)
        torch.testing.assert_close(
            student.output.dense.weight[:, rows][:, :6] @ student.self.value.weight[rows][:6],
            teacher.output.dense.weight[:, old] @ teacher.self.value.weight[old], atol=1e-4, rtol=1e-3,
        )  # fmt: skip


@torch.no_grad()
def test_feed_forward_keeps_the_strongest_neurons_and_leaves_the_others_as_they_were() -> None:
    teacher, basis = layer_of(0), rotation(24, 24)
    teacher.output.dense.weight[:, 10:] = 0.0  # ten neurons write
    for neurons in (10, 60):
        student = layer_of(5, intermediate_size=neurons)
        before = student.intermediate.dense.weight[40:].clone()
        init_feed_forward(student.intermediate.dense, student.output.dense, teacher.intermediate.dense,
                           teacher.output.dense, basis)  # fmt: skip
        states = states_of(24)
        wanted = teacher.output.dense(teacher.intermediate(states)) @ basis
        found = student.output.dense(student.intermediate(states @ basis))
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
        assert torch.equal(student.intermediate.dense.weight[40:], before)


@torch.no_grad()
def test_a_norm_is_itself_in_its_own_space_and_fitted_in_another() -> None:
    teacher, student = nn.LayerNorm(24), nn.LayerNorm(24)
    torch.manual_seed(4)
    teacher.weight.normal_(1.0, 0.3)
    teacher.bias.normal_(0.0, 0.3)
    inputs = torch.randn(200, 24) * torch.linspace(0.2, 3.0, 24)
    init_norm(student, teacher, inputs, torch.eye(24))
    torch.testing.assert_close(student(inputs), teacher(inputs), atol=1e-4, rtol=1e-3)
    basis, small = rotation(24, 10), nn.LayerNorm(10)
    wanted = teacher(inputs) @ basis
    plain = (small(inputs @ basis) - wanted).square().mean()
    init_norm(small, teacher, inputs, basis)
    fitted = (small(inputs @ basis) - wanted).square().mean()
    assert fitted < 0.8 * plain
    for change in (0.95, 1.05):  # least squares: no other gain is better
        small.weight.mul_(change)
        assert (small(inputs @ basis) - wanted).square().mean() > fitted
        small.weight.div_(change)


def toy_student(world: Path, layers: tuple[int, ...], **changes: Any) -> tuple[Any, Any, Text]:
    shape = toy.SHAPE.model_copy(update={"init": "teacher", "init_layers": layers, "dropout": 0.0, **changes})
    tokenizer = load_tokenizer(world / "models/tokenizer")
    torch.manual_seed(1)
    student = build_masked_lm(shape.shape, special_ids(tokenizer), tokenizer.get_vocab_size(), 66).eval()
    kept = torch.tensor(teacher_piece_ids(world / "models/tokenizer").astype(np.int64))
    teacher = load_masked_lm(world / "models/teacher", "teacher")
    text = sample_text([cache.prepared for cache in caches(world)], kept)
    init_from_teacher(student, teacher, kept, layers, text)
    return student, teacher, text


def states_after_layers(model: Any, text: Text) -> list[torch.Tensor]:
    """(B, T, h) each: of the embeddings, then of every layer."""
    read = model.roberta(text.input_ids, attention_mask=text.mask, output_hidden_states=True)
    return list(read.hidden_states)


def test_states_of_a_student_that_starts_from_layers_follow_the_teachers(world: Path) -> None:
    layers = (1, 2)
    student, teacher, text = toy_student(world, layers, hidden_size=24, intermediate_size=48, num_attention_heads=4)
    with torch.no_grad():
        # teacher_ids of the toy world are all of the teacher's, in order
        theirs, ours = (states_after_layers(model, text) for model in (teacher, student))
        words = teacher.roberta.embeddings.word_embeddings.weight
        basis = torch.linalg.lstsq(words, student.roberta.embeddings.word_embeddings.weight).solution
    for number, least in ((0, 0.95), (1, 0.6)):
        one, other = ours[number][text.mask], theirs[number][text.mask] @ basis
        assert nn.functional.cosine_similarity(one, other, dim=1).mean() > least, number


@torch.no_grad()
@pytest.mark.parametrize("layers", [(1, 2), (2,), (1, 2, 3)])
def test_a_student_as_wide_as_its_teacher_takes_layers_as_they_are(world: Path, layers: tuple[int, ...]) -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": len(layers), "num_attention_heads": 4, "intermediate_size": 48}
    student, teacher, text = toy_student(world, layers, **shape)
    encoder = teacher.roberta.encoder
    encoder.layer = nn.ModuleList([encoder.layer[number - 1] for number in layers])
    ours, theirs = states_after_layers(student, text), states_after_layers(teacher, text)
    assert [torch.equal(one, other) for one, other in zip(ours, theirs, strict=True)] == [True] * len(theirs)
    assert torch.equal(student(text.input_ids).logits, teacher(text.input_ids).logits)


@torch.no_grad()
def test_a_student_as_wide_as_its_teacher_with_more_neurons_answers_alike(world: Path) -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    student, teacher, text = toy_student(world, (1, 2), **shape)
    ours, theirs = states_after_layers(student, text)[2], states_after_layers(teacher, text)[2]
    torch.testing.assert_close(ours[text.mask], theirs[text.mask], atol=1e-4, rtol=1e-4)


def test_the_sample_of_text_has_every_language_and_no_padding_in_its_mask(world: Path) -> None:
    kept = torch.tensor(teacher_piece_ids(world / "models/tokenizer").astype(np.int64))
    text = sample_text([cache.prepared for cache in caches(world)], kept)
    special = special_ids(load_tokenizer(world / "models/tokenizer"))
    assert text.input_ids[:, 0].tolist() == [special.bos] * len(text.input_ids)
    assert (text.input_ids[text.mask] != special.pad).all() and (text.input_ids[~text.mask] == special.pad).all()
    assert 1500 < int(text.mask.sum()) < 2500  # about 1000 of either language


def test_a_layer_that_the_teacher_does_not_have_and_a_wider_student_are_refused(world: Path) -> None:
    with pytest.raises(UserError, match=r"student\.init_layers: expected a layer from 1 to 3 .* found 4"):
        toy_student(world, (1, 4))
    with pytest.raises(UserError, match=r"no wider than its teacher, 32, found student\.hidden_size 40; set"):
        toy_student(world, (1,), hidden_size=40)


def test_layers_that_cannot_be_asked_for_are_refused() -> None:
    faults = (({"init_layers": (1, 2, 3)}, "at most num_hidden_layers, 2"), ({"init": "random"}, "init random"))
    for changes, message in faults:
        with pytest.raises(ValueError, match=message):
            StudentConfig.model_validate(toy.SHAPE.model_dump() | {"init": "teacher", "init_layers": (1,)} | changes)


def test_a_student_that_starts_from_layers_is_trained_and_the_same_each_time(world: Path, tmp_path: Path) -> None:
    shape = toy.SHAPE.model_copy(update={"init": "teacher", "init_layers": (1, -1)})
    short = TRAIN.model_copy(update={"epochs": 1})
    for name in ("a", "b"):
        distil(world, tmp_path / name, config=short, shape=shape)
    assert sha256_file(tmp_path / "a/student/model.safetensors") == sha256_file(
        tmp_path / "b/student/model.safetensors"
    )
