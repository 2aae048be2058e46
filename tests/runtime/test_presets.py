import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from distil.core.errors import UserError
from distil.runtime.preset_command import preset_table
from distil.runtime.presets import (
    Description,
    apply_values,
    changed_values,
    describe,
    experiment_args,
    preset_values,
    read_values,
)
from tests.support import ROOT

FOLDER = ROOT / "stages" / "presets"
NAMES = list(describe(FOLDER))


@pytest.fixture
def params(tmp_path):
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def choose(name, params, *settings):
    return apply_values(preset_values(name, settings, FOLDER), params)


def tree(path):
    return yaml.safe_load(path.read_text())


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_presets_are_listed_from_the_one_that_needs_least_each_with_a_line_and_a_time():
    assert NAMES == ["sample", "sample-from-zero", "small", "medium", "comet", "comet-trim"]
    for name, about in describe(FOLDER).items():
        assert 20 < len(about.text) <= 130 and about.text.endswith("."), name
        assert about.time.endswith("."), name


def test_the_list_begins_every_description_in_one_column_however_long_a_name_is():
    short, long = Description("Short.", "a minute."), Description("Long.", "")
    assert preset_table({"a": short, "a-much-longer-name": long}).splitlines() == [
        "a                   Short. Time: a minute.",
        "a-much-longer-name  Long.",
    ]
    about = describe(FOLDER)
    lines = preset_table(about).splitlines()
    assert len({line.index(each.text) for line, each in zip(lines, about.values(), strict=True)}) == 1


def test_a_preset_of_ones_own_comes_last_and_needs_no_time(tmp_path):
    write(
        tmp_path, sample="# The default.\n# Time: short.\n#\n# More.\na: 1\n", mine="# Mine,\n# in two lines.\na: 2\n"
    )
    assert describe(tmp_path) == {"sample": ("The default.", "short."), "mine": ("Mine, in two lines.", "")}


def test_sample_lists_every_key_that_a_preset_touches_with_the_value_of_params_yaml():
    committed = read_values(ROOT / "params.yaml")
    sample = read_values(FOLDER / "sample.yaml")
    for name in NAMES:
        assert read_values(FOLDER / f"{name}.yaml").keys() <= sample.keys(), name
    assert sample == {key: committed[key] for key in sample}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_and_then_sample_gives_params_yaml_back_byte_for_byte(name, params):
    before = params.read_bytes()
    assert bool(choose(name, params)) == (name != "sample")
    choose("sample", params)
    assert params.read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_has_the_types_of_params_yaml(name, params):
    def types(value):
        return {key: types(each) for key, each in value.items()} if isinstance(value, dict) else type(value)

    # 5e-5 without a dot is text to YAML 1.1, and 2 is no 2.0 in git diff
    before = types(tree(params))
    choose(name, params)
    assert types(tree(params)) == before


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_accept_every_preset(name, params):
    from distil.core.params import load_list, load_params
    from distil.corpus.build import CorpusConfig
    from distil.evaluation.config import EvaluateConfig
    from distil.finetuning.config import FineTuningConfig
    from distil.serving.onnx_export import ExportConfig
    from distil.student.model import StudentConfig
    from distil.tasks.config import TaskConfig
    from distil.teacher.cache_config import CacheConfig
    from distil.teacher.source import TeacherConfig
    from distil.tokenization.prepare import TokenizeConfig
    from distil.tokenization.vocabulary import VocabularyConfig
    from distil.training.config import TrainConfig
    from distil.training.objective import LayerPair, LossConfig

    choose(name, params)
    sections = {
        "tasks.sentiment": TaskConfig, "corpus": CorpusConfig, "teacher": TeacherConfig,
        "vocabulary": VocabularyConfig, "tokenize": TokenizeConfig, "cache_teacher": CacheConfig,
        "student": StudentConfig, "loss": LossConfig, "train": TrainConfig, "evaluate": EvaluateConfig,
        "tasks.entities": TaskConfig, "finetune": FineTuningConfig, "export": ExportConfig,
    }  # fmt: skip
    for section, config in sections.items():
        assert isinstance(load_params(section, config, params), config)
    assert load_list("layer_map", LayerPair, params)


def test_nothing_of_the_preset_before_is_left_behind(params, tmp_path):
    other = Path(shutil.copy(params, tmp_path / "other.yaml"))
    choose("comet", params)
    choose("small", params)
    choose("small", other)
    assert params.read_bytes() == other.read_bytes()


def test_the_diff_is_one_line_a_value_and_comments_stay(params):
    before = params.read_text().splitlines()
    changed = choose("small", params)
    diff = [line for line in difflib.ndiff(before, params.read_text().splitlines()) if line[0] in "+-"]
    assert "student.init_layers" in changed  # a list that gains four lines and loses none
    assert "evaluate.controls" in changed  # an empty list becomes a key and a line below it
    assert len(diff) == 2 * (len(changed) - 2) + 4 + 3 > 20
    assert not [line for line in diff if "#" in line]


def test_lists_of_another_length_keep_the_comment_behind_them(params):
    choose("comet", params)
    text = params.read_text()
    assert "  seeds:\n  - 1\n  - 2\n  - 3\n  controls: []\n" in text
    choose("sample", params, "cache_teacher.attention_layers=[]", "evaluate.seeds=[7, 8]")
    assert "  attention_layers: []\n  attention: mean\n" in params.read_text()
    assert tree(params)["evaluate"]["seeds"] == [7, 8]
    choose("sample", params)
    assert params.read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.mark.parametrize("old", ["b:\n- 1\n- 2", "b:\n- x: 1\n  y: 2", "b: []", "b: [1, 2]", "b: 1"])
@pytest.mark.parametrize("new", ["[3, 4, 5]", "[{x: 1, y: 2}, {x: 3, y: 4}]", "[]", "[7]", "2"])
@pytest.mark.parametrize("behind", ["", "# behind\n", "\n", "\n# behind\n\n"])
def test_a_comment_behind_a_value_stays_behind_it(old, new, behind, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(f"# before\na: 1\n{old}\n{behind}c: 3\n")
    folder = write(tmp_path, sample="# The default.\na: 1\n")
    apply_values(preset_values("sample", [f"b={new}"], folder), path)
    assert path.read_text().startswith("# before\na: 1\nb:") and path.read_text().endswith(f"\n{behind}c: 3\n")
    assert tree(path) == {"a": 1, "b": yaml.safe_load(new), "c": 3}


@pytest.mark.parametrize("word", ["no", "on", "1:30", "0777", "1_000", "2024-01-01", "null x", "~", "y"])
def test_text_stays_text_to_both_readers_of_params_yaml(word, tmp_path):
    folder = write(tmp_path, sample="# The default.\ncorpus:\n  path: here\n")
    path = Path(shutil.copy(folder / "sample.yaml", tmp_path / "params.yaml"))
    apply_values(preset_values("sample", [f"corpus.path={word}"], folder), path)
    assert tree(path)["corpus"]["path"] == word == YAML(typ="safe").load(path)["corpus"]["path"]


def test_values_written_by_hand_stay_where_no_preset_touches_them(params):
    params.write_text(params.read_text().replace("seed: 1\n", "seed: 5  # mine\n"))
    choose("comet", params)
    choose("sample", params)
    assert "seed: 5  # mine\n" in params.read_text()


def test_a_path_that_starts_above_the_checkout_becomes_absolute(params, tmp_path, monkeypatch):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    choose("small", params, "teacher.path=../models/my teacher", "tasks.sentiment.path=below/here")
    assert tree(params)["corpus"]["path"] == str(tmp_path / "shared" / "data" / "corpus")
    assert tree(params)["teacher"]["path"] == str(tmp_path / "models" / "my teacher")
    assert tree(params)["tasks"]["sentiment"]["path"] == "below/here"


def test_paths_of_a_task_follow_what_was_set(params):
    choose("small", params, "tasks.sentiment.path=/labels", "tasks.entities.source=none")
    tasks = tree(params)["tasks"]
    assert (tasks["sentiment"]["unlabelled_path"], tasks["sentiment"]["unlabelled"]) == ("/labels", "")
    assert tasks["entities"]["path"] == tasks["entities"]["unlabelled_path"] == "distil/lexicons"


def test_what_is_set_itself_does_not_follow(params):
    more = ("tasks.sentiment.unlabelled_path=/tweets", "tasks.sentiment.unlabelled={lang}.txt")
    choose("small", params, "tasks.sentiment.path=/labels", *more)
    sentiment = tree(params)["tasks"]["sentiment"]
    assert (sentiment["unlabelled_path"], sentiment["unlabelled"]) == ("/tweets", "{lang}.txt")


@pytest.mark.parametrize("value", ["/data/a: b", "/data/a #b", "- x", "'open", "{lang}.txt", "@home"])
def test_a_setting_is_taken_as_typed(value, params):
    choose("small", params, f"corpus.path={value}")
    assert tree(params)["corpus"]["path"] == value


@pytest.mark.parametrize("name", NAMES)
def test_dvc_reads_the_options_as_the_same_values(name, params, tmp_path):
    from dvc.utils.hydra import apply_overrides

    by_dvc = Path(shutil.copy(params, tmp_path / "by_dvc.yaml"))
    values = preset_values(name, ["corpus.pattern={lang}/*.txt", "corpus.split=no", "tokenize.max_length=64"], FOLDER)
    options = experiment_args(changed_values(values, params)).split(" ")
    assert options[::2] == ["-S"] * (len(options) // 2)
    apply_overrides(by_dvc, options[1::2])
    apply_values(values, params)
    # DVC writes 0.00005 as 5e-05, a number to it and to the config classes, but text to YAML 1.1
    read = YAML(typ="safe").load
    assert read(by_dvc) == read(params)
    assert tree(by_dvc)["corpus"]["pattern"] == "{lang}/*.txt"


def test_white_space_in_a_path_is_refused_as_an_option(params):
    values = preset_values("small", ["corpus.path=/my data"], FOLDER)
    with pytest.raises(UserError, match="corpus.path='/my data': white space"):
        experiment_args(changed_values(values, params))


def test_an_unknown_preset_key_or_setting_is_refused_by_name(params, tmp_path):
    before = params.read_bytes()
    with pytest.raises(UserError, match="preset 'smal'.* sample, sample-from-zero, small, medium, comet, comet-trim"):
        choose("smal", params)
    with pytest.raises(UserError, match=r"sets `loss.alhpa`.*did you mean `loss.alpha`"):
        choose("small", params, "loss.alhpa=0.5")
    with pytest.raises(UserError, match=r"sets `loss`, which is no value"):
        choose("small", params, "loss=0.5")
    for setting in ("loss.alpha", "=1", "loss.alpha=", "loss={alpha: 1}"):
        with pytest.raises(UserError, match="expected KEY=VALUE"):
            choose("small", params, setting)
    folder = write(tmp_path, sample="# a\nloss:\n  alpha: 0.5\n", mine="# b\nloss:\n  gamma: 1\n")
    with pytest.raises(UserError, match=r"sets `loss.gamma`"):
        apply_values(preset_values("mine", (), folder), params)
    assert params.read_bytes() == before


def test_a_params_file_that_is_not_yaml_is_refused_by_name(params):
    params.write_text("loss: [1\n")
    with pytest.raises(UserError, match=r"params.yaml: not valid YAML"):
        choose("small", params)


def test_the_command_lists_prints_options_and_writes(params, tmp_path):
    shutil.copytree(FOLDER, tmp_path / "stages" / "presets")
    (tmp_path / "distil" / "lexicons").mkdir(parents=True)
    (tmp_path / "distil" / "datasets").symlink_to(ROOT / "distil" / "datasets")

    def command(*words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        line = [sys.executable, "-m", "stages.preset", *words]
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)

    before = params.read_bytes()
    listed = command("--list").stdout.splitlines()
    assert listed[0].startswith("sample            Offline: ") and " Time: 3 minutes on two CPU cores." in listed[0]
    options = command("comet", "--args").stdout
    assert "-S teacher.source=hub" in options and options.count("\n") == 1
    assert params.read_bytes() == before
    wrong = ("small", "--set", "tasks.entities.source=none", "--set", "corpus.path=/nowhere")
    refused = command(*wrong)
    assert refused.returncode == 1 and params.read_bytes() == before
    assert "corpus.path: there is no /nowhere; give --set corpus.path=PATH" in refused.stderr
    assert "tasks.entities.path: distil/lexicons, as it was not set" in refused.stderr
    assert "no distil/lexicons" not in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("error: preset small: ")
    assert command(*wrong, "--args").stdout.startswith("-S ")  # else `dvc exp run $(...)` would run something else
    assert params.read_bytes() == before
    assert command(*wrong, "--force").returncode == 0 and tree(params)["corpus"]["path"] == "/nowhere"
    assert command("sample").returncode == 0 and params.read_bytes() == before
    said = command("comet").stderr  # data/raw is not there yet either: the pipeline makes it
    assert "values changed" in said and "there is no" not in said and params.read_bytes() != before
    refused = command("nonsense")
    assert refused.returncode == 1 and refused.stderr.startswith("error: preset 'nonsense'")


@pytest.mark.parametrize("override", ["loss.alpha=0.5", "evaluate.seeds=[1,2,3]", "train.learning_rate=0.0005"])
def test_an_override_of_dvc_changes_its_lines_of_params_yaml_and_keeps_every_comment(override, params):
    from dvc.utils.hydra import apply_overrides

    before = params.read_text().splitlines()
    apply_overrides(params, [override])
    diff = [line for line in difflib.ndiff(before, params.read_text().splitlines()) if line[0] in "+-"]
    assert 1 <= len(diff) <= 3
    assert not [line for line in diff if "#" in line]


def test_dvc_keeps_the_comments_of_a_preset_too(params):
    from dvc.utils.hydra import apply_overrides

    choose("comet", params)
    before = params.read_text().splitlines()
    apply_overrides(params, ["loss.alpha=0.25"])
    diff = [line for line in difflib.ndiff(before, params.read_text().splitlines()) if line[0] in "+-"]
    assert len(diff) <= 4 and not [line for line in diff if "#" in line]
