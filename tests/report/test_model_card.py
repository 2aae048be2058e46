"""Both cards: metadata that the Hub's own library reads, the report's scores, a snippet that runs as written."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from distil.report.data import load_report
from distil.report.model_card import CardConfig, render_card
from distil.report.tables.scores import mean_score
from distil.student.card import short_card
from tests.support.report_fixture import LANGUAGES, write_inputs

CARD = CardConfig(name="tiny-student", license="mit")
SUMMARY = {
    "tokens": 2_000_000, "teacher": {"parameters": 500},
    "student": {"parameters": 50, "num_hidden_layers": 2, "hidden_size": 16},
}  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    write_inputs(folder, tasks=["sentiment", "names"], tagged=("names",), rows=60)
    return load_report(folder)


def snippet(card: str) -> str:
    """The Python of a card."""
    (code,) = re.findall(r"```python\n(.*?)```", card, re.S)
    return code


def test_the_hubs_own_library_reads_every_field(report):
    card = ModelCard(render_card(report, CARD))
    data = card.data
    assert data.language == ["rw", "sw", "ha", "ig", "yo"] and data.license == "mit"
    assert data.base_model == "Davlan/afro-xlmr-large" and data.datasets == ["HuggingFaceFW/fineweb-2"]
    assert (
        data.library_name == "transformers" and data.pipeline_tag == "fill-mask" and data.model_name == "tiny-student"
    )
    assert data.metrics == ["f1", "accuracy"]


def test_results_are_the_reports_scores_language_by_language(report):
    results = ModelCard(render_card(report, CARD)).data.eval_results
    found = {(each.dataset_type, each.dataset_config, each.metric_name): each.metric_value for each in results}
    assert len(found) == len(results) == 3 * len(LANGUAGES) + 4 * len(LANGUAGES)
    for code in LANGUAGES:
        tagged, texts = (report.scores[task]["student"] for task in ("names", "sentiment"))
        assert found["names", code, "Entity F1"] == pytest.approx(tagged.score(code), abs=1e-4)
        assert found["sentiment", code, "Weighted F1"] == pytest.approx(texts.score(code), abs=1e-4)
        assert found["sentiment", code, "Accuracy"] == pytest.approx(texts.languages[code].accuracy, abs=1e-4)
    kinds = {each.dataset_type: each.task_type for each in results}
    assert kinds == {"sentiment": "text-classification", "names": "token-classification"}


def test_the_card_says_whose_figure_is_whose_where_the_student_has_ngrams(tmp_path, report):
    assert "transformer alone" not in render_card(report, CARD)
    write_inputs(tmp_path, tasks=["sentiment", "names"], tagged=("names",), rows=60, ngrams=True)
    with_table = load_report(tmp_path)
    card = render_card(with_table, CARD)
    alone = mean_score(with_table, "sentiment", "student_transformer")
    assert f"Its transformer alone, the model that transformers loads, has {100 * alone:.1f}: the table gives +" in card
    heads = [line for line in card.splitlines() if re.match(r"\| Language +\| +Student +\|", line)]
    assert ["Student's transformer alone" in line for line in heads] == [True, False]
    assert with_table.models == report.models


def test_metadata_survive_a_round_trip_through_the_library(report):
    card = ModelCard(render_card(report, CARD))
    again = ModelCard(str(card))
    assert again.data.to_dict() == card.data.to_dict()


def test_limits_and_an_open_licence_are_said_plainly(report):
    body = render_card(report, CARD)
    assert "## Limits and biases" in body and "repeats the teacher's stereotypes" in body
    unknown = render_card(report, CardConfig(name="tiny", license="unknown"))
    assert "licence is not settled" in unknown and ModelCard(unknown).data.license == "unknown"


def test_a_sample_has_no_base_model_and_no_data_set_on_the_hub(tmp_path):
    write_inputs(tmp_path, synthetic=True)
    data = ModelCard(render_card(load_report(tmp_path), CARD)).data
    assert data.base_model is None and data.datasets is None


def test_the_card_in_the_models_folder_is_valid_and_says_where_the_scores_are():
    card = short_card(LANGUAGES, {"source": "hub", "id": "Davlan/afro-xlmr-large"}, SUMMARY)
    data = ModelCard(card).data
    assert data.language[0] == "rw" and data.base_model == "Davlan/afro-xlmr-large" and data.eval_results is None
    assert "10.0 % of the teacher's" in card and "metrics/model_card.md" in card and "## Limits and biases" in card
    assert yaml.safe_load(card.split("---\n")[1])["pipeline_tag"] == "fill-mask"


@pytest.mark.parametrize("full", [True, False], ids=["with scores", "in the models folder"])
def test_the_snippet_runs_as_written(full, report, world: Path, tmp_path: Path, monkeypatch, capsys):
    card = render_card(report, CARD) if full else short_card(["swa"], {"source": "folder", "id": "toy"}, SUMMARY)
    shutil.copytree(world / "models/teacher", tmp_path / "models/student")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(compile(snippet(card), "card", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(re.match(r"0\.\d{3}  ", line) or line.startswith("1.000") for line in lines)


def test_a_language_that_is_not_one_of_the_five_has_a_name_and_a_tag():
    card = short_card(
        ["zul", "amh"],
        {"id": "a/b", "source": "folder", "revision": "1", "parameters": 500, "synthetic": False},
        SUMMARY,
    )
    assert "Zulu" in card and "Amharic" in card
    assert ModelCard(card).data.language == ["zu", "am"]
