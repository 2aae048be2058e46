"""The training loop: it learns, it goes on where it was killed, and it stops when numbers break."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from distil.cache.format import TeacherCache
from distil.core.errors import UserError
from distil.core.files import read_json, sha256_file, write_json
from distil.student.distillation import DistillationConfig, distil_student
from distil.tokenization.shards import TokenizedDataset
from distil.training import trainer
from distil.training.config import RunPaths, TrainConfig
from distil.training.data_loader import CachedDataset
from distil.training.fingerprint import training_key
from distil.training.objective import LayerPair, LossConfig
from distil.training.step import TrainingState
from distil.training.trainer import no_log
from tests.support import toy

LOSS = LossConfig(
    alpha=0.5, temperature=2.0, attention="mse", attention_projection="learned", relations=0.0, relation_heads=2,
    hidden=0.0, distillation=1.0, masked_lm=0.0,
)  # fmt: skip
TRAIN = TrainConfig(
    seed=1, epochs=6, batch_tokens=512, learning_rate=0.01, warmup_fraction=0.1, weight_decay=0.01, max_grad_norm=1.0,
    guard=0.0, evaluate_every=10, patience=0, average=0, checkpoint_every=10, sampling_temperature=1.0,
    precision="float32",
)  # fmt: skip
LAST = [LayerPair(student=-1, teacher=-1)]


def caches(world: Path) -> list[TeacherCache]:
    return [
        TeacherCache(world / "data/teacher" / code, TokenizedDataset(world / "data/prepared" / code))
        for code in toy.LANGUAGES
    ]


def distil(world: Path, out: Path, loss: LossConfig = LOSS, config: TrainConfig = TRAIN, **changes: Any):
    shape = changes.get("shape", toy.SHAPE)
    for name in ("student", "metrics", "scratch"):
        (out / name).mkdir(parents=True, exist_ok=True)
    chosen = DistillationConfig(shape, loss, changes.get("layer_map", LAST), config)
    return distil_student(caches(world), toy.LANGUAGES, chosen, paths_of(world, out), changes.get("live", no_log))


def paths_of(world: Path, out: Path) -> RunPaths:
    """A training of the toy world that writes below `out`."""
    return RunPaths(
        world / "models/teacher", world / "models/tokenizer", out / "student", out / "metrics", out / "scratch"
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_student_comes_nearer_to_its_teacher(world: Path, tmp_path: Path) -> None:
    logged: list[int] = []
    summary, outcome = distil(world, tmp_path, live=lambda step, figures: logged.append(step))
    heldout = rows(tmp_path / "metrics/heldout.csv")
    for language in toy.LANGUAGES:
        assert float(heldout[-1][f"{language}.kl"]) < 0.8 * float(heldout[0][f"{language}.kl"])
        assert float(heldout[-1][f"{language}.attention"]) < float(heldout[0][f"{language}.attention"])
        assert summary["heldout"][language]["positions"] > 20
    train = rows(tmp_path / "metrics/train.csv")
    assert [int(row["step"]) for row in train] == sorted(set(logged) & {int(row["step"]) for row in train})
    assert float(train[-1]["loss"]) == pytest.approx(
        0.5 * float(train[-1]["logit_kd"]) + 0.5 * float(train[-1]["attention"]), rel=0.05
    )
    assert outcome.best_step in [int(row["step"]) for row in heldout]
    assert (
        summary["student"]["parameters"]
        == summary["student"]["embedding_parameters"] + summary["student"]["body_parameters"]
    )


def test_the_student_loads_with_transformers_alone(world: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    distil(world, tmp_path, config=TRAIN.model_copy(update={"epochs": 1}))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "student")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "student")
    text = tokenizer("aeị <mask> ọ", return_tensors="pt")
    assert (text["input_ids"] == tokenizer.mask_token_id).sum() == 1
    assert model(**text).logits.shape[-1] == len(tokenizer)
    assert [path.name for path in (tmp_path / "student").glob("*.bin")] == []


@pytest.mark.parametrize("average", [0, 3])
def test_a_killed_training_goes_on_and_ends_bit_for_bit_as_an_uninterrupted_one(
    world: Path, tmp_path: Path, average: int
) -> None:
    config = TRAIN.model_copy(update={"average": average})
    distil(world, tmp_path / "whole", config=config)

    class Killed(BaseException):
        pass

    def kill(step: int, figures: dict[str, float]) -> None:
        if step == 30:
            raise Killed

    with pytest.raises(Killed):
        distil(world, tmp_path / "killed", config=config, live=kill)
    assert (tmp_path / "killed/scratch/checkpoint.safetensors").is_file()
    steps: list[int] = []
    distil(world, tmp_path / "killed", config=config, live=lambda step, figures: steps.append(step))
    assert min(steps) > 10  # it did not start anew
    for name in ("student/model.safetensors", "metrics/train.csv", "metrics/heldout.csv"):
        assert sha256_file(tmp_path / "whole" / name) == sha256_file(tmp_path / "killed" / name), name


def test_the_mean_of_the_last_looks_is_kept_where_it_is_the_best_and_training_goes_on_without_it(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off, _ = distil(world, tmp_path / "off")
    seen: list[dict[str, torch.Tensor]] = []
    remember = TrainingState.remember

    def looked(state: TrainingState) -> None:
        seen.append({name: value.clone() for name, value in state.student.state_dict().items()})
        remember(state)

    monkeypatch.setattr(TrainingState, "remember", looked)
    on, outcome = distil(world, tmp_path / "on", config=TRAIN.model_copy(update={"average": 3}))
    losses = {name: np.mean([each["loss"] for each in found["heldout"].values()])
              for name, found in (("on", on), ("off", off))}  # fmt: skip
    assert losses["on"] <= losses["off"] and len(seen) > 4 and on["averaged"] == outcome.averaged
    for name in ("metrics/train.csv", "metrics/heldout.csv"):
        assert sha256_file(tmp_path / "on" / name) == sha256_file(tmp_path / "off" / name)
    assert "averaged" not in off

    seen.clear()
    figures, calls = trainer.evaluate_heldout, []

    def means_are_better(*given: Any) -> dict[str, Any]:
        calls.append(len(seen))
        second = len(calls) > 1 and calls[-1] != calls[-2]  # the weights were remembered since the look's own figures
        loss = 1 / len(calls) if second else 2.0
        return {code: found | {"loss": loss} for code, found in figures(*given).items()}

    monkeypatch.setattr(trainer, "evaluate_heldout", means_are_better)
    kept, _ = distil(world, tmp_path / "kept", config=TRAIN.model_copy(update={"average": 3}))
    assert kept["averaged"] == 3 and kept["best_step"] == kept["steps"]
    weights = load_file(tmp_path / "kept/student/model.safetensors")
    for name, value in weights.items():
        torch.testing.assert_close(value, torch.stack([each[name] for each in seen[-3:]]).mean(dim=0))


def test_two_runs_give_the_same_bytes(world: Path, tmp_path: Path) -> None:
    short = TRAIN.model_copy(update={"epochs": 1})
    first, second = distil(world, tmp_path / "a", config=short), distil(world, tmp_path / "b", config=short)
    assert first[0] == second[0]
    name = "student/model.safetensors"
    assert sha256_file(tmp_path / "a" / name) == sha256_file(tmp_path / "b" / name)


def test_another_seed_gives_another_student_of_the_same_cache(world: Path, tmp_path: Path) -> None:
    short = TRAIN.model_copy(update={"epochs": 1})
    first, _ = distil(world, tmp_path / "a", config=short)
    second, _ = distil(world, tmp_path / "b", config=short.model_copy(update={"seed": 2}))
    assert first["teacher"] == second["teacher"]
    name = "student/model.safetensors"
    assert sha256_file(tmp_path / "a" / name) != sha256_file(tmp_path / "b" / name)


def test_a_training_in_bfloat16_learns_as_much_and_keeps_float32_weights(world: Path, tmp_path: Path) -> None:
    exact, _ = distil(world, tmp_path / "a")
    near, _ = distil(world, tmp_path / "b", config=TRAIN.model_copy(update={"precision": "bfloat16"}))
    for language in toy.LANGUAGES:
        assert near["heldout"][language]["loss"] == pytest.approx(exact["heldout"][language]["loss"], rel=0.1)
    weights = [load_file(tmp_path / name / "student/model.safetensors") for name in "ab"]
    assert {tensor.dtype for tensor in weights[1].values()} == {torch.float32}
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_damaged_checkpoint_starts_anew(world: Path, tmp_path: Path) -> None:
    (tmp_path / "x/scratch").mkdir(parents=True)
    (tmp_path / "x/scratch/checkpoint.safetensors").write_bytes(b"no checkpoint")
    summary, _ = distil(world, tmp_path / "x", config=TRAIN.model_copy(update={"epochs": 1}))
    assert summary["steps"] > 0


def test_alpha_decides_what_is_learned(world: Path, tmp_path: Path) -> None:
    short = TRAIN.model_copy(update={"epochs": 3})
    found = {}
    for alpha in (0.0, 1.0):
        summary, _ = distil(world, tmp_path / str(alpha), LOSS.model_copy(update={"alpha": alpha}), short)
        found[alpha] = summary["heldout"]["swa"]
    assert found[1.0]["kl"] < found[0.0]["kl"]
    assert "attention" not in found[1.0]  # not even computed
    assert found[0.0]["attention"] > 0.0


@pytest.mark.parametrize("form", ["heads", "inputs"])
def test_a_student_with_other_heads_learns_from_all_heads_of_its_teacher(
    own_world: Path, tmp_path: Path, form: str
) -> None:
    shutil.rmtree(own_world / "data/teacher")
    toy.make_cache(own_world, toy.CACHE.model_copy(update={"attention": form}))
    summary, _ = distil(own_world, tmp_path, LOSS.model_copy(update={"alpha": 0.0}))  # 2 heads, the teacher has 4
    heldout = rows(tmp_path / "metrics/heldout.csv")
    assert summary["heldout"]["swa"]["attention"] < float(heldout[0]["swa.attention"])


def test_a_cache_of_another_teacher_is_refused(own_world: Path, tmp_path: Path) -> None:
    path = own_world / "models/teacher/manifest.json"
    manifest = read_json(path, "teacher")
    write_json(path, manifest | {"weights_sha256": "0" * 64})
    with pytest.raises(UserError, match=r"teacher\.weights_sha256: expected 0000.*run `dvc repro cache_teacher`"):
        distil(own_world, tmp_path)


def test_training_stops_after_looks_without_improvement(world: Path, tmp_path: Path) -> None:
    config = TRAIN.model_copy(update={"learning_rate": 1e-9, "patience": 2, "weight_decay": 0.0, "epochs": 30})
    summary, outcome = distil(world, tmp_path, config=config)
    assert outcome.stopped_early or summary["best_step"] == summary["steps"]
    assert summary["steps"] <= 30 * 12


def test_a_loss_that_is_no_number_stops_with_step_and_languages(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distil.training import objective

    calls, original = [], objective.logit_kd

    def broken(*args: Any) -> torch.Tensor:
        calls.append(1)
        return original(*args) * (float("nan") if len(calls) == 5 else 1.0)

    monkeypatch.setattr(objective, "logit_kd", broken)
    with pytest.raises(UserError, match=r"step 5: the loss is nan.* sequences of (swa|yor).*learning_rate"):
        distil(world, tmp_path)


@pytest.mark.parametrize(
    ("layer_map", "message"),
    [
        ([LayerPair(student=-1, teacher=1)], r"layer_map: teacher layer 1: expected one of the cached layers \[3\]"),
        ([LayerPair(student=9, teacher=-1)], r"layer_map.student: expected a layer from 1 to 2"),
        ([], r"layer_map is empty"),
    ],
)
def test_a_layer_map_that_does_not_fit_is_refused(world: Path, tmp_path: Path, layer_map: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        distil(world, tmp_path, layer_map=layer_map)


def test_a_tokenizer_that_is_not_the_caches_is_refused(own_world: Path, tmp_path: Path) -> None:
    path = own_world / "models/tokenizer/tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    (path.parent / "checksums.json").unlink()  # another tokenizer, not a damaged one
    with pytest.raises(UserError, match=r"tokenizer\.json: sha256: the teacher cache was made with .* found"):
        distil(own_world, tmp_path)


def test_a_student_that_starts_from_its_teacher_keeps_the_geometry_of_its_words(world: Path, tmp_path: Path) -> None:
    from distil.modeling.shape import build_masked_lm
    from distil.modeling.tokenizer import load_tokenizer, special_ids, teacher_piece_ids
    from distil.modeling.xlm_roberta import load_masked_lm
    from distil.student.initialisation import init_from_teacher

    teacher = load_masked_lm(world / "models/teacher", "teacher")
    tokenizer = load_tokenizer(world / "models/tokenizer")
    wide = toy.SHAPE.model_copy(update={"hidden_size": 40})
    kept = torch.tensor(teacher_piece_ids(world / "models/tokenizer"), dtype=torch.int64)
    for shape, share in ((wide, 1.0), (toy.SHAPE, None)):
        student = build_masked_lm(shape.shape, special_ids(tokenizer), len(kept), 66)
        found = init_from_teacher(student, teacher, kept)
        assert found == pytest.approx(share) if share else 0.5 < found < 1
    student = build_masked_lm(wide.shape, special_ids(tokenizer), len(kept), 66)
    init_from_teacher(student, teacher, kept)
    source = teacher.roberta.embeddings.word_embeddings.weight[kept]
    words = student.roberta.embeddings.word_embeddings.weight
    torch.testing.assert_close(words @ words.T, source @ source.T, atol=1e-3, rtol=1e-3)


def test_every_sequence_stands_once_in_an_epoch_within_the_token_budget(world: Path) -> None:
    index = CachedDataset(caches(world), "train")
    drawn = list(index.epoch_batches(0, 256, 1.0, 7))
    assert sorted(np.concatenate([batch.sequences for batch in drawn]).tolist()) == list(range(len(index.length)))
    for batch in drawn:
        assert len(batch.sequences) * index.length[batch.sequences].max() <= 256
        assert set(batch.variants) == {0}
    assert set(next(iter(index.epoch_batches(3, 256, 1.0, 7))).variants) == {1}  # two variants: epoch 3 takes number 1
    first = [batch.sequences.tolist() for batch in drawn]
    assert first == [batch.sequences.tolist() for batch in index.epoch_batches(0, 256, 1.0, 7)]
    assert first != [batch.sequences.tolist() for batch in index.epoch_batches(1, 256, 1.0, 7)]


def test_a_high_sampling_temperature_evens_languages_out(own_world: Path) -> None:
    raw = own_world / "data/raw/yor.txt"
    raw.write_text("".join(raw.read_text(encoding="utf-8").splitlines(keepends=True)[:60]), encoding="utf-8")
    for folder in ("data/prepared", "data/teacher"):
        shutil.rmtree(own_world / folder)
    toy.make_prepared(own_world)
    toy.make_cache(own_world)
    index = CachedDataset(caches(own_world), "train")

    def share(temperature: float) -> float:
        tokens = np.zeros(2)
        for batch in index.epoch_batches(0, 512, temperature, 1):
            np.add.at(tokens, index.language[batch.sequences], index.length[batch.sequences])
        return float(tokens[1] / tokens.sum())

    assert share(1.0) < 0.25
    assert share(1000.0) == pytest.approx(0.5, abs=0.03)
    assert share(1.0) < share(2.0) < share(1000.0)
    tokens = np.bincount(index.language, weights=index.length)
    for temperature in (1.0, 2.0, 5.0):  # in proportion to tokens ** (1 / temperature)
        expected = tokens[1] ** (1 / temperature) / (tokens ** (1 / temperature)).sum()
        assert share(temperature) == pytest.approx(expected, abs=0.02)


def test_a_language_that_is_drawn_again_in_an_epoch_comes_with_its_other_masks(own_world: Path) -> None:
    raw = own_world / "data/raw/yor.txt"
    raw.write_text("".join(raw.read_text(encoding="utf-8").splitlines(keepends=True)[:60]), encoding="utf-8")
    for folder in ("data/prepared", "data/teacher"):
        shutil.rmtree(own_world / folder)
    toy.make_prepared(own_world)
    toy.make_cache(own_world)
    index = CachedDataset(caches(own_world), "train")
    drawn: dict[int, list[int]] = {}
    for batch in index.epoch_batches(0, 512, 1000.0, 1):
        for sequence, variant in zip(batch.sequences.tolist(), batch.variants.tolist(), strict=True):
            drawn.setdefault(sequence, []).append(variant)
    twice = [variants for variants in drawn.values() if len(variants) > 1]
    assert twice and all(set(variants) == {0, 1} for variants in twice)


def test_every_term_is_logged_for_each_language(world: Path, tmp_path: Path) -> None:
    loss = LOSS.model_copy(update={"masked_lm": 0.5, "attention": "kl"})
    summary, _ = distil(world, tmp_path, loss, TRAIN.model_copy(update={"epochs": 1}))
    terms = ["logit_kd", "attention", "masked_lm"]
    columns = [*terms, *(f"{language}.{term}" for language in toy.LANGUAGES for term in terms)]
    for row in rows(tmp_path / "metrics/train.csv"):
        assert list(row) == ["step", "epoch", "tokens", "learning_rate", "loss", "grad_norm", "skipped", *columns]
        assert all(row[column] for column in columns)
        for term in terms:  # the whole is a mean of the languages, each by its number of places
            low, high = sorted(float(row[f"{language}.{term}"]) for language in toy.LANGUAGES)
            assert low <= float(row[term]) <= high
    heldout = rows(tmp_path / "metrics/heldout.csv")[-1]
    for language in toy.LANGUAGES:
        assert {f"{language}.{name}" for name in ("kl", "nll", "accuracy", "attention")} <= heldout.keys()
        figures = summary["heldout"][language]
        assert figures["loss"] == pytest.approx(
            0.5 * figures["logit_kd"] + 0.5 * figures["attention"] + 0.5 * figures["masked_lm"], abs=1e-5
        )


def test_a_student_learns_from_true_pieces_alone_when_the_teacher_counts_for_nothing(
    world: Path, tmp_path: Path
) -> None:
    loss = LOSS.model_copy(update={"masked_lm": 1.0, "distillation": 0.0})
    summary, _ = distil(world, tmp_path, loss, TRAIN.model_copy(update={"epochs": 2}), layer_map=[])
    figures = summary["heldout"]["swa"]
    assert figures["loss"] == figures["student_nll"] and figures["kl"] > 0  # the cache is there, so KL is measured
    assert "attention" not in figures and "logit_kd" not in figures


def test_a_batch_across_languages_and_shards_holds_each_sequence_as_it_is_alone(world: Path) -> None:
    index = CachedDataset(caches(world), "train")
    drawn = max(index.epoch_batches(0, 512, 1.0, 3), key=lambda batch: len(set(index.language[batch.sequences])))
    batch = index.collate(drawn)
    assert len(set(batch.languages.tolist())) == 2
    for number in range(len(drawn.sequences)):
        tokens = batch.input_ids[number][batch.mask[number]].tolist()
        alone = index.collate(type(drawn)(drawn.sequences[number : number + 1], drawn.variants[number : number + 1], 0))
        matches = [
            row
            for row in range(len(drawn.sequences))
            if batch.input_ids[row][batch.mask[row]].tolist() == alone.input_ids[0].tolist()
        ]
        assert matches and tokens
        row = matches[0]
        here = batch.masked_sequence == row
        assert batch.gold[here].tolist() == alone.gold.tolist()
        torch.testing.assert_close(batch.teacher_logits.log_probs[here], alone.teacher_logits.log_probs)
        width = alone.attention.shape[2]
        torch.testing.assert_close(batch.attention[batch.query_sequence == row][:, :, :width], alone.attention)


def test_the_key_changes_with_whatever_decides_the_student(world: Path) -> None:
    tokenizer, code = world / "models/tokenizer", {"distil/losses/logits.py": "12ab"}
    key = training_key({"alpha": 0.5}, caches(world), tokenizer, code)
    assert key == training_key({"alpha": 0.5}, caches(world), tokenizer, code)
    assert key != training_key({"alpha": 0.6}, caches(world), tokenizer, code)
    assert key != training_key({"alpha": 0.5}, caches(world)[:1], tokenizer, code)
    assert key != training_key({"alpha": 0.5}, caches(world), tokenizer, {"distil/losses/logits.py": "34cd"})
