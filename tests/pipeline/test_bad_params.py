"""params.yaml, key by key: a misspelt key, another type and a value out of range are refused by name."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from distil.core.errors import UserError
from distil.core.params import load_languages, load_list, load_params, load_seed
from distil.corpus.build import CorpusConfig
from distil.embedding.config import read_embeddings
from distil.evaluation.config import load_evaluate
from distil.evaluation.decoders import load_decoders
from distil.evaluation.footprint import FootprintConfig
from distil.evaluation.rivals import load_rivals
from distil.finetuning.config import FineTuningConfig
from distil.report.model_card import CardConfig
from distil.runtime.launch import LaunchConfig
from distil.serving.onnx_export import ExportConfig
from distil.student.model import StudentConfig
from distil.tasks.config import TaskConfig
from distil.teacher.cache_config import CacheConfig
from distil.teacher.source import TeacherConfig
from distil.tokenization.prepare import TokenizeConfig
from distil.tokenization.vocabulary import VocabularyConfig
from distil.training.config import TrainConfig
from distil.training.objective import LayerPair, LossConfig
from tests.support import ROOT
from tests.support.bad_input import change, parent

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))

# Section -> who reads it, as the stages do.
READERS: dict[str, Callable[[], Any]] = {
    "languages": load_languages,
    "seed": load_seed,
    "tasks": lambda: [load_params(f"tasks.{name}", TaskConfig) for name in PARAMS["tasks"]],
    "corpus": lambda: load_params("corpus", CorpusConfig),
    "teacher": lambda: load_params("teacher", TeacherConfig),
    "vocabulary": lambda: load_params("vocabulary", VocabularyConfig),
    "tokenize": lambda: load_params("tokenize", TokenizeConfig),
    "cache_teacher": lambda: load_params("cache_teacher", CacheConfig),
    "student": lambda: load_params("student", StudentConfig),
    "loss": lambda: load_params("loss", LossConfig),
    "layer_map": lambda: load_list("layer_map", LayerPair),
    "train": lambda: load_params("train", TrainConfig),
    "finetune": lambda: load_params("finetune", FineTuningConfig),
    "export": lambda: load_params("export", ExportConfig),
    "evaluate": load_evaluate,
    "rivals": load_rivals,
    "decoders": load_decoders,
    "footprint": lambda: load_params("footprint", FootprintConfig),
    "card": lambda: load_params("card", CardConfig),
    "embeddings": read_embeddings,
    "launch": lambda: load_params("launch", LaunchConfig),
}

# Leaf -> values that its comment in params.yaml rules out. What only a model can tell (a layer that it does not have)
# is refused further below.
OUT_OF_RANGE: dict[str, list[Any]] = {
    "languages": [["kin", "xyz"], ["kin", "kin"]],
    "seed": [-1, 2**31],
    "tasks.sentiment.source": ["hub"],
    "tasks.sentiment.path": [""],
    "tasks.sentiment.pattern": ["{lang}.tsv", "/{lang}/{split}.tsv", ""],
    "tasks.sentiment.verify": [3],
    "tasks.sentiment.kind": ["regression"],
    "tasks.sentiment.text_column": [""],
    "tasks.sentiment.label_column": ["", "tweet"],
    "tasks.sentiment.labels": [["positive"], ["positive", "positive"], ["positive", ""], []],
    "tasks.sentiment.normalise": [2],
    "tasks.sentiment.marks": ["none", "bare"],
    "tasks.sentiment.script": ["uroman", "both"],
    "tasks.sentiment.dev_from_train": [-0.1, 0.6],
    "tasks.sentiment.max_train_rows": [-1],
    "tasks.sentiment.max_dev_rows": [-1],
    "tasks.sentiment.max_test_rows": [-1],
    "tasks.sentiment.unlabelled_path": [""],
    "tasks.sentiment.unlabelled": ["tweets.txt", "/{lang}.txt"],
    "tasks.sentiment.max_unlabelled_rows": [-1],
    "tasks.sentiment.unlabelled_choice": ["nearest", True],
    "corpus.source": ["web"],
    "corpus.path": [""],
    "corpus.pattern": ["text.txt", "/{lang}.txt"],
    "corpus.text_column": [""],
    "corpus.escaped_line_breaks": ["on", True],
    "corpus.dataset": [""],
    "corpus.config": [""],
    "corpus.split": [""],
    "corpus.revision": [""],
    "corpus.max_megabytes": [-1, float("inf")],
    "corpus.max_words": [-1],
    "corpus.max_lines": [-1],
    "corpus.min_characters": [0],
    "corpus.max_characters": [0, 9],
    "corpus.min_letter_ratio": [-0.1, 1.1],
    "corpus.script": ["uroman", "both"],
    "corpus.language_check": ["some", "both"],
    "corpus.drop_near_duplicates": [2, "maybe"],
    "corpus.workers": [-1, 1025],
    "teacher.source": ["url"],
    "teacher.path": [""],
    "teacher.id": [""],
    "teacher.revision": [""],
    "teacher.train.vocabulary_size": [10],
    "teacher.train.hidden_size": [0, 130],
    "teacher.train.num_hidden_layers": [0],
    "teacher.train.num_attention_heads": [0, 3],
    "teacher.train.intermediate_size": [0],
    "teacher.train.steps": [0],
    "teacher.train.batch_tokens": [0],
    "teacher.train.learning_rate": [0, 1, float("nan")],
    "teacher.adapt.steps": [-1],
    "teacher.adapt.text": [""],
    "teacher.adapt.batch_tokens": [0],
    "teacher.adapt.max_length": [7, 513],
    "teacher.adapt.learning_rate": [0, 1],
    "teacher.adapt.warmup_fraction": [-0.1, 1],
    "teacher.adapt.mask_rate": [0, 0.6],
    "teacher.adapt.sampling_temperature": [0],
    "teacher.adapt.heldout_fraction": [0, 0.6],
    "teacher.adapt.checkpoint_every": [0],
    "teacher.adapt.keep": [0, 1.1],
    "teacher.adapt.new_pieces": [-1, 5, 50_001],
    "teacher.adapt.new_pieces_rate": [0, 101],
    "teacher.merge.method": ["mean", None],
    "teacher.merge.path": [""],
    "teacher.merge.density": [0, 1.1],
    "teacher.adapt.guard": [-1, 2],
    "vocabulary.keep": ["most"],
    "vocabulary.coverage": [0, 1.01],
    "vocabulary.size": [199, 250_003],
    "vocabulary.floor": [-1],
    "tokenize.max_length": [7, 513],
    "tokenize.min_length": [2, 129],
    "tokenize.max_tokens": [-1],
    "tokenize.heldout_fraction": [0, 0.6],
    "tokenize.mask_rate": [0, 0.6],
    "tokenize.mask_variants": [0],
    "tokenize.shard_tokens": [999],
    "cache_teacher.logits": ["none"],
    "cache_teacher.entries": [0, 1001],
    "cache_teacher.sampling_temperature": [0, float("inf")],
    "cache_teacher.heldout_entries": [0, 1001],
    "cache_teacher.attention_layers": [["last"], [1.5]],
    "cache_teacher.attention": ["max"],
    "cache_teacher.attention_rows": [0, 1.1],
    "cache_teacher.batch_tokens": [0],
    "cache_teacher.precision": ["float16", 32],
    "cache_teacher.ensemble": [""],
    "teacher.adapt.precision": ["float16", 32],
    "student.hidden_size": [0, 65],
    "student.num_hidden_layers": [0],
    "student.num_attention_heads": [0, 3],
    "student.intermediate_size": [0],
    "student.dropout": [-0.1, 0.6],
    "student.init": ["zero"],
    "student.init_layers": [["last"], [1.5], [1, 2, 3]],
    "student.experts": [-1, 5],
    "student.trunk": ["", "models/old"],
    "loss.alpha": [-0.1, 1.1],
    "loss.temperature": [0, -1, float("inf")],
    "loss.attention": ["mae"],
    "loss.attention_projection": ["sum"],
    "loss.relations": [-0.1, float("inf")],
    "loss.relation_heads": [0],
    "loss.hidden": [-0.1, float("inf")],
    "loss.distillation": [-0.1, 0, float("inf")],
    "loss.masked_lm": [-0.1, float("inf")],
    "layer_map.0.student": ["last", 1.5],
    "layer_map.0.teacher": ["last", 1.5],
    "train.seed": [-1, 2**31],
    "train.precision": ["float16", 32],
    "train.epochs": [0],
    "train.batch_tokens": [0],
    "train.learning_rate": [0, 1],
    "train.warmup_fraction": [-0.1, 1],
    "train.weight_decay": [-0.1, 1],
    "train.max_grad_norm": [0, float("inf")],
    "train.guard": [-1, 2, 1001],
    "train.evaluate_every": [0],
    "train.patience": [-1],
    "train.average": [-1, 101],
    "train.checkpoint_every": [0],
    "train.sampling_temperature": [0],
    "finetune.teacher.epochs": [0],
    "finetune.teacher.min_steps": [-1],
    "finetune.teacher.learning_rate": [0, 1, float("nan")],
    "finetune.teacher.tagger_learning_rate": [0, 1, float("nan")],
    "finetune.student.epochs": [0],
    "finetune.student.shared_head": [2],
    "finetune.student.min_steps": [-1],
    "finetune.student.learning_rate": [0, 1, float("nan")],
    "finetune.student.tagger_learning_rate": [0, 1, float("nan")],
    "finetune.start": ["mean"],
    "finetune.batch_size": [0],
    "finetune.max_length": [7, 513],
    "finetune.precision": ["float16", 32],
    "finetune.dropout": [-0.1, 0.6],
    "finetune.warmup_fraction": [-0.1, 1],
    "finetune.weight_decay": [-0.1, 1],
    "finetune.guard": [-1, 3.9],
    "finetune.tagger": ["crf", 1],
    "finetune.task_distillation": [2],
    "finetune.task_teachers.use": [[], ["linear", "linear"], ["tfidf"]],
    "finetune.task_teachers.path": [""],
    "finetune.task_temperature": [0, -1, float("inf")],
    "finetune.task_weight": [-0.1, 1.1],
    "finetune.unlabelled.weight": ["flat"],
    "finetune.unlabelled.mask_words": [-0.1, 1],
    "finetune.ngrams.max_n": [-1, 6],
    "finetune.ngrams.tag_window": [-1, 6, 1.5],
    "finetune.ngrams.bits": [7, 23],
    "finetune.ngrams.learning_rate": [0, 1.1, float("nan")],
    "finetune.task_teachers.tags": ["crf", 2],
    "finetune.task_teachers.sequences": [0, 33, 2.5],
    "finetune.ngrams.alone_weight": [-0.1, 1],
    "export.opset": [19, 22],
    "export.per_channel": [2],
    "export.embeddings": ["int4", 4],
    "export.masked_lm": [2],
    "export.speed_rows": [0, 10_001],
    "export.repetitions": [0, 101],
    "evaluate.tasks": [[]],
    "evaluate.seeds": [[], [-1], [2**31]],
    "evaluate.languages": ["both"],
    "evaluate.controls": [["stop"], ["start", "start"], "start"],
    "evaluate.linear_companion.tasks": [["topics"], ["sentiment", "sentiment"], "sentiment"],
    "evaluate.linear_companion.bits": [7, 21],
    "evaluate.merge.tasks": [["sentiment"], ["mood"], "sentiment"],  # one seed; no task that is scored; no list
    "evaluate.merge.members": ["best", 2],
    "evaluate.merge.method": ["none", "mean"],
    "evaluate.merge.density": [0, 1.1],
    "evaluate.few_labels.languages": [["yor", "yor"], ["zul"], "yor"],
    "evaluate.few_labels.rows": [-1],
    "evaluate.bootstrap_resamples": [99],
    "footprint.threads": [0, 257],
    "footprint.rounds": [0],
    "footprint.short_words": [0],
    "footprint.long_words": [0],
    "card.name": ["", "two words", "owner/name"],
    "card.license": ["", "MIT", "my own"],
    "launch.processes": [0, 257],
}
# The other task's block has the same keys.
OUT_OF_RANGE |= {key.replace(".sentiment.", ".entities."): values for key, values in OUT_OF_RANGE.items()
                 if key.startswith("tasks.")} | {"tasks.entities.label_column": ["", "tokens"],
                                                 "tasks.entities.normalise": [True]}  # fmt: skip


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of params.yaml with their values; a list of blocks counts from 0."""
    if isinstance(node, dict) or (isinstance(node, list) and node and isinstance(node[0], dict)):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, node


LEAVES = dict(leaves(PARAMS))
NAMED = [key for key in LEAVES if "." in key]  # keys inside a section


# ---- params.yaml, key by key


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A params.yaml of one's own in the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(ROOT / "params.yaml", "params.yaml"))


def complaint(key: str) -> str:
    """What the stage that reads the section of `key` says."""
    with pytest.raises(UserError) as error:
        READERS[key.split(".")[0]]()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_params_yaml_as_committed_is_accepted(params: Path) -> None:
    assert set(READERS) == set(PARAMS)
    for read in READERS.values():
        read()


@pytest.mark.parametrize("key", NAMED)
def test_a_misspelt_key_is_refused_with_the_right_one(params: Path, key: str) -> None:
    tree = yaml.safe_load(params.read_text(encoding="utf-8"))
    node, last = parent(tree, key)
    node[f"{last}x"] = node.pop(last)
    params.write_text(yaml.safe_dump(tree), encoding="utf-8")
    message = complaint(key)
    assert f"params.yaml: {key}x: unknown key; did you mean `{last}`?" in message
    assert f"params.yaml: {key}: this key is missing; `git diff params.yaml`" in message


@pytest.mark.parametrize("key", LEAVES)
def test_a_value_of_another_type_is_refused(params: Path, key: str) -> None:
    old = LEAVES[key]
    wrong = [7, True] if isinstance(old, str) else ["several"] if isinstance(old, bool | list) else ["several", True]
    if key.endswith("_column") and key.startswith("tasks."):
        wrong = [0, True]  # a column may be named, or numbered from 1 (or from the end, below 0)
    for value in (*wrong, {"a": 1}, None):
        change(params, {key: value})
        message = complaint(key)
        assert f"params.yaml: {key}: " in message and f"found {value!r}" in message


@pytest.mark.parametrize("key", LEAVES)
def test_a_value_out_of_range_is_refused(params: Path, key: str) -> None:
    for value in OUT_OF_RANGE[key]:
        change(params, {key: value})
        message = complaint(key)
        assert message.startswith("params.yaml: ") and key.split(".")[-1] in message, message
        found = value[-1] if isinstance(value, list) and value else value
        assert str(found) in message, message


@pytest.mark.parametrize("section", PARAMS)
def test_a_missing_section_is_refused_by_name(params: Path, section: str) -> None:
    tree = yaml.safe_load(params.read_text(encoding="utf-8"))
    del tree[section]
    params.write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert section in complaint(section) and "params.yaml" in complaint(section)
