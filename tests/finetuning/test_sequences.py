"""A teacher's sequences of tags as soft labels: their loss against plain loops, on disk, and a student of them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from distil.core.errors import UserError
from distil.core.files import read_json
from distil.core.params import load_params
from distil.evaluation.config import TaskTeachersConfig
from distil.evaluation.task_teachers import find_sequences
from distil.finetuning.chain import ChainOutputs, TagChain
from distil.finetuning.config import FineTuningConfig
from distil.finetuning.encoding import NO_LABEL, Encoded, join
from distil.finetuning.losses import task_distillation
from distil.finetuning.soft_labels import (
    LEARNED_SPLITS,
    SOFT_LABEL_SPLITS,
    SoftLabels,
    units,
    write_soft_labels,
)
from distil.tasks.data import Task
from distil.tasks.tag_sequences import NO_TAG, TagSequences, best_sequences
from stages import finetune, mix_teachers
from tests.evaluation.test_baselines import make_task
from tests.finetuning.test_chain import TAGS, chain, rows_of, sentence, totals
from tests.finetuning.test_run import digest
from tests.support import ROOT, lab, toy

NAN = float("nan")


def taught(lengths: list[int], count: int, unread: tuple[int, ...] = (), places: list[int] | None = None) -> Encoded:
    """Sentences without gold labels, with the K best sequences of a random teacher that did not read some words."""
    rows = rows_of(lengths, [NO_LABEL] * sum(lengths), places)
    log_probs = sentence(sum(lengths), seed=50).log_softmax(dim=-1).numpy()
    log_probs[list(unread)] = NAN
    found = best_sequences(log_probs, rows.starts, TAGS, count)
    return rows._replace(teacher=log_probs, sequences=found.tags.T, sequence_weights=found.weights)


def plain_losses(logits: torch.Tensor, rows: Encoded, model: TagChain) -> torch.Tensor:
    """(U,) of the words with a place: sum over k of weight k * -log p(sequence k), one loop in another."""
    found, first = [], 0
    scores, moves = logits.log_softmax(dim=-1), model.transitions
    for row, (start, stop) in enumerate(zip(rows.starts[:-1], rows.starts[1:], strict=True)):
        placed = [unit for unit in range(start, stop) if rows.places[unit] >= 0]
        own = {unit: scores[first + at] for at, unit in enumerate(placed)}
        first += len(placed)
        every = {}
        for tags in totals(torch.zeros(int(stop - start), len(TAGS)), model):
            steps = zip((len(TAGS), *tags), tags, strict=False)
            every[tags] = sum((moves[step] for step in steps), start=torch.zeros(()))
            every[tags] = every[tags] + sum(own[unit][tag] for unit, tag in zip(range(start, stop), tags, strict=True)
                                            if unit in own)  # fmt: skip
        loss, known = torch.zeros(()), 0
        for k, weight in enumerate(rows.sequence_weights[row]):
            wanted = {unit: rows.sequences[unit, k] for unit in placed if rows.sequences[unit, k] != NO_TAG}
            fitting = [total for tags, total in every.items()
                       if all(tags[unit - start] == tag for unit, tag in wanted.items())]  # fmt: skip
            nll = torch.stack(list(every.values())).logsumexp(0) - torch.stack(fitting).logsumexp(0)
            loss, known = loss + float(weight) * nll, max(known, len(wanted))
        found += [loss / max(1, known)] * len(placed)
    return torch.stack(found)


def losses_of(model: TagChain, logits: torch.Tensor, rows: Encoded, batch: np.ndarray) -> torch.Tensor:
    found: ChainOutputs = model(logits, rows, batch, False)
    assert found.sequence_losses is not None
    return found.sequence_losses


@pytest.mark.parametrize("unread", [(), (1, 5)])
@pytest.mark.parametrize("places", [None, [0, -1, 1, 2, 3, 4, 5, 6]])
def test_loss_and_gradient_are_those_of_a_plain_loop(unread: tuple[int, ...], places: list[int] | None) -> None:
    model, rows = chain(6), taught([3, 1, 4], 4, unread, places)
    logits = sentence(8 if places is None else 7, seed=6).requires_grad_()
    expected = plain_losses(logits, rows, model)
    gradients = torch.autograd.grad(expected.sum(), [logits, model.transitions])
    found = losses_of(model, logits, rows, np.arange(3))
    assert float(found.detach().min()) > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    for one, other in zip(torch.autograd.grad(found.sum(), [logits, model.transitions]), gradients, strict=True):
        assert other.abs().max() > 0.1
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_with_all_sequences_it_is_the_cross_entropy_of_both_distributions_and_teaches_nothing_at_equality() -> None:
    rows, words = taught([3], 125), 3
    teacher, logits = rows.teacher, torch.from_numpy(rows.teacher).clone().requires_grad_()
    student = TagChain(TAGS)  # with transitions of 0: the teacher's own distribution over valid sequences
    weights = rows.sequence_weights[0][rows.sequence_weights[0] > 0]
    entropy = -float((weights * np.log(weights)).sum())
    found = losses_of(student, logits, rows, np.array([0]))
    assert float(found.sum().detach()) == pytest.approx(entropy, abs=1e-4) and entropy > 0.5
    found.sum().backward()
    assert logits.grad is not None and logits.grad.abs().max() < 1e-5
    other, scores = chain(7), sentence(words, seed=7)
    p, q = (np.array(list(totals(of, by).values())) for of, by in
            ((torch.from_numpy(teacher), student), (scores.log_softmax(-1), other)))  # fmt: skip
    cross = -float((np.exp(p) / np.exp(p).sum() * (q - np.log(np.exp(q).sum()))).sum())
    found = losses_of(other, scores, rows, np.array([0]))
    assert float(found.sum().detach()) == pytest.approx(cross, abs=1e-3) and cross > entropy + 0.1


def test_other_sentences_padding_and_missing_sequences_change_nothing() -> None:
    model, rows, logits = chain(8), taught([3, 1, 5], 6, (4,)), sentence(9, seed=8)
    together = losses_of(model, logits, rows, np.arange(3))
    for row in range(3):
        chosen = slice(rows.starts[row], rows.starts[row + 1])
        torch.testing.assert_close(losses_of(model, logits[chosen], rows, np.array([row])), together[chosen])
    more = rows._replace(sequences=np.pad(rows.sequences, ((0, 0), (0, 3)), constant_values=NO_TAG),
                         sequence_weights=np.pad(rows.sequence_weights, ((0, 0), (0, 3))))  # fmt: skip
    torch.testing.assert_close(losses_of(model, logits, more, np.arange(3)), together)
    assert (rows.sequence_weights[1] == 0).any()  # one word has three valid tags, not six


def test_gold_losses_and_marginals_are_as_without_sequences() -> None:
    model, rows, logits = chain(9), taught([3, 4], 3), sentence(7, seed=9)
    rows = rows._replace(gold=np.array([1, 2, 0, 0, 3, 4, 0]))
    plain = model(logits, rows._replace(sequences=None, sequence_weights=None), np.arange(2), True)
    found = model(logits, rows, np.arange(2), True)
    assert plain.sequence_losses is None
    torch.testing.assert_close(found.gold_losses, plain.gold_losses)
    torch.testing.assert_close(found.log_marginals, plain.log_marginals)


def test_the_teachers_part_is_that_of_the_sequences_and_knows_no_temperature() -> None:
    logits, teacher = torch.zeros(3, 2), torch.tensor([[0.8, 0.2], [0.8, 0.2], [NAN, NAN]]).log()
    gold, of_gold, of_teacher = torch.tensor([0, -1, 1]), torch.tensor([1.0, 9, 2]), torch.tensor([3.0, 5, 9])
    for temperature in (1.0, 4.0):
        found = task_distillation(logits, gold, teacher, temperature, 0.25, of_gold, of_teacher)
        assert found.tolist() == pytest.approx([0.75 * 1 + 0.25 * 3, 0.25 * 5, 0.75 * 2])


def test_rows_keep_their_sequences_when_some_are_taken_or_joined() -> None:
    rows = taught([3, 1, 4], 4)
    taken = rows.take(np.array([2, 0]))
    np.testing.assert_array_equal(taken.sequences, np.concatenate([rows.sequences[4:], rows.sequences[:3]]))
    np.testing.assert_array_equal(taken.sequence_weights, rows.sequence_weights[[2, 0]])
    both = join([rows_of([2], [0, 1]), rows])
    assert (both.sequences[:2] == NO_LABEL).all() and (both.sequence_weights[0] == 0).all()
    np.testing.assert_array_equal(both.sequences[2:], rows.sequences)
    np.testing.assert_array_equal(both.sequence_weights[1:], rows.sequence_weights)
    assert join([rows_of([2], [0, 1])] * 2).sequences is None


@pytest.fixture
def task(tmp_path: Path) -> Task:
    rows = [{"tokens": ["Ana", "sings"], "tags": ["B-PER", "O"]}, {"tokens": ["no"], "tags": ["O"]}]
    splits = {"train": rows, "dev": rows[:1], "test": rows[1:], "unlabelled": [{"tokens": ["a", "b", "c", "d"]}]}
    return make_task(tmp_path / "toy", "token_classification", ["O", "B-PER"], splits)


def config_of(tags: str, count: int = 5) -> TaskTeachersConfig:
    return TaskTeachersConfig(path="x", use=("transformer",), tags=tags, sequences=count)


def written(task: Task, folder: Path, **more: dict[str, dict[str, TagSequences]]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {split: np.log(rng.dirichlet([1, 1], units(task, "kin", split)), dtype=np.float32)
             for split in SOFT_LABEL_SPLITS}  # fmt: skip
    found["unlabelled"][3] = NAN
    write_soft_labels(folder, task, {"kin": found}, {"seeds": [1]}, **more)
    return found


def test_what_is_written_is_read_and_the_soft_labels_beside_it_stay_as_they_are(task: Task, tmp_path: Path) -> None:
    labels = written(task, tmp_path / "plain")
    sequences = find_sequences(task, {"kin": labels}, LEARNED_SPLITS, config_of("sequences", 3))
    written(task, tmp_path / "labels", sequences=sequences)
    read = SoftLabels(tmp_path / "labels", task, "")
    assert read.sequences == 3 and not read.are_marginals
    found = read.read_sequences("kin")
    assert set(found) == {"train", "unlabelled"}
    starts = {"train": np.array([0, 2, 3]), "unlabelled": np.array([0, 4])}
    for split, (tags, weights) in found.items():
        expected = best_sequences(labels[split], starts[split], task.labels, 3)
        np.testing.assert_array_equal(tags, expected.tags)
        np.testing.assert_array_equal(weights, expected.weights)
        np.testing.assert_array_equal(read.read("kin")[split], labels[split])
    assert found["train"][1][1, 2] == 0 and found["train"][0][2, 2] == NO_TAG  # `no` has two valid tags
    assert (found["unlabelled"][0][:, 3] == NO_TAG).all()
    assert SoftLabels(tmp_path / "plain", task, "").sequences == 0


@pytest.mark.parametrize("tags", ["words", "marginals"])
def test_without_them_every_byte_is_as_it_was(task: Task, tmp_path: Path, tags: str) -> None:
    labels = written(task, tmp_path / "plain")
    none = find_sequences(task, {"kin": labels}, LEARNED_SPLITS, config_of(tags))
    assert none == {}
    written(task, tmp_path / "none", sequences=none)
    assert digest(tmp_path / "none") == digest(tmp_path / "plain")


def test_other_shapes_and_bytes_are_refused(task: Task, tmp_path: Path) -> None:
    folder, labels = tmp_path / "labels", written(task, tmp_path / "plain")
    sequences = find_sequences(task, {"kin": labels}, LEARNED_SPLITS, config_of("sequences", 3))["kin"]
    tags, weights = sequences["train"]
    written(task, folder, sequences={"kin": sequences | {"train": TagSequences(tags[:, :2], weights)}})
    with pytest.raises(UserError, match=r"kin.safetensors: train_sequences: expected an array of shape \(3, 3\), fou"):
        SoftLabels(folder, task, "mix").read_sequences("kin")
    written(task, folder, sequences={"kin": sequences | {"train": TagSequences(tags, weights[:1])}})
    with pytest.raises(
        UserError, match=r"train_weights: expected an array of shape \(2, 3\), found \(1, 3\); run `dvc"
    ):
        SoftLabels(folder, task, "mix").read_sequences("kin")
    written(task, folder, sequences={"kin": {"train": sequences["train"]}})
    with pytest.raises(UserError, match=r"unlabelled_sequences: expected an array of shape \(3, 4\), found None; run"):
        SoftLabels(folder, task, "mix").read_sequences("kin")
    written(task, folder, sequences={"kin": sequences})
    (folder / "checksums.json").unlink()  # as in a folder that no stage wrote
    data = (folder / "kin.safetensors").read_bytes()
    (folder / "kin.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # the bytes are the last
    with pytest.raises(UserError, match="it is damaged"):
        SoftLabels(folder, task, "mix").read_sequences("kin")


def test_too_many_labels_for_a_byte_are_refused(task: Task) -> None:
    many = task._replace(labels=[f"T{at}" for at in range(256)])
    with pytest.raises(UserError, match=r"task_teachers.tags: expected at most 255 labels .*, found 256 in .*; set it"):
        find_sequences(many, {}, LEARNED_SPLITS, config_of("sequences"))


def write_params(root: Path, **teachers: object) -> None:
    """Sequences only: no label of a row counts, and one language has hidden most of them anyway."""
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["languages"] = toy.LANGUAGES
    tree["evaluate"] |= {"tasks": ["words", "names"], "seeds": [1],
                         "few_labels": {"languages": ["yor"], "rows": 5}}  # fmt: skip
    tree["finetune"] |= {
        "student": lab.PACE | {"shared_head": False, "epochs": 3}, "batch_size": 16, "max_length": 40,
        "tagger": "chain", "task_weight": 1.0, "unlabelled": {"weight": "entropy", "mask_words": 0.1},
        "task_teachers": tree["finetune"]["task_teachers"] | {"tags": "sequences", "sequences": 4} | teachers,
    }  # fmt: skip
    (root / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A lab with soft labels of a teacher that is mostly right, mixed; read only but for new folders."""
    root = lab.make_lab(tmp_path_factory.mktemp("lab"), world)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_params(root)
        for name in ("words", "names"):
            task, rng = lab.task_of(name), np.random.default_rng(3)
            found = {code: {split: said(task, code, split, rng) for split in SOFT_LABEL_SPLITS}
                     for code in toy.LANGUAGES}  # fmt: skip
            write_soft_labels(Path("data/task_targets") / name, task, found, {"seeds": [1]})
            mix_teachers.main(name)
    return root


def said(task: Task, language: str, split: str, rng: np.random.Generator) -> np.ndarray:
    """0.8 on the right label, and noise."""
    if task.kind == "token_classification":
        rows = task.unlabelled_tokens(language) if split == "unlabelled" else [
            row.tokens for row in task.token_rows(language, split)]  # fmt: skip
        right = np.array([{"Juma": 1, "Otieno": 2}.get(word, 0) for tokens in rows for word in tokens])
    else:
        right = np.array([int(text.startswith("baya")) for text in (
            task.unlabelled_texts(language) if split == "unlabelled" else task.texts(language, split))])  # fmt: skip
    probs = 0.8 * np.eye(len(task.labels))[right] + 0.2 * rng.dirichlet([1] * len(task.labels), len(right))
    return np.log(probs).astype(np.float32)


@pytest.fixture
def here(room: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(room)
    return room


def test_mix_teachers_writes_sequences_beside_the_soft_labels_of_words_and_none_of_texts(here: Path) -> None:
    tags = SoftLabels(Path("data/mixed_targets/names"), lab.task_of("names"), "")
    assert tags.manifest["sequences"] == 4 and "tags" not in tags.manifest
    found, weights = tags.read_sequences("yor")["train"]
    assert found.shape == (4, units(tags.task, "yor", "train")) and weights.shape == (96, 4)
    assert weights.min() > 0 and np.diff(weights, axis=1).max() <= 0
    right = np.array([tags.task.labels.index(tag) for row in tags.task.token_rows("yor", "train") for tag in row.tags])
    assert (found[0] == right).mean() > 0.95
    before = {name: digest(Path("data/mixed_targets") / name) for name in ("words", "names")}
    labels = {code: tags.read(code) for code in toy.LANGUAGES}
    try:
        write_params(here, tags="words")
        for name in before:
            mix_teachers.main(name)
        assert digest(Path("data/mixed_targets/words")) == before["words"]
        words = SoftLabels(Path("data/mixed_targets/names"), tags.task, "")
        assert not words.sequences
        for code in toy.LANGUAGES:
            for split, each in words.read(code).items():
                np.testing.assert_array_equal(each, labels[code][split])
    finally:
        write_params(here)
        mix_teachers.main("names")
    assert digest(Path("data/mixed_targets/names")) == before["names"]  # the same bytes again


def test_a_student_of_sequences_alone_learns_the_tags_and_goes_on_after_a_kill_to_the_same_bytes(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lab.killed_at(monkeypatch, 20):
        finetune.main("student", "names")
    finetune.main("student", "names")
    folder = Path("models/finetuned/student/names")
    manifest, killed = read_json(folder / "manifest.json", ""), digest(folder)
    history = manifest["history"]["seed-1"]
    assert history[-1]["swa"] > 0.9 and history[-1]["loss"] < 0.7 * history[0]["loss"]  # what is left is entropy
    assert manifest["rows"]["yor"]["labelled"] == 5
    shutil.rmtree(folder)
    finetune.main("student", "names")
    assert digest(folder) == killed


def test_a_text_task_of_the_same_run_learns_its_soft_labels(here: Path) -> None:
    finetune.main("student", "words")
    history = read_json(Path("models/finetuned/student/words/manifest.json"), "")["history"]["seed-1"]
    assert history[-1]["loss"] < history[0]["loss"]


def test_sequences_need_a_chain(here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tree = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    tree["finetune"]["tagger"] = "words"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    expected = (r"params.yaml: finetune: tagger: expected chain, since task_teachers.tags is sequences, found words; "
                r"set it to chain, or the tags to words or marginals")  # fmt: skip
    with pytest.raises(UserError, match=expected):
        load_params("finetune", FineTuningConfig, tmp_path / "params.yaml")
    # Soft labels that were mixed before the setting changed.
    tree["finetune"]["task_teachers"]["tags"] = "words"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    for name in ("models", "data", "distil", "stages", "dvc.yaml"):
        (tmp_path / name).symlink_to(here / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"tagger: expected chain, since data/mixed_targets/names has sequences of tag"):
        finetune.main("student", "names")
