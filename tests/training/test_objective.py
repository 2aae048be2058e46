"""Which terms a loss has, from which form of the cache they can be made, and what they add up to."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from distil.cache.format import TeacherCache
from distil.core.errors import UserError
from distil.modeling.shape import build_masked_lm
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.tokenization.shards import TokenizedDataset
from distil.training.data_loader import Batch, CachedDataset
from distil.training.objective import LayerPair, LossConfig, Objective, masked_mean
from tests.support import toy
from tests.training.test_trainer import LAST, LOSS, caches

ALL = {"relations": 0.5, "hidden": 0.25, "masked_lm": 0.125, "distillation": 2.0}


@pytest.fixture(scope="module")
def states_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy world with `inputs` of every layer cached."""
    root = tmp_path_factory.mktemp("states")
    toy.make_text(root)
    toy.make_teacher(root)
    toy.make_vocabulary(root)
    toy.make_prepared(root)
    toy.make_cache(root, toy.CACHE.model_copy(update={"attention": "inputs", "attention_layers": (1, 2, 3)}))
    return root


def config(**changes: Any) -> LossConfig:
    return LossConfig.model_validate(LOSS.model_dump() | changes)


def student_of(root: Path) -> Any:
    torch.manual_seed(3)
    tokenizer = load_tokenizer(root / "models/tokenizer")
    shape = toy.SHAPE.model_copy(update={"dropout": 0.0})
    return build_masked_lm(shape.shape, special_ids(tokenizer), tokenizer.get_vocab_size(), 66)


def batch_of(root: Path, number: int = 0) -> Batch:
    index = CachedDataset(caches(root), "train")
    return index.collate(list(index.epoch_batches(0, 256, 1.0, 1))[number])


def found(root: Path, loss: LossConfig, student: Any = None, layer_map: list[LayerPair] = LAST) -> Any:
    student = student or student_of(root)
    objective, batch = Objective(student, caches(root)[0], loss, layer_map), batch_of(root)
    return objective, objective.terms(batch, objective.logits(batch), "train"), batch


def test_the_total_is_the_weighted_sum_of_the_means(states_world: Path) -> None:
    objective, terms, _ = found(states_world, config(**ALL))
    means = {name: float(masked_mean(term.values)) for name, term in terms.items()}
    assert sorted(means) == ["attention", "hidden", "logit_kd", "masked_lm", "relations"]
    by_hand = (
        2.0 * (0.5 * means["logit_kd"] + 0.5 * means["attention"] + 0.5 * means["relations"] + 0.25 * means["hidden"])
        + 0.125 * means["masked_lm"]
    )
    assert float(objective.total(terms)) == pytest.approx(by_hand, rel=1e-5)
    assert objective.total_from_means(means) == pytest.approx(by_hand, rel=1e-6)


def test_a_weight_of_zero_leaves_a_term_out_and_no_teacher_leaves_its_terms_out(states_world: Path) -> None:
    assert found(states_world, config())[0].terms_used == ("logit_kd", "attention")
    objective, terms, _ = found(states_world, config(distillation=0.0, masked_lm=1.0, relations=1.0), layer_map=[])
    assert list(terms) == ["masked_lm"] == list(objective.terms_used)
    assert float(objective.total(terms)) == pytest.approx(float(terms["masked_lm"].values.mean()))
    with pytest.raises(ValueError, match="leave nothing to learn from"):
        config(distillation=0.0)


def test_every_term_names_the_language_of_each_value(states_world: Path) -> None:
    _, terms, batch = found(states_world, config(**ALL))
    for name, term in terms.items():
        assert len(term.values) == len(term.languages) > 0, name
        assert set(term.languages.tolist()) == set(batch.languages.tolist()), name


def test_a_student_that_is_its_teacher_has_no_distance_to_it(states_world: Path) -> None:
    # Every piece is kept, so the teacher can stand in the student's place; 8 bits of its states leave a little.
    teacher = load_masked_lm(states_world / "models/teacher", "teacher")
    every = [LayerPair(student=number, teacher=number) for number in (1, 2, 3)]
    loss = config(**ALL, attention="kl", alpha=0.5)
    student = student_of(states_world)
    for layer_map in (every, every[1:2]):
        objective = Objective(teacher, caches(states_world)[0], loss, layer_map)
        with torch.no_grad():
            objective.heads.copy_(20 * torch.eye(4))  # each map from its own head
            for weight in objective.widen.parameters():
                weight.copy_(torch.eye(32))
        batch = batch_of(states_world)
        own = objective.terms(batch, objective.logits(batch), "train")
        _, others, _ = found(states_world, loss, student, [LayerPair(student=1, teacher=2)])
        for name in ("attention", "relations", "hidden"):
            assert own[name].values.mean() < 0.02 * others[name].values.mean(), name


def test_relations_and_hidden_states_are_those_of_the_teacher_run_anew(states_world: Path) -> None:
    from distil.losses.hidden_states import hidden_mse
    from distil.losses.relations import relation_kl

    student = student_of(states_world)
    objective, terms, batch = found(states_world, config(**ALL), student, [LayerPair(student=2, teacher=2)])
    teacher = load_masked_lm(states_world / "models/teacher", "teacher")
    with torch.no_grad():
        theirs = teacher.roberta(batch.input_ids, attention_mask=batch.mask, output_hidden_states=True).hidden_states[1]
        ours = student.roberta(batch.input_ids, attention_mask=batch.mask, output_hidden_states=True).hidden_states[1]
        plain = torch.zeros(batch.mask.shape)
        for name in ("query", "key", "value"):
            pair = [getattr(model.roberta.encoder.layer[1].attention.self, name)(states)
                    for model, states in ((student, ours), (teacher, theirs))]  # fmt: skip
            plain += relation_kl(*pair, 2, batch.mask)
        hidden = hidden_mse(objective.widen[0](ours[batch.mask]), theirs[batch.mask])
    torch.testing.assert_close(terms["relations"].values, plain[batch.mask], atol=0.02, rtol=0.02)
    torch.testing.assert_close(terms["hidden"].values, hidden, atol=0.02, rtol=0.02)


def test_other_sequences_and_their_padding_do_not_change_a_sequences_terms(states_world: Path) -> None:
    student = student_of(states_world)
    objective = Objective(student, caches(states_world)[0], config(**ALL), LAST)
    index = CachedDataset(caches(states_world), "train")
    drawn = list(index.epoch_batches(0, 512, 1.0, 2))[0]
    batch = index.collate(drawn)
    together = objective.terms(batch, objective.logits(batch), "train")
    shortest = int(batch.mask.sum(dim=1).argmin())
    assert batch.mask[shortest].sum() < batch.mask.shape[1]
    ids = batch.input_ids[shortest][batch.mask[shortest]].tolist()
    for number in range(len(drawn.sequences)):
        alone = index.collate(type(drawn)(drawn.sequences[[number]], drawn.variants[[number]], 0))
        if alone.input_ids[0].tolist() == ids:
            break
    single = objective.terms(alone, objective.logits(alone), "train")
    owner = {"logit_kd": batch.masked_sequence, "masked_lm": batch.masked_sequence}
    for name, term in single.items():
        here = owner.get(name, batch.query_sequence) == shortest
        torch.testing.assert_close(together[name].values[here], term.values, atol=1e-4, rtol=1e-3)


def test_all_gradients_are_finite_and_reach_what_is_learned_beside_the_student(states_world: Path) -> None:
    student = student_of(states_world)
    objective, terms, _ = found(states_world, config(**ALL, attention="kl"), student)
    objective.total(terms).backward()
    named = [*student.named_parameters(), *objective.named_parameters()]
    assert {"heads", "widen.0.weight"} <= {name for name, _ in objective.named_parameters()}
    for name, parameter in named:
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all(), name
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in objective.parameters())


@pytest.mark.parametrize("term", ["relations", "hidden"])
@pytest.mark.parametrize("form", ["mean", "heads"])
def test_terms_that_need_the_layers_inputs_name_what_to_set(own_world: Path, form: str, term: str) -> None:
    shutil.rmtree(own_world / "data/teacher")
    toy.make_cache(own_world, toy.CACHE.model_copy(update={"attention": form}))
    expected = rf"loss\.{term}: 1\.0 asks for {term}, which need .* keeps attention as {form}; "
    with pytest.raises(
        UserError, match=expected + rf"set cache_teacher\.attention to inputs .* or set loss\.{term} to 0"
    ):
        found(own_world, config(**{term: 1.0}))


def test_relation_heads_that_do_not_divide_a_width_are_refused(states_world: Path) -> None:
    with pytest.raises(UserError, match=r"relation_heads: expected a divisor of student\.hidden_size 16, found 32"):
        found(states_world, config(relations=1.0, relation_heads=32))
    shape = toy.SHAPE.model_copy(update={"hidden_size": 48})
    student = build_masked_lm(shape.shape, special_ids(load_tokenizer(states_world / "models/tokenizer")), 200, 66)
    with pytest.raises(UserError, match=r"a divisor of the teacher's hidden size 32, found 48"):
        found(states_world, config(relations=1.0, relation_heads=48), student)


@pytest.mark.parametrize("changes", [{"relations": 1.0}, {"hidden": 1.0}, {"alpha": 0.5}])
def test_terms_of_layers_without_a_layer_map_are_refused(states_world: Path, changes: dict[str, float]) -> None:
    with pytest.raises(UserError, match=rf"loss\.{next(iter(changes))}: .* but layer_map is empty; set loss\."):
        found(states_world, config(**{"alpha": 1.0, **changes}), layer_map=[])


def test_a_cache_of_text_alone_has_no_teacher(states_world: Path) -> None:
    cache = TeacherCache(states_world / "data/teacher/swa", TokenizedDataset(states_world / "data/prepared/swa"))
    assert Objective(student_of(states_world), cache, config(), LAST).has_teacher
    assert not Objective(student_of(states_world), None, config(distillation=0.0, masked_lm=1.0), []).has_teacher
