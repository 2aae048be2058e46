"""A world small enough for tests: two languages of made-up words, a two-layer random teacher, prepared text."""

import random
from pathlib import Path

import torch

from distil.core.files import read_json, sha256_file, write_json
from distil.core.params import NO_FOLDER
from distil.modeling.shape import build_masked_lm, describe_model
from distil.modeling.tokenizer import special_ids, teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.runtime.progress import Progress
from distil.student.model import StudentConfig
from distil.teacher.cache_config import CacheConfig
from distil.teacher.cache_writer import FinishedShards, write_language_cache
from distil.teacher.outputs import TeacherPass
from distil.teacher.pretraining import train_tokenizer
from distil.tokenization.prepare import TokenizeConfig, prepare_language
from distil.tokenization.shards import TokenizedDataset
from distil.tokenization.vocabulary import VocabularyConfig, build_vocabulary

LANGUAGES = ["swa", "yor"]
TOKENIZE = TokenizeConfig(
    max_length=24, min_length=4, max_tokens=0, heldout_fraction=0.15, mask_rate=0.15, mask_variants=2, shard_tokens=2000
)
CACHE = CacheConfig(
    logits="sampled", entries=12, heldout_entries=40, sampling_temperature=2.0, attention_layers=(-1,),
    attention="mean", attention_rows=1.0, batch_tokens=512, precision="float32", ensemble=NO_FOLDER,
)  # fmt: skip
SHAPE = StudentConfig(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    dropout=0.1,
    init="random",
    init_layers=(),
    experts=0,
    trunk=NO_FOLDER,
)


def sentences(count: int, seed: int) -> list[str]:
    """Made-up sentences of two to eleven words with letters of the five languages."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("aeiouọẹịụƙɗɓŋbdfgklmnrstwyṣ", k=rng.randint(2, 6))) for _ in range(120)]
    return [" ".join(rng.choices(words, k=rng.randint(2, 11))) for _ in range(count)]


def make_text(root: Path, count: int = 260) -> None:
    """data/raw of both languages."""
    for number, language in enumerate(LANGUAGES):
        path = root / "data/raw" / f"{language}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in sentences(count, number)), encoding="utf-8")
    (root / "data/raw/manifest.json").write_text('{"script": "keep"}', encoding="utf-8")


def make_teacher(root: Path, heads: int = 4, seed: int = 0, pieces: int = 200) -> None:
    """models/teacher: random weights, a real tokenizer."""
    out = root / "models/teacher"
    out.mkdir(parents=True)
    lines = [line for language in LANGUAGES
             for line in (root / "data/raw" / f"{language}.txt").read_text(encoding="utf-8").splitlines()]  # fmt: skip
    tokenizer = train_tokenizer(lines, pieces, out)
    torch.manual_seed(seed)
    shape = StudentConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=heads,
        intermediate_size=48,
        dropout=0.0,
        init="random",
        init_layers=(),
        experts=0,
        trunk=NO_FOLDER,
    )
    model = build_masked_lm(shape.shape, special_ids(tokenizer), tokenizer.get_vocab_size(), 66)
    with torch.no_grad():  # distributions worth learning: far from uniform
        for parameter in model.parameters():
            parameter.mul_(4)
    model.save_pretrained(out)
    write_json(out / "manifest.json", {
        "source": "folder", "id": "toy", "revision": "1", "synthetic": True,
        "weights_sha256": sha256_file(out / "model.safetensors"), "max_position_embeddings": 66,
        **describe_model(model),
    })  # fmt: skip


def make_vocabulary(root: Path) -> None:
    """models/tokenizer with all of the teacher's pieces."""
    texts = {language: root / "data/raw" / f"{language}.txt" for language in LANGUAGES}
    out = root / "models/tokenizer"
    out.mkdir(parents=True, exist_ok=True)
    build_vocabulary(
        texts, root / "models/teacher", VocabularyConfig(keep="full", coverage=1.0, size=200, floor=0), out
    )


def make_prepared(root: Path, config: TokenizeConfig = TOKENIZE, seed: int = 1) -> None:
    """data/prepared of both languages."""
    for language in LANGUAGES:
        text = root / "data/raw" / f"{language}.txt"
        prepare_language(language, text, root / "models/tokenizer", config, seed, root / "data/prepared" / language)


def outputs_of(root: Path, config: CacheConfig = CACHE) -> TeacherPass:
    """The toy teacher, ready to be cached."""
    return TeacherPass(
        load_masked_lm(root / "models/teacher", "teacher"), teacher_piece_ids(root / "models/tokenizer"), config, 1
    )


def make_cache(
    root: Path, config: CacheConfig = CACHE, folder: str = "data/teacher", scratch: str = "scratch", code: str = ""
) -> None:
    """data/teacher of both languages; `code` is the checksum of what makes a shard."""
    teacher = read_json(root / "models/teacher/manifest.json", "teacher")
    outputs = outputs_of(root, config)
    (root / scratch).mkdir(exist_ok=True)
    with Progress("toy", 1, "tokens") as progress:
        for language in LANGUAGES:
            prepared = TokenizedDataset(root / "data/prepared" / language)
            out = root / folder / language
            write_language_cache(
                prepared, outputs, {"teacher": teacher}, out, FinishedShards(root / scratch, {"code": code}), progress
            )


def make_world(root: Path) -> Path:
    """Everything up to the cache."""
    make_text(root)
    make_teacher(root)
    make_vocabulary(root)
    make_prepared(root)
    make_cache(root)
    return root
