"""Scores that are found again from kept predictions, and the tables of docs/results that come from kept records."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ablations, all_rows
from benchmarks.pages import RECORDED, RESULTS, fill_page, marks
from distil.core.errors import UserError
from distil.evaluation.comparison import compare_models
from distil.evaluation.counts import Predictions, TagPredictions
from distil.evaluation.model_names import BASELINES, models_of
from distil.evaluation.predictions import predictions_file, write_predictions
from distil.evaluation.scores import PredictionsByLanguage, score, seen_rows
from distil.tasks.data import Task
from tests.support import ROOT, lab, toy


@pytest.fixture
def clone(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lab.make_lab(tmp_path, world))
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    return tmp_path


MODELS = models_of(lab.SCORING)


def said_of(task: Task, seeds: list[int], rng: np.random.Generator) -> PredictionsByLanguage:
    """Predictions that are right about half of the time."""
    found: dict[str, Predictions | TagPredictions] = {}
    for language in toy.LANGUAGES:
        train, test = (task.texts(language, split) for split in ("train", "test"))
        seen = seen_rows(train, test)
        if task.kind == "token_classification":
            gold = [row.tags for row in task.token_rows(language, "test")]
            said = {seed: [tags if rng.random() < 0.5 else ["O"] * len(tags) for tags in gold] for seed in seeds}
            found[language] = TagPredictions(gold, said, len(train), seen)
        else:
            right = np.array([task.labels.index(row.label) for row in task.text_rows(language, "test")])
            guessed = {seed: np.where(rng.random(len(right)) < 0.5, right, 0) for seed in seeds}
            found[language] = Predictions(right, guessed, len(train), seen)
    return found


@pytest.mark.parametrize("name", ["words", "names"])
def test_scores_from_kept_predictions_are_those_of_the_stages(clone: Path, name: str) -> None:
    task, rng = lab.task_of(name), np.random.default_rng(1)
    found = {model: said_of(task, [1] if model in BASELINES else [1, 3], rng) for model in MODELS}
    written = {}
    for model, each in found.items():
        mode = None if model in BASELINES else "joint"
        write_predictions(predictions_file(Path(), model, name), each, task.labels)
        written[model] = json.loads(json.dumps(score(model, name, task.kind, task.labels, mode, each, 100)))
    by_language = {code: {model: found[model][code] for model in MODELS} for code in toy.LANGUAGES}
    compared = compare_models(name, task.kind, task.labels, by_language, 100)

    all_rows.keep(Path(), name, Path("kept"))
    first = Path(f"kept/{name}.csv.gz").read_bytes()
    scores = all_rows.rescore(Path(f"kept/{name}.csv.gz"), task, 100)
    assert json.loads(json.dumps(scores)) == {"evaluate": written, "compare": json.loads(json.dumps(compared))}
    all_rows.keep(Path(), name, Path("kept"))
    assert Path(f"kept/{name}.csv.gz").read_bytes() == first
    assert all_rows.kept_languages(Path(f"kept/{name}.csv.gz")) == toy.LANGUAGES

    shown = all_rows.tables({name: scores}, name, toy.LANGUAGES)
    mean = 100 * scores["evaluate"]["student"]["mean"][scores["evaluate"]["student"]["metric"]]
    assert f"{mean:.1f} [" in shown and "Share of the teacher" in shown

    test = clone / f"data/tasks/{name}/{toy.LANGUAGES[0]}/test.jsonl"
    kept = json.loads((clone / f"data/tasks/{name}/manifest.json").read_text())
    kept["languages"][toy.LANGUAGES[0]]["test"]["rows"] -= 1
    test.write_text("".join(test.read_text().splitlines(keepends=True)[:-1]))
    other = task._replace(manifest=kept)
    with pytest.raises(UserError, match=f"{toy.LANGUAGES[0]}: expected 29 rows, .* found 30"):
        all_rows.rescore(Path(f"kept/{name}.csv.gz"), other, 100)


def test_a_page_is_filled_between_its_marks_and_refused_without_them(tmp_path: Path) -> None:
    page, (first, last) = tmp_path / "page.md", marks("table", "make it")
    page.write_text(f"a\n{first}\nold\n{last}\nb\n")
    fill_page("table", "make it", "new", page)
    assert page.read_text() == f"a\n{first}\n\nnew\n\n{last}\nb\n"
    page.write_text("no marks")
    with pytest.raises(UserError, match="expected the lines"):
        fill_page("table", "make it", "new", page)


def test_the_tables_of_the_results_are_those_of_their_records_whatever_params_yaml_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [RESULTS / f"{name}.md" for name in ("afrisenti", "masakhaner", "ablations")]
    shutil.copytree(ROOT / RECORDED, tmp_path / RECORDED)
    (tmp_path / RESULTS).mkdir(parents=True)
    for page in pages:
        shutil.copy(ROOT / page, tmp_path / page)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("languages: [swa, zul]\n", encoding="utf-8")
    for module, action in ((ablations, "table"), (all_rows, "table")):
        monkeypatch.setattr("sys.argv", ["benchmarks", action])
        module.main()
    for page in pages:
        assert page.read_text(encoding="utf-8") == (ROOT / page).read_text(encoding="utf-8")
