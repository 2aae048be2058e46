"""Few labels: which rows keep theirs, what the baselines and the linear teacher make of the others, and bad values."""

import json
from pathlib import Path

import numpy as np
import pytest

from distil.core.errors import UserError
from distil.evaluation import pooled_teacher
from distil.evaluation.baselines import label_numbers, majority, tfidf
from distil.evaluation.config import ALL_LABELS, FewLabelsConfig, load_evaluate
from distil.evaluation.few_labels import few_labels_entry, known_rows, training_rows
from distil.evaluation.linear_teacher import FOLDS, linear_soft_labels, row_folds, training_unit_rows
from distil.evaluation.pooled_teacher import pooled_soft_labels, shared_weights
from distil.evaluation.teacher_mixture import mix_by_weights
from distil.tasks.data import Task, read_task
from tests.support import ROOT
from tests.support.bad_input import change

LABELS = ["bad", "good"]


def rows_of(words: dict[str, list[str]], count: int, seed: int) -> list[dict]:
    """Texts of a label's words, in which chance words stand, too."""
    rng = np.random.default_rng(seed)
    labels = [LABELS[at % 2] for at in range(count)]
    return [{"text": f"{rng.choice(words[label])} w{rng.integers(999)}", "label": label} for label in labels]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Three languages: two share their words, the third says the opposite by the same ones."""
    shared = {"good": ["zuri", "njema"], "bad": ["baya", "mbovu"]}
    return make_task(
        tmp_path / "toy", {"kin": shared, "swa": shared, "yor": {"good": shared["bad"], "bad": shared["good"]}}
    )


def make_task(folder: Path, words: dict[str, dict[str, list[str]]]) -> Task:
    """60 train, 20 dev and 20 test rows a language."""
    manifest = {"task": "toy", "kind": "text_classification", "labels": LABELS, "languages": {
        code: {"train": {"rows": 60}, "dev": {"rows": 20}, "test": {"rows": 20}} for code in words}}  # fmt: skip
    for at, (code, own) in enumerate(words.items()):
        (folder / code).mkdir(parents=True)
        for seed, (split, count) in enumerate({"train": 60, "dev": 20, "test": 20}.items()):
            lines = [json.dumps(row) + "\n" for row in rows_of(own, count, 10 * at + seed)]
            (folder / code / f"{split}.jsonl").write_text("".join(lines))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return read_task(folder)


def few(rows: int, *languages: str) -> FewLabelsConfig:
    return FewLabelsConfig(languages=languages or ("yor",), rows=rows)


def test_the_drawn_rows_are_nested_and_depend_on_the_texts_alone(task: Task) -> None:
    drawn = {rows: set(np.flatnonzero(known_rows(task, "yor", few(rows))).tolist()) for rows in (0, 5, 30, 60)}
    assert [len(each) for each in drawn.values()] == [0, 5, 30, 60]
    assert drawn[5] < drawn[30] < drawn[60]
    assert known_rows(task, "swa", few(5)).all() and known_rows(task, "yor", ALL_LABELS).all()
    path = task.folder / "yor/train.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in reversed(lines)))
    assert set(np.flatnonzero(known_rows(task, "yor", few(5))).tolist()) == {59 - row for row in drawn[5]}


def test_a_manifest_names_the_draw_and_nothing_where_it_is_off(task: Task) -> None:
    entry = few_labels_entry(task, task.languages, few(5))["few_labels"]
    assert entry["rows"] == 5 and list(entry["drawn_rows_sha256"]) == ["yor"]
    assert few_labels_entry(task, task.languages, ALL_LABELS) == {}


def test_baselines_read_the_other_languages_and_the_few_rows(task: Task) -> None:
    assert len(training_rows(task, "yor", few(7))) == 60 + 60 + 7
    assert training_rows(task, "swa", few(7)) == training_rows(task, "swa", ALL_LABELS)

    def right(model: FewLabelsConfig) -> float:
        found = tfidf(task, "yor", model)
        return float(np.mean(found.predicted[0] == found.gold))

    assert right(few(0)) < 0.1  # the words mean the opposite there
    assert right(few(60, "kin", "swa", "yor")) > right(few(0))
    assert right(ALL_LABELS) > 0.9
    assert majority(task, "yor", few(0)).predicted[0].tolist() == [0] * 20


def test_a_linear_teacher_is_as_sure_as_it_is_in_a_language_that_it_has_not_seen(tmp_path: Path) -> None:
    letters = {"kin": "abcd", "swa": "efgh", "yor": "ijkl"}  # no word has a letter of another language's
    words = {code: {"good": [2 * a, a + b], "bad": [2 * c, c + d]} for code, (a, b, c, d) in letters.items()}
    task, splits = make_task(tmp_path / "toy", words), ("train", "dev", "test")
    found = pooled_soft_labels(task, few(0, "swa"), splits)
    assert set(found["swa"]) == set(splits) and set(found["kin"]) == set(found["yor"]) == {"dev"}
    # What the words of one language mean says nothing of another's, and in kin and yor that shows.
    assert max(np.exp(found[code]["dev"]).max() for code in found) < 0.75
    assert np.exp(linear_soft_labels(task, "kin", ("dev",))["dev"]).max(axis=1).mean() > 0.9


@pytest.mark.parametrize("languages", [("kin", "swa", "yor"), ("kin", "swa")])
def test_with_fewer_than_two_whole_languages_rows_are_held_out(task: Task, languages: tuple[str, ...]) -> None:
    found = pooled_soft_labels(task, few(20, *languages), ("train", "unlabelled", "dev", "test"))
    for code in languages:
        assert {split: len(each) for split, each in found[code].items()} == {
            "train": 60, "unlabelled": 0, "dev": 20, "test": 20}  # fmt: skip
        for each in found[code].values():
            np.testing.assert_allclose(np.exp(each).sum(axis=1), 1, atol=1e-5)


def test_weights_come_from_the_other_languages_dev_rows(task: Task) -> None:
    gold = {code: label_numbers(task, code, "dev") for code in task.languages}
    sure, wrong = (
        {
            code: {"dev": np.log(np.where(np.eye(2)[each if right else 1 - each], 0.9, 0.1))}
            for code, each in gold.items()
        }
        for right in (True, False)
    )
    # In yor, whose dev rows do not count, the second teacher would be the better one.
    teachers = {"transformer": {**sure, "yor": wrong["yor"]}, "linear": {**wrong, "yor": sure["yor"]}}
    weights = shared_weights(task, few(0), teachers)
    assert weights[0] > 0.9
    mixed = mix_by_weights({name: each["yor"] for name, each in teachers.items()}, weights)
    assert mixed.dev_loss == {} and mixed.weights["transformer"] == pytest.approx(weights[0], abs=1e-6)
    assert shared_weights(task, few(5, "kin", "swa", "yor"), teachers).tolist() == pytest.approx([0.5, 0.5])


def test_more_rows_than_there_are_is_one_sentence(task: Task) -> None:
    said = (
        r"params.yaml: evaluate.few_labels.rows: expected at most 60, the training rows of yor in .*, found 61; lower"
    )
    with pytest.raises(UserError, match=said):
        tfidf(task, "yor", few(61))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"languages": ["zul"]}, ["few_labels.languages: expected some of kin, swa", "found zul; take it out"]),
        ({"languages": ["kin", "swa", "hau", "ibo", "yor"]}, ["expected a language with labels", "rows 0; take"]),
        ({"languages": ["yor"], "separate": True}, ["evaluate: few_labels.rows: expected 1", "yor has a model"]),
        ({"languages": ["yor"], "reads": "linear_companion"}, ["linear_companion.tasks: expected none", "yor, since"]),
        ({"languages": ["yor"], "reads": "merge"}, ["evaluate: merge.tasks: expected none while", "yor, since"]),
    ],
)  # fmt: skip
def test_values_that_leave_nothing_to_learn_from_are_one_sentence(
    tmp_path: Path, values: dict, words: list[str]
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    change(path, {"evaluate.few_labels.languages": values["languages"]})
    change(path, {"evaluate.languages": "separate"} if "separate" in values else {})
    change(
        path,
        {f"evaluate.{values['reads']}.tasks": ["sentiment"], "evaluate.seeds": [1, 2]} if "reads" in values else {},
    )
    with pytest.raises(UserError) as error:
        load_evaluate(path)
    assert "\n" not in str(error.value) and all(word in str(error.value) for word in words)
    change(path, {"evaluate.few_labels.rows": 3})
    if values["languages"] != ["zul"] and "reads" not in values:
        assert load_evaluate(path).few_labels.rows == 3


def in_two_views(task: Task) -> Task:
    """The task with a second view behind each of the first 20 training rows of `yor`."""
    path = task.folder / "yor/train.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    both = []
    for at, row in enumerate(lines):
        both += [row, {**row, "text": row["text"] + "-", "second_view": True}] if at < 20 else [row]
    path.write_text("".join(json.dumps(line) + "\n" for line in both))
    manifest = json.loads((task.folder / "manifest.json").read_text())
    manifest["languages"]["yor"]["train"]["rows"] = len(both)
    (task.folder / "manifest.json").write_text(json.dumps(manifest))
    return read_task(task.folder)


def test_a_second_view_keeps_its_label_with_the_row_that_it_is_of(task: Task) -> None:
    before = known_rows(task, "yor", few(30))
    twice = in_two_views(task)
    known, numbers = known_rows(twice, "yor", few(30)), twice.row_numbers("yor")
    assert len(known) == 80 and known.tolist() == before[numbers].tolist()
    with pytest.raises(UserError, match="expected at most 60, the training rows of yor"):
        known_rows(twice, "yor", few(61))


def test_both_views_of_a_row_are_held_out_together(task: Task) -> None:
    twice = in_two_views(task)
    numbers, gold = np.array(twice.row_numbers("yor")), label_numbers(twice, "yor", "train")
    folds = row_folds(gold, training_unit_rows(twice, "yor"))
    assert len(folds) == FOLDS and all(not set(numbers[seen]) & set(numbers[held]) for seen, held in folds)
    alone = row_folds(gold, np.arange(len(gold)))
    assert any(set(numbers[seen]) & set(numbers[held]) for seen, held in alone)
    pooled = pooled_teacher._known(twice, few(10))
    assert len(pooled.rows) > len(np.unique(pooled.rows)) == 60 + 60 + 10
