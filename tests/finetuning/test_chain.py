"""Learned transitions: against all sequences written out, in torch and numpy alike, trained, kept and decoded."""

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from distil.core.errors import UserError
from distil.core.files import read_json
from distil.evaluation.config import ALL_LABELS, MergeConfig, TaskTeachersConfig
from distil.evaluation.metrics import confusion_matrix, weighted_f1
from distil.evaluation.task_teachers import mix_task_teachers
from distil.finetuning.chain import TagChain, gold_losses, log_marginals, log_partition
from distil.finetuning.classifier import decode_labels, load_classifier, predict_scores
from distil.finetuning.encoding import Encoded
from distil.finetuning.losses import soft_label_kd, task_distillation
from distil.finetuning.row_predictions import predict_test
from distil.finetuning.saved_models import FinetunedModels
from distil.finetuning.soft_labels import SOFT_LABEL_SPLITS, SoftLabels
from distil.merging.student_soup import merge_student
from distil.serving.onnx_export import ExportSource, export
from distil.serving.parity import compare_exported
from distil.serving.predictor import Predictor
from distil.tasks.tag_decoding import Decoder, allowed_transitions, read_transitions, tag_marginals
from tests.finetuning.test_run import digest
from tests.support import exported, lab, toy

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
CONFIG = lab.CONFIG.model_copy(update={"tagger": "chain"})


def chain(seed: int, labels: list[str] = TAGS) -> TagChain:
    """Transitions of size 2."""
    found = TagChain(labels)
    with torch.no_grad():
        found.transitions.copy_(2 * torch.randn(found.transitions.shape, generator=torch.Generator().manual_seed(seed)))
    return found


def sentence(words: int, labels: int = 5, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(words, labels, generator=torch.Generator().manual_seed(100 + seed))


def totals(scores: torch.Tensor, model: TagChain) -> dict[tuple[int, ...], float]:
    """The score of every valid sequence."""
    allowed, transitions, labels = allowed_transitions(model.labels), model.as_array(), len(model.labels)
    found = {}
    for tags in product(range(labels), repeat=len(scores)):
        steps = list(zip((labels, *tags), tags, strict=False))
        if all(allowed[step] for step in steps):
            found[tags] = sum(transitions[step] for step in steps) + sum(
                float(scores[word, tag]) for word, tag in enumerate(tags)
            )
    return found


def rows_of(lengths: list[int], gold: list[int], places: list[int] | None = None) -> Encoded:
    """Sentences with these numbers of words; every word has a place unless told otherwise."""
    units = np.arange(len(gold)) if places is None else np.array(places)
    starts = np.cumsum([0, *lengths])
    return Encoded([[0]] * len(lengths), starts, units, np.array(gold), np.zeros(len(lengths), np.int64))


@pytest.mark.parametrize("labels", [TAGS, ["I-LOC", "B-PER", "O", "I-PER"], ["NOUN", "VERB"]])
@pytest.mark.parametrize("words", [1, 2, 4])
def test_the_partition_marginals_and_losses_are_those_of_all_sequences_written_out(
    labels: list[str], words: int
) -> None:
    model, scores = chain(words, labels), sentence(words, len(labels), words)
    every = totals(scores, model)
    weights = np.exp(list(every.values()))
    real = torch.ones(1, words, dtype=torch.bool)
    total, _ = log_partition(scores[None], real, model.moves())
    assert float(total.detach()) == pytest.approx(np.log(weights.sum()), abs=1e-4)
    expected = np.zeros(scores.shape)
    for tags, weight in zip(every, weights, strict=True):
        expected[np.arange(words), tags] += weight / weights.sum()
    found = log_marginals(scores[None], real, model.moves())[0].exp()
    np.testing.assert_allclose(found.detach(), expected, atol=1e-5)
    gold = max(every, key=lambda tags: every[tags])
    for known in (gold, (gold[0], *[-1] * (words - 1)), [-1] * words):  # all, the first, none
        share = sum(weight for tags, weight in zip(every, weights, strict=True)
                    if all(label in (-1, tag) for label, tag in zip(known, tags, strict=True)))  # fmt: skip
        loss = gold_losses(scores[None], real, torch.tensor([known]), model.moves())
        assert float(loss.detach()) == pytest.approx(-np.log(share / weights.sum()), abs=1e-4)


def test_padding_changes_no_loss_and_no_marginal() -> None:
    model, scores, gold = chain(1), sentence(3)[None], torch.tensor([[1, 2, 0]])
    wide = torch.cat([scores, torch.full((1, 4, 5), 9.0)], dim=1)
    real, longer = torch.ones(1, 3, dtype=torch.bool), torch.arange(7)[None] < 3
    labels = torch.cat([gold, torch.full((1, 4), -1)], dim=1)
    torch.testing.assert_close(gold_losses(wide, longer, labels, model.moves()),
                               gold_losses(scores, real, gold, model.moves()), rtol=0, atol=0)  # fmt: skip
    torch.testing.assert_close(log_marginals(wide, longer, model.moves())[:, :3],
                               log_marginals(scores, real, model.moves()), rtol=0, atol=0)  # fmt: skip
    logits, rows = sentence(6, seed=2), rows_of([3, 1, 2], [1, 2, 0, 0, 3, 4])
    together = model(logits, rows, np.array([0, 1, 2]), True)
    for row in range(3):
        units = slice(rows.starts[row], rows.starts[row + 1])
        alone = model(logits[units], rows, np.array([row]), True)
        torch.testing.assert_close(alone.gold_losses, together.gold_losses[units])
        torch.testing.assert_close(alone.log_marginals, together.log_marginals[units])


def test_torch_and_numpy_have_the_same_marginals_and_the_decoder_finds_the_likeliest_sequence_of_the_loss() -> None:
    model, logits, rows = chain(3), sentence(9, seed=3), rows_of([4, 0, 5], [0] * 9)
    found = model(logits, rows, np.arange(3), True).log_marginals
    expected = tag_marginals(logits.numpy(), rows.starts, TAGS, model.as_array())
    np.testing.assert_allclose(found.detach(), expected, atol=1e-4)
    scores = logits[:4][None].log_softmax(dim=-1)
    every = list(totals(logits[:4], model))
    losses = gold_losses(scores.expand(len(every), -1, -1), torch.ones(len(every), 4, dtype=torch.bool),
                         torch.tensor(every), model.moves())  # fmt: skip
    decoded = decode_labels(logits.numpy(), rows, "token_classification", TAGS, model.as_array())
    assert tuple(decoded[:4]) == every[int(losses.argmin())]
    assert float((-losses).exp().sum().detach()) == pytest.approx(1, abs=1e-4)


def test_without_transitions_and_rules_the_losses_are_those_of_single_words() -> None:
    labels, logits = ["NOUN", "VERB", "ADP"], sentence(5, 3)
    rows, teacher = rows_of([3, 2], [0, 1, 2, 2, 0]), sentence(5, 3, seed=7).log_softmax(dim=-1)
    found, gold = TagChain(labels)(logits, rows, np.arange(2), True), torch.from_numpy(rows.gold)
    chained = task_distillation(found.log_marginals, gold, teacher, 2.0, 0.5, found.gold_losses)
    single = task_distillation(logits, gold, teacher, 2.0, 0.5)
    assert float(chained.sum()) == pytest.approx(float(single.sum()), rel=1e-5)


def test_marginals_equal_to_the_teachers_teach_nothing_and_gradients_are_finite() -> None:
    model, logits, rows = chain(4), 3 * sentence(6, seed=4), rows_of([6], [1, 2, 2, 0, 3, 4])
    logits.requires_grad_()
    found = model(logits, rows, np.array([0]), True)
    teacher = torch.from_numpy(tag_marginals(logits.detach().numpy(), rows.starts, TAGS, model.as_array()))
    assert float(soft_label_kd(found.log_marginals, teacher, 2.0).abs().max()) < 1e-4
    (found.gold_losses.sum() + soft_label_kd(found.log_marginals, torch.log(torch.full((6, 5), 0.2)), 2.0).sum()
     ).backward()  # fmt: skip
    for gradient in (logits.grad, model.transitions.grad):
        assert gradient is not None and torch.isfinite(gradient).all() and gradient.abs().max() > 0
    assert (model.transitions.grad[~model.allowed] == 0).all()  # type: ignore[index]


def test_a_word_without_a_place_may_have_any_tag() -> None:
    model, logits = chain(5), sentence(2, seed=5)
    rows = rows_of([3], [1, 2, 0], [0, -1, 1])  # the second word has no piece
    found = model(logits, rows, np.array([0]), False)
    scores = torch.stack([logits[0].log_softmax(-1), torch.zeros(5), logits[1].log_softmax(-1)])
    every = totals(scores, model)
    share = sum(np.exp(total) for tags, total in every.items() if tags[0] == 1 and tags[2] == 0)
    expected = -np.log(share / sum(map(np.exp, every.values())))
    assert found.gold_losses.tolist() == pytest.approx([expected / 2] * 2, abs=1e-4)
    torch.testing.assert_close(found.log_marginals, logits.log_softmax(-1))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A lab with teacher and student fine-tuned with transitions; read only but for new folders."""
    root = lab.make_lab(tmp_path_factory.mktemp("lab"), world)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        lab.tuned("teacher", "names", seeds=(1, 2), config=CONFIG)
        shared = CONFIG.student.model_copy(update={"epochs": 2, "shared_head": True})
        lab.tuned("student", "names", seeds=(1, 2), config=CONFIG.model_copy(update={"student": shared}))
    return root


@pytest.fixture
def here(room: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(room)
    return room


def models_of(model: str) -> FinetunedModels:
    return FinetunedModels(Path("models/finetuned") / model / "names")


@pytest.mark.parametrize("model", ["teacher", "student"])
def test_transitions_are_learned_kept_in_a_file_of_their_own_and_named_by_config_and_manifest(
    here: Path, model: str
) -> None:
    models, labels = models_of(model), lab.LABELS["names"]
    assert models.manifest["recipe"]["tagger"] == "chain"
    for seed in (1, 2):
        folder = models.folder / f"seed-{seed}"
        found = read_transitions(folder, labels, "")
        assert found.shape == (4, 3) and np.abs(found[allowed_transitions(labels)]).min() > 0.01
        assert (found[~allowed_transitions(labels)] == 0).all()
        assert read_json(folder / "config.json", "")["transitions"] == "transitions.json"
        loaded = load_classifier(folder, "token_classification", labels, 40, "finetune")
        np.testing.assert_array_equal(loaded.transitions, found)
    task = lab.task_of("names")
    predicted, _ = predict_test(models, task)
    assert all(len(each.predicted) == 2 for each in predicted.values())


def test_off_there_is_no_transition_and_a_text_classifier_never_has_one(here: Path) -> None:
    words = lab.tuned("student_plain", "names", out="off").folder
    texts = lab.tuned("student_plain", "words", out="texts", config=CONFIG).folder
    for folder in (words, texts):
        assert (
            not list(folder.rglob("transitions.json"))
            and "tagger" not in read_json(folder / "manifest.json", "")["recipe"]
        )
        assert "transitions" not in read_json(folder / "seed-1/config.json", "")
    assert digest(texts / "seed-1") == digest(lab.tuned("student_plain", "words", out="plain").folder / "seed-1")


def test_a_run_with_transitions_that_is_killed_goes_on_to_the_same_bytes(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update={"student": CONFIG.student.model_copy(update={"epochs": 2})})
    with lab.killed_at(monkeypatch, 40):
        lab.tuned("student", "names", out="killed", config=config)
    killed = lab.tuned("student", "names", out="killed", config=config)
    assert digest(killed.folder) == digest(lab.tuned("student", "names", out="whole", config=config).folder)


def test_a_chained_teachers_soft_labels_are_the_mean_of_its_seeds_marginals(here: Path) -> None:
    task, models = lab.task_of("names"), models_of("teacher")
    labels = SoftLabels(Path("data/task_targets/names"), task, "")
    assert labels.are_marginals
    rows, probs = models.encoder().split(task, "yor", 1, "dev"), []
    for seed in (1, 2):
        model = load_classifier(models.folder / f"seed-{seed}", task.kind, task.labels, 40, "")
        scores = predict_scores(model, rows, models.encoder().pad_id)
        probs.append(np.exp(tag_marginals(scores, rows.starts, task.labels, model.transitions)))
    np.testing.assert_allclose(np.exp(labels.read("yor")["dev"]), np.mean(probs, axis=0), atol=1e-5)


@pytest.mark.parametrize("tags", ["words", "marginals"])
def test_marginals_of_a_chained_teacher_are_not_made_a_second_time(here: Path, tags: str) -> None:
    task = lab.task_of("names")
    labels = SoftLabels(Path("data/task_targets/names"), task, "")
    given = {"transformer": {code: labels.read(code) for code in toy.LANGUAGES}}
    uniform = {code: {split: np.full_like(each, np.log(1 / 3)) for split, each in given["transformer"][code].items()}
               for code in toy.LANGUAGES}  # fmt: skip
    alone = TaskTeachersConfig(path="x", use=("transformer",), tags=tags, sequences=5)
    found = mix_task_teachers(task, toy.LANGUAGES, given, SOFT_LABEL_SPLITS, alone, ALL_LABELS, {"transformer"})
    np.testing.assert_allclose(found.soft_labels["swa"]["train"], given["transformer"]["swa"]["train"], atol=1e-5)
    assert found.about["tags"] == "marginals"
    both = alone.model_copy(update={"use": ("transformer", "folder")})
    found = mix_task_teachers(
        task, toy.LANGUAGES, given | {"folder": uniform}, SOFT_LABEL_SPLITS, both, ALL_LABELS, {"transformer"}
    )
    weights = found.mixed["swa"].weights
    starts = np.cumsum([0, *(len(row.tokens) for row in task.token_rows("swa", "train"))])
    other = uniform["swa"]["train"]
    other = tag_marginals(other, starts, task.labels) if tags == "marginals" else other
    expected = weights["transformer"] * np.exp(given["transformer"]["swa"]["train"]) + weights["folder"] * np.exp(other)
    np.testing.assert_allclose(np.exp(found.soft_labels["swa"]["train"]), expected, atol=1e-5)
    assert found.about.get("tags") == ("marginals" if tags == "marginals" else None)


@pytest.mark.parametrize("method", ["linear", "ties"])
def test_merged_seeds_have_merged_transitions(here: Path, method: str) -> None:
    out, config = (
        Path("merged") / method / "names",
        MergeConfig(tasks=("names",), members="greedy", method=method, density=1.0),
    )
    kept = merge_student(models_of("student"), lab.task_of("names"), config, out)["kept"]["seed-0"]
    each = [read_transitions(models_of("student").folder / f"seed-{seed}", lab.LABELS["names"], "") for seed in kept]
    found = read_transitions(out / "seed-0", lab.LABELS["names"], "")
    if method == "linear":
        np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    assert np.abs(found).max() > 0.01
    predict_test(FinetunedModels(out, "merge_student@names"), lab.task_of("names"))


def sharp(folder: Path) -> np.ndarray:
    """Make a model's transitions decide tags that its words alone would not; returns them."""
    about = json.loads((folder / "transitions.json").read_text(encoding="utf-8"))
    found = np.array([[-6.0, 6, 0], [-6, 6, -6], [6, -6, -6], [6, -6, 0]])
    (folder / "transitions.json").write_text(json.dumps(about | {"transitions": found.tolist()}), encoding="utf-8")
    return found


def test_an_exported_folder_tags_as_evaluation_does_and_its_graph_knows_no_transitions(
    here: Path, tmp_path: Path
) -> None:
    task, plain = lab.task_of("names"), lab.tuned("student_plain", "names", out="plain-tags")
    trained = tmp_path / "names/seed-1"
    shutil.copytree(models_of("student").folder / "seed-1", trained)
    transitions = sharp(trained)
    source = ExportSource("names", trained, "token_classification", "names", toy.LANGUAGES, 40)
    export(source, exported.CONFIG, tmp_path / "onnx")
    words = [row.tokens for row in task.token_rows("swa", "test")]
    model = load_classifier(trained, task.kind, task.labels, 40, "finetune")
    encoder = models_of("student").encoder()
    rows = encoder.split(task, "swa", 0, "test")
    scores = predict_scores(model, rows, encoder.pad_id)
    numbers = decode_labels(scores, rows, task.kind, task.labels, model.transitions)
    assert (numbers != decode_labels(scores, rows, task.kind, task.labels, None)).any()
    expected = [task.labels[number] for number in numbers]
    marginals = np.exp(tag_marginals(scores, rows.starts, task.labels, transitions))
    for folder in (tmp_path / "onnx/fp32", trained):
        served = Predictor(folder, 1)([" ".join(sentence) for sentence in words])
        assert [tag for found in served for tag in found["tags"]] == expected
        shown = [score for found in served for score in found["scores"]]
        assert shown == pytest.approx(marginals[np.arange(len(numbers)), numbers].tolist(), abs=1e-4)
    assert (tmp_path / "onnx/int8/transitions.json").read_bytes() == (trained / "transitions.json").read_bytes()
    compared = compare_exported(source, tmp_path / "onnx", task, exported.CONFIG)["languages"]["swa"]
    f1 = float(weighted_f1(confusion_matrix(rows.gold, numbers, len(task.labels))))
    assert compared["weighted_f1"] == pytest.approx(f1, abs=1e-6)
    # The graph is that of the same weights without transitions.
    shutil.copyfile(trained / "model.safetensors", plain.folder / "seed-1/model.safetensors")
    export(source._replace(folder=plain.folder / "seed-1"), exported.CONFIG, tmp_path / "without")
    for precision in ("fp32", "int8"):
        with_chain, without = (tmp_path / name / precision / "model.onnx" for name in ("onnx", "without"))
        assert with_chain.read_bytes() == without.read_bytes()


def test_transitions_that_are_gone_or_changed_are_refused_wherever_they_are_read(here: Path, tmp_path: Path) -> None:
    trained = shutil.copytree(models_of("student").folder / "seed-1", tmp_path / "names/seed-1")
    source = ExportSource("names", trained, "token_classification", "names", toy.LANGUAGES, 40)
    export(source, exported.CONFIG, tmp_path / "onnx")
    sharp(tmp_path / "onnx/fp32")
    with pytest.raises(UserError, match=r"fp32/transitions.json: damaged or of another model .*; export or download"):
        Predictor(tmp_path / "onnx/fp32", 1)
    (tmp_path / "onnx/int8/transitions.json").unlink()
    (trained / "transitions.json").unlink()
    with pytest.raises(UserError, match=r"int8/transitions.json: no such file, but the tagger of config.json .*; e"):
        Predictor(tmp_path / "onnx/int8", 1)
    with pytest.raises(
        UserError, match=r"seed-1/transitions.json: no such file, .*; run `dvc repro --force finetune_s"
    ):
        load_classifier(trained, "token_classification", lab.LABELS["names"], 40, "finetune_student@names")


def test_the_decoder_without_words_has_no_marginals() -> None:
    assert Decoder(TAGS, None).marginals(np.empty((0, 5)), np.empty(0, np.bool_)).shape == (0, 5)
