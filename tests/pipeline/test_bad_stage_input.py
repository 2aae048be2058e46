"""Bad input, stage by stage: exit status 1, one sentence that says what, where and what to do, nothing half-written."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from distil.core.files import write_checksums
from tests.support import toy
from tests.support.bad_input import OUTS, a_student, change, make_task, says


@pytest.mark.parametrize("stage", OUTS)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["params.yaml: no such file", "run from the repository root"]),
        ("loss: [1\nseed: 2", ["params.yaml: not valid YAML", "line", "git checkout params.yaml"]),
        ("- loss\n- seed\n", ["params.yaml: expected sections such as `loss:`, found list"]),
        ("", ["params.yaml: expected sections such as `loss:`, found NoneType"]),
    ],
    ids=["another folder", "not YAML", "a list", "empty"],
)
def test_a_params_yaml_that_cannot_be_read_is_said_by_every_stage(
    tmp_path: Path, refused: Callable[..., str], stage: str, text: str | None, words: list[str]
) -> None:
    if text is not None:
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert says(refused(tmp_path, stage), *words)


@pytest.mark.parametrize(
    ("languages", "words"),
    [
        (["swa", "xyz"], ["unknown language code 'xyz'", "an ISO 639-3 code", "such as hau, ibo, kin, swa, yor"]),
        (["swa", "yor", "swa"], ["'swa' is given 2 times", "give it once"]),
        ([], ["the list is empty", "give at least one, such as hau"]),
        ("swa", ["expected a list of ISO 639-3 codes, found 'swa'"]),
        ([False], ["expected a list of ISO 639-3 codes, found [False]"]),  # `- no` in YAML
    ],
)  # fmt: skip
def test_languages_that_cannot_be_are_refused(
    root: Path, refused: Callable[..., str], languages: Any, words: list[str]
) -> None:
    change(root / "params.yaml", {"languages": languages})
    for stage in ("corpus", "distil"):
        assert says(refused(root, stage), "params.yaml: languages: ", *words)


# What is damaged. Below, in CASES: the stage that meets it and what it says.


def no_corpus_folder(root: Path) -> None:
    make_task(root)
    change(root / "params.yaml", {"corpus.source": "files", "corpus.path": "texts"})


def no_file_of_a_language(root: Path) -> None:
    no_corpus_folder(root)
    (root / "texts").mkdir()
    (root / "texts/swa.txt").write_text("Habari za asubuhi, karibu sana\n", encoding="utf-8")


def empty_language_file(root: Path) -> None:
    no_file_of_a_language(root)
    (root / "texts/yor.txt").write_text("", encoding="utf-8")


def corpus_table_without_the_column(root: Path) -> None:
    make_task(root)
    change(root / "params.yaml", {"corpus.source": "files", "corpus.path": "texts", "corpus.pattern": "{lang}.tsv"})
    (root / "texts").mkdir()
    for language in toy.LANGUAGES:
        (root / f"texts/{language}.tsv").write_text("id\tsentence\n1\tHabari\n", encoding="utf-8")


def task_files(root: Path, header: str, row: str) -> None:
    change(root / "params.yaml", {"tasks.sentiment.source": "files", "tasks.sentiment.path": "tables",
                                    "tasks.sentiment.unlabelled": ""})  # fmt: skip
    for language in toy.LANGUAGES:
        (root / "tables" / language).mkdir(parents=True)
        for split in ("train", "dev", "test"):
            (root / f"tables/{language}/{split}.tsv").write_text(f"{header}\n{row}\n", encoding="utf-8")


def task_table_without_the_columns(root: Path) -> None:
    task_files(root, "text\tclass", "Habari\tpositive")


def task_table_with_other_labels(root: Path) -> None:
    task_files(root, "tweet\tlabel", "Habari\tgood")


def one_task_file_missing(root: Path) -> None:
    task_files(root, "tweet\tlabel", "Habari\tpositive")
    (root / "tables/yor/dev.tsv").unlink()


def no_task_in_the_folder(root: Path) -> None:
    (root / "data/tasks").mkdir(parents=True)
    (root / "data/tasks/.gitignore").write_text("/sentiment\n", encoding="utf-8")


def short_text(root: Path) -> None:
    (root / "data/raw/yor.txt").write_text("a\nb\n", encoding="utf-8")
    change(root / "params.yaml", {"tokenize.min_length": 10})


def trained_from(root: Path, lines: str) -> None:
    change(root / "params.yaml", {"teacher.source": "train", "teacher.path": "data/raw"})
    (root / "data/raw/manifest.json").write_text('{"synthetic": true}', encoding="utf-8")
    for language in toy.LANGUAGES:
        (root / f"data/raw/{language}.txt").write_text(lines, encoding="utf-8")


def too_little_text_for_a_teacher(root: Path) -> None:
    trained_from(root, "a b c\n")


def no_text_for_a_teacher(root: Path) -> None:
    trained_from(root, "a b c\n")
    (root / "data/raw/yor.txt").unlink()


def no_tokenizer(root: Path) -> None:
    (root / "models/tokenizer/tokenizer.json").unlink()


def no_raw_text(root: Path) -> None:
    (root / "data/raw/yor.txt").unlink()


def other_text(root: Path) -> None:
    toy.make_prepared(root, seed=2)


def other_tokenizer(root: Path) -> None:
    path = root / "models/tokenizer/tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    write_checksums(path.parent)


def no_tokenizer_folder(root: Path) -> None:
    shutil.rmtree(root / "models/tokenizer")


def nan_teacher(root: Path) -> None:
    weights = load_file(root / "models/teacher/model.safetensors")
    weights["roberta.encoder.layer.0.output.dense.weight"][0, 0] = float("nan")
    save_file(weights, root / "models/teacher/model.safetensors", metadata={"format": "pt"})
    shutil.rmtree(root / "data/teacher")


def no_teacher_layer(root: Path) -> None:
    change(root / "params.yaml", {"cache_teacher.attention_layers": [99]})


def no_student_layer(root: Path) -> None:
    change(root / "params.yaml", {"layer_map.0.student": 99})


def uncached_layer(root: Path) -> None:
    change(root / "params.yaml", {"layer_map.0.teacher": 1})


def no_layers_but_attention(root: Path) -> None:
    change(root / "params.yaml", {"layer_map": []})


def relations_without_inputs(root: Path) -> None:
    change(root / "params.yaml", {"loss.relations": 1.0})


def hidden_without_inputs(root: Path) -> None:
    change(root / "params.yaml", {"loss.hidden": 1.0})


def no_such_layer_to_start_from(root: Path) -> None:
    change(root / "params.yaml", {"student.init": "teacher", "student.init_layers": [9]})


def too_small_a_vocabulary(root: Path) -> None:
    change(root / "params.yaml", {"vocabulary.keep": "size", "vocabulary.size": 200, "vocabulary.floor": 10_000})
    for language in toy.LANGUAGES:
        text = root / f"data/raw/{language}.txt"
        text.write_text(text.read_text(encoding="utf-8") + "ABCDEFGH", encoding="utf-8")
    shutil.rmtree(root / "models/teacher")
    toy.make_teacher(root, pieces=260)


def no_text_to_adapt_to(root: Path) -> None:
    change(root / "params.yaml", {"teacher.adapt.steps": 5, "teacher.adapt.max_length": 64})


def random_start(root: Path) -> None:
    change(root / "params.yaml", {"student.init": "random", "student.init_layers": []})


def no_teacher_config(root: Path) -> None:
    (root / "models/teacher/config.json").unlink()


def damaged_cache(root: Path) -> None:
    path = next((root / "data/teacher/yor").glob("train-*.safetensors"))
    path.unlink()  # a hard link to scratch
    path.write_bytes(b"damaged")


def no_cached_language(root: Path) -> None:
    shutil.rmtree(root / "data/teacher/yor")


def longer_than_the_model(root: Path) -> None:
    a_student(root)
    change(root / "params.yaml", {"finetune.max_length": 100})


def no_finite_weights(root: Path) -> None:
    a_student(root)
    weights = load_file(root / "models/student/model.safetensors")
    weights["roberta.encoder.layer.0.output.dense.weight"][0, 0] = float("nan")
    save_file(weights, root / "models/student/model.safetensors", metadata={"format": "pt"})


def nothing(root: Path) -> None:
    pass


CASES = [
    ("corpus", no_corpus_folder, ["params.yaml: corpus.path: expected a folder at texts, found nothing"]),
    ("corpus", no_file_of_a_language,
     ["params.yaml: corpus.pattern: no file matches yor.txt below texts, which holds swa.txt"]),
    ("corpus", empty_language_file,
     ["corpus: yor: nothing is left of 0 lines", "give more text in yor.txt", "params.yaml: corpus"]),
    ("corpus", corpus_table_without_the_column,
     ["texts/swa.tsv: expected columns text, found id, sentence; change the column names in params.yaml"]),
    ("corpus", no_task_in_the_folder, ["data/tasks: expected", "found no task in it; run `dvc repro tasks`"]),
    ("corpus", nothing, ["data/tasks: no such folder; run `dvc repro tasks`"]),
    ("tasks", task_table_without_the_columns,
     ["tables/swa/train.tsv: expected columns tweet, label, found text, class", "params.yaml"]),
    ("tasks", task_table_with_other_labels,
     ["task sentiment: swa: train: nothing is left of 1 rows", "unknown_label 1", "`labels:` has not", "'good'"]),
    ("tasks", one_task_file_missing,
     ["params.yaml: tasks.sentiment.pattern: no file matches yor/dev.tsv below tables", "mend either"]),
    ("teacher", too_little_text_for_a_teacher, ["params.yaml: teacher.train.vocabulary_size: 2600 pieces cannot be"]),
    ("teacher", no_text_for_a_teacher, ["data/raw/yor.txt: no such file", "run `dvc repro"]),
    ("vocabulary", no_raw_text, ["data/raw/yor.txt: no such file; run `dvc repro corpus`"]),
    ("tokenize", no_raw_text, ["data/raw/yor.txt: no such file; run `dvc repro corpus`"]),
    ("tokenize", no_tokenizer, ["models/tokenizer/tokenizer.json: no such file", "run `dvc repro vocabulary`"]),
    ("tokenize", short_text,
     ["data/raw/yor.txt: yor: no sequence left for the train split of 2 lines", "'too_short': 2",
      "give more text, or change tokenize.min_length"]),
    ("cache_teacher", nan_teacher, ["models/teacher: its output is not a number", "`dvc repro --force teacher`"]),
    ("cache_teacher", no_teacher_layer,
     ["params.yaml: cache_teacher.attention_layers: expected a layer from 1 to 3", "found 99"]),
    ("cache_teacher", no_tokenizer_folder, ["models/tokenizer/", "no such file", "run `dvc repro vocabulary`"]),
    ("cache_teacher", other_tokenizer,
     ["data/prepared/swa/manifest.json: tokenizer_sha256: expected", "found", "run `dvc repro tokenize`"]),
    ("distil", other_tokenizer,
     ["models/tokenizer/tokenizer.json: sha256: the teacher cache was made with", "found",
      "`dvc repro cache_teacher`"]),
    ("distil", no_tokenizer_folder, ["models/tokenizer/", "no such file", "run `dvc repro vocabulary`"]),
    ("distil", other_text,
     ["data/teacher/swa/manifest.json: splits.", "prepared_sha256: expected", "found",
      "`dvc repro --force cache_teacher`"]),
    ("distil", damaged_cache,
     ["data/teacher/yor/train-", "sha256: expected", "found", "damaged", "`dvc repro --force cache_teacher`"]),
    ("distil", no_cached_language, ["data/teacher/yor/manifest.json: no such file; run `dvc repro cache_teacher`"]),
    ("distil", no_student_layer, ["params.yaml: layer_map.student: expected a layer from 1 to 2", "found 99"]),
    ("distil", uncached_layer,
     ["params.yaml: layer_map: teacher layer 1: expected one of the cached layers [3]",
      "cache_teacher.attention_layers"]),
    ("distil", no_layers_but_attention, ["params.yaml: loss.alpha: 0.9 asks for attention, but layer_map is empty"]),
    ("distil", relations_without_inputs,
     ["params.yaml: loss.relations: 1.0 asks for relations, which need", "keeps attention as mean",
      "set cache_teacher.attention to inputs"]),
    ("distil", hidden_without_inputs,
     ["params.yaml: loss.hidden: 1.0 asks for hidden, which need", "keeps attention as mean",
      "set cache_teacher.attention to inputs"]),
    ("distil", no_such_layer_to_start_from,
     ["params.yaml: student.init_layers: expected a layer from 1 to 3", "found 9"]),
    ("vocabulary", too_small_a_vocabulary,
     ["params.yaml: vocabulary.size: expected at least", "vocabulary.floor 10000, found 200", "raise size or lower"]),
    ("teacher", no_text_to_adapt_to,
     ["distil/lexicons/swa.txt: no such file", "teacher.adapt.text of params.yaml to data/raw"]),
    ("no_teacher", other_tokenizer,
     ["data/prepared/swa/manifest.json: tokenizer_sha256: expected", "found", "run `dvc repro tokenize`"]),
    ("no_teacher", no_teacher_config, ["models/teacher/config.json: no such file; run `dvc repro teacher`"]),
    ("control", random_start,
     ["params.yaml: evaluate.controls: start starts where the student starts, but student.init is random",
      "set student.init to teacher or evaluate.controls to []"]),
    ("baselines", nothing, ["data/tasks/sentiment/manifest.json: no such file; run `dvc repro tasks@sentiment`"]),
    *((stage, nothing, ["data/tasks/sentiment/manifest.json: no such file; run `dvc repro tasks@sentiment`"])
      for stage in ("finetune", "evaluate", "export")),
    ("finetune", make_task, ["models/student/model.safetensors: no such file", "run `dvc repro --force distil`"]),
    ("finetune", longer_than_the_model, ["params.yaml: finetune.max_length: expected at most 64", "found 100"]),
    ("finetune", no_finite_weights,
     ["fine-tune student_plain on sentiment, swa yor, seed 1: step 1: the loss is nan", "on 6 rows of swa, yor",
      "learning_rate in finetune:"]),
    ("evaluate", make_task,
     ["metrics/predictions/student/sentiment.csv: no such file; run `dvc repro finetune_student@sentiment`"]),
    ("report", nothing, ["metrics/distil/summary.json: no such file; run `dvc repro distil`"]),
    ("track", nothing, ["metrics/distil/summary.json: no such file; run `dvc repro distil`"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "damage", "words"), CASES, ids=[f"{stage}-{damage.__name__}" for stage, damage, _ in CASES]
)
def test_a_fault_of_the_input_is_told_in_one_sentence(
    root: Path, refused: Callable[..., str], stage: str, damage: Callable[[Path], None], words: list[str]
) -> None:
    damage(root)
    assert says(refused(root, stage), *words)
