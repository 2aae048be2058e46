"""The teacher that comes with the repository: what its recipe says of it is true, and it fits the sample's text."""

import json

import pytest
import yaml

from distil.core.files import sha256_file
from distil.teacher.pretraining import RECIPE
from distil.teacher.sample import FOLDER, write_text_of_sample
from tests.support import ROOT

TEACHER = ROOT / FOLDER


@pytest.fixture(scope="module")
def recipe():
    return json.loads((TEACHER / RECIPE).read_text(encoding="utf-8"))


def test_it_is_small_and_its_files_are_those_of_the_recipe(recipe):
    files = {path.name: sha256_file(path) for path in TEACHER.iterdir() if path.name != RECIPE}
    assert files == recipe["files_sha256"]
    assert sum(path.stat().st_size for path in TEACHER.iterdir()) <= 3_000_000


def test_the_settings_of_the_recipe_are_those_of_params_yaml(recipe):
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert recipe["train"] == params["teacher"]["train"]
    assert (recipe["languages"], recipe["seed"]) == (params["languages"], params["seed"])


def test_the_text_that_it_was_trained_on_is_the_text_that_the_sample_generates(recipe, tmp_path, monkeypatch):
    # An edit of a lexicon or of the generator needs `python -m distil.teacher.sample`.
    monkeypatch.chdir(ROOT)
    texts = write_text_of_sample(recipe["languages"], recipe["seed"], tmp_path)
    assert {text.stem: sha256_file(text) for text in texts} == recipe["text_sha256"]
