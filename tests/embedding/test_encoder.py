"""The encoder: it learns a made-up translation, loads where sentence-transformers loads, goes on where it stopped."""

import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import TranslationEvaluator
from transformers import TrainerCallback

from distil.core.errors import UserError
from distil.core.files import read_json, write_json
from distil.embedding import encoder
from distil.embedding.config import EmbeddingConfig, check_library
from distil.embedding.data import Pair
from distil.embedding.encoder import ridge, train_encoder
from distil.embedding.evaluation import MODELS, as_table, encoder_vectors, int8_vectors
from distil.embedding.onnx_encoder import check_script
from distil.embedding.retrieval import accuracy, hits
from distil.embedding.teacher_vectors import cached_vectors, pieces_per_word, scaled, sentence_vectors
from distil.runtime.stage_number import stage_names
from distil.serving.predictor import Predictor
from stages import embed, evaluate_embedding, pairs
from tests.embedding.test_pairs import BLOCK, write_table
from tests.support import ROOT, toy

CONFIG = EmbeddingConfig.model_validate(
    {**BLOCK, "training": {**BLOCK["training"], "steps": 100, "batch_size": 16, "learning_rate": 0.003}}
)
SHORT = CONFIG.training.model_copy(update={"steps": 8})


LETTERS = "aeiouọẹịụƙɗɓŋbdfgklmnrstwyṣ"


def translation(text: str) -> str:
    """Another language: every letter is another one."""
    return text.translate(str.maketrans(LETTERS, LETTERS[13:] + LETTERS[:13]))


TEXTS = list(dict.fromkeys(toy.sentences(400, 7)))
PAIRS = [Pair(text, translation(text)) for text in TEXTS[40:]]
TEST = {"eng": TEXTS[:40], "swa": [translation(text) for text in TEXTS[:40]]}


@pytest.fixture(scope="module")
def repository(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the three stages have run, of a student that is the teacher; read only."""
    root = tmp_path_factory.mktemp("embedding")
    for model in ("teacher", "student"):
        shutil.copytree(world / "models/teacher", root / "models" / model)
    write_table(root / "in/swa/a.tsv", ("eng", "text"), *PAIRS)
    write_table(root / "in/test.tsv", tuple(TEST), *zip(*TEST.values(), strict=True))
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (root / "params.yaml").write_text(yaml.safe_dump({
        **params, "languages": ["swa"], "embeddings": {"mine": CONFIG.model_dump(mode="json")},
    }))  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_ROOT", str(root))
        for stage in (pairs, embed, evaluate_embedding):
            stage.main("mine")
    return root


@pytest.fixture
def trained(repository: Path) -> Path:
    """The encoder."""
    return repository / "models/embedding/mine"


def targets(world: Path) -> np.ndarray:
    pivots = [pair.pivot for pair in PAIRS]
    return scaled(sentence_vectors(world / "models/teacher", "teacher", pivots, 24, "float32"))


def test_translations_are_found_that_the_teacher_does_not_find(repository) -> None:
    scores = read_json(repository / "metrics/embedding/mine.json", "evaluate_embedding@mine")
    found = {name: model["with_pivot"]["accuracy"] for name, model in scores["models"].items()}
    assert set(found) == set(MODELS)
    assert found["encoder"] > found["teacher_centred"] + 20
    assert abs(found["encoder_int8"] - found["encoder"]) < 10
    assert scores["gain"]["with_pivot"]["interval"][0] > 0
    assert scores["pivot_finds_teacher"]["accuracy"] > 60
    assert "between" not in scores["gain"] and list(scores["models"]["encoder"]["pairs"]) == ["eng-swa"]
    table = as_table(scores).splitlines()
    assert table[0] == "|  | swa | with eng | between the others |" and len(table) == 8


def test_the_manifest_has_the_losses_and_nothing_is_left_in_scratch(repository, trained) -> None:
    manifest = read_json(trained / "manifest.json", "embed@mine")
    assert manifest["languages"] == ["eng", "swa"] and 1 < manifest["pieces_per_pivot_word"] < 6
    assert [row["step"] for row in manifest["losses"]] == [50, 100]
    assert manifest["losses"][1]["ranking"] < manifest["losses"][0]["ranking"]
    assert not list((repository / ".scratch/embed").iterdir())
    assert not list(trained.rglob("README.md"))  # sentence-transformers quotes the training text in it


def test_stages_are_there_only_where_there_is_a_block() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    names = {"pairs", "embed", "evaluate_embedding"}
    found = [{name for name in stage_names(stages, {**params, "embeddings": blocks}) if name.split("@")[0] in names}
             for blocks in ({}, {"mine": BLOCK})]  # fmt: skip
    assert found == [set(), {f"{name}@mine" for name in names}]
    others = {name: block for name, block in stages.items() if name not in names}
    named = [word for word in re.findall(r"[\w./]+", str(others))
             if re.match(r"embeddings\b|distil/embedding/|(data/pairs|models/embedding)\b", word)]  # fmt: skip
    assert named == []  # nothing else can run again


def test_the_folder_loads_and_gives_the_accuracy_of_its_own_evaluator(trained) -> None:
    model = SentenceTransformer(str(trained / "sentence-transformers"), device="cpu")
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Dense", "Normalize"]
    vectors = {code: model.encode(texts) for code, texts in TEST.items()}
    np.testing.assert_allclose(np.linalg.norm(vectors["eng"], axis=1), 1, atol=1e-5)
    theirs = TranslationEvaluator(TEST["eng"], TEST["swa"], write_csv=False)(model)
    ours = accuracy([hits(vectors["eng"], vectors["swa"])], 100)["directions"]
    assert ours == pytest.approx([100 * theirs["src2trg_accuracy"], 100 * theirs["trg2src_accuracy"]])


def test_the_8_bit_graph_gives_the_vectors_of_the_folder_whatever_the_batch(trained) -> None:
    texts = [*TEST["eng"][:9], " ".join(TEST["eng"])]  # the last is cut
    whole, small = (read(trained / name, texts) for read, name in
                    ((encoder_vectors, "sentence-transformers"), (int8_vectors, "int8")))  # fmt: skip
    assert (whole * small).sum(axis=1).min() > 0.98
    alone = np.concatenate([int8_vectors(trained / "int8", [text]) for text in texts])
    np.testing.assert_allclose(alone, small, atol=0.05)  # activations are scaled by batch
    found = Predictor(trained / "int8", 1).predict([texts[0], ""])
    assert len(found[0]["vector"]) == 32 and found[1] == {"error": "empty line"}


def test_a_killed_training_goes_on_and_ends_as_one_that_was_not(world, tmp_path, monkeypatch) -> None:
    aims, student = targets(world), world / "models/teacher"
    train_encoder(student, PAIRS, aims, SHORT, tmp_path / "whole", tmp_path / "a")

    class Kill(TrainerCallback):
        def on_step_begin(self, args, state, control, **_) -> None:
            if state.global_step == 5:
                raise KeyboardInterrupt

    class Killed(encoder.EncoderTrainer):
        def __init__(self, **options) -> None:
            super().__init__(**options, callbacks=[Kill()])

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(encoder, "EncoderTrainer", Killed)
        train_encoder(student, PAIRS, aims, SHORT, tmp_path / "cut", tmp_path / "b")
    assert not (tmp_path / "b").exists() and (tmp_path / "cut/checkpoint-4").is_dir()
    train_encoder(student, PAIRS, aims, SHORT, tmp_path / "cut", tmp_path / "b")
    one, other = (encoder_vectors(tmp_path / name, TEST["swa"]) for name in "ab")
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_linear_map_is_found_and_a_constant_input_does_no_harm() -> None:
    rng = np.random.default_rng(0)
    inputs, weight, bias = rng.normal(size=(3000, 4)), rng.normal(size=(3, 4)), rng.normal(size=3)
    inputs[:, 3] = 5
    found, shift = ridge(inputs, inputs @ weight.T + bias)
    np.testing.assert_allclose(inputs @ found.T + shift, inputs @ weight.T + bias, atol=0.15)
    assert found[:, 3] == pytest.approx(0)


def test_targets_are_centred_and_scaled_by_one_number() -> None:
    vectors = np.random.default_rng(0).normal(size=(500, 3)) * [1, 2, 3] + 7
    found = scaled(vectors)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    assert found.std() == pytest.approx(1) and found[:, 2].std() > 2.5 * found[:, 0].std()


def test_the_teacher_reads_a_sentence_once(world, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    caplog.set_level(logging.INFO)
    teacher = world / "models/teacher"
    first = cached_vectors(teacher, TEXTS[:5], 24, "float32")
    np.testing.assert_array_equal(cached_vectors(teacher, TEXTS[:5], 24, "float32"), first)
    assert caplog.text.count("the teacher reads 5 sentences") == 1
    np.testing.assert_allclose(sentence_vectors(teacher, "teacher", TEXTS[4:5], 24, "float32"), first[4:], atol=1e-4)


def test_a_tokenizer_that_cuts_the_pivot_to_characters_is_warned_of(world, caplog) -> None:
    assert pieces_per_word(world / "models/teacher", ["ẹkịbŋụlodƙag rụmẹɓisatṣnu"], "eng") > 3
    assert "pieces a word of eng" in caplog.text


def test_a_missing_weight_of_the_student_is_refused(world, tmp_path) -> None:
    student = Path(shutil.copytree(world / "models/teacher", tmp_path / "student"))
    (student / "model.safetensors").unlink()
    with pytest.raises(UserError, match="expected weights in model.safetensors"):
        train_encoder(student, PAIRS, np.zeros((len(PAIRS), 8), np.float32), SHORT, tmp_path / "s", tmp_path / "out")


def test_without_the_library_the_stage_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr("distil.embedding.config.LIBRARY", "sentence_transformers_that_is_not_there")
    with pytest.raises(UserError, match=r"pip install 'distil\[embed\]'"):
        check_library()


def test_a_student_of_transliterated_text_is_refused(world, tmp_path) -> None:
    student = Path(shutil.copytree(world / "models/teacher", tmp_path / "student"))
    about = {"kind": "masked_lm", "max_length": 512, "languages": ["amh"]}
    write_json(student / "manifest.json", about)
    check_script(student)
    write_json(student / "manifest.json", {**about, "script": "latin"})
    with pytest.raises(UserError, match="student: a student of corpus.script: latin, and sentence enc"):
        check_script(student)
