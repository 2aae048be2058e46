"""From the cache on disk to a student on disk: checks, first weights, training, figures."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from distil.cache import TeacherCache
from distil.errors import UserError
from distil.files import read_json, sha256_file, sha256_json
from distil.objective import LayerPair, LossConfig
from distil.prepared import Prepared
from distil.student import StudentConfig, build_student, describe, start_from_teacher
from distil.teacher import load_masked_lm
from distil.train import Outcome, TrainConfig, train
from distil.vocabulary import load_tokenizer, read_manifest, special_ids, teacher_ids

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model")


def training_key(params: Mapping[str, Any], caches: list[TeacherCache], tokenizer: Path, code: list[Path]) -> str:
    """What decides the student, as one sha256: two trainings with the same key give the same student.

    Args:
        params: the sections that the training reads.
        caches: their manifests name the text, the teacher and everything cached, by checksum.
        tokenizer: models/tokenizer.
        code: the files whose text decides the result.
    """
    return sha256_json(
        {
            "params": params,
            "caches": [sha256_file(cache.folder / "manifest.json") for cache in caches],
            "prepared": [sha256_file(cache.prepared.folder / "manifest.json") for cache in caches],
            "tokenizer": sha256_json(read_manifest(tokenizer)),
            "code": {path.as_posix(): sha256_file(path) for path in sorted(code)},
            "torch": torch.__version__,
        }
    )


def stage_code(stage: str, pipeline: Path = Path("dvc.yaml")) -> list[Path]:
    """The Python files that dvc.yaml names as deps of a stage."""
    deps = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"][stage]["deps"]
    return [Path(dep) for dep in deps if dep.endswith(".py")]


def open_caches(languages: list[str], prepared: Path, cached: Path) -> list[TeacherCache]:
    """The cache of each language, matched with its text, every file compared with its checksum."""
    caches = [TeacherCache(cached / language, Prepared(prepared / language)) for language in languages]
    for cache in caches:
        cache.verify()
    return caches


def distil_student(
    caches: list[TeacherCache],
    languages: list[str],
    student: StudentConfig,
    loss: LossConfig,
    layer_map: list[LayerPair],
    config: TrainConfig,
    seed: int,
    teacher: Path,
    tokenizer: Path,
    out: Path,
    metrics: Path,
    scratch: Path,
    live: Callable[[int, dict[str, float]], None],
) -> tuple[dict[str, Any], Outcome]:
    """Train a student and write it to `out`, a Hugging Face folder with its tokenizer.

    Returns:
        The summary (docs/design.md, metrics/distil/summary.json, without its key) and what the training came to.

    Raises:
        UserError: the tokenizer is not the one that the cache was made with, or see `train`.
    """
    fast = load_tokenizer(tokenizer)
    special, pieces = special_ids(fast), fast.get_vocab_size()
    expected, found = caches[0].manifest["tokenizer_sha256"], sha256_file(tokenizer / "tokenizer.json")
    if expected != found:
        raise UserError(
            f"{tokenizer}/tokenizer.json: sha256: the teacher cache was made with {expected[:12]}, found "
            f"{found[:12]}; run "
            "`dvc repro cache_teacher`"
        )
    manifest = read_json(teacher / "manifest.json", "teacher")
    for field in ("id", "revision", "weights_sha256"):
        if caches[0].manifest["teacher"][field] != manifest[field]:
            raise UserError(
                f"{caches[0].folder}/manifest.json: teacher.{field}: expected {manifest[field]} (models/teacher), "
                f"found {caches[0].manifest['teacher'][field]}; run `dvc repro cache_teacher`"
            )
    torch.manual_seed(seed)
    positions = caches[0].manifest["teacher"]["max_position_embeddings"]
    model = build_student(student, special, pieces, positions)
    if student.init == "teacher":
        source = load_masked_lm(teacher, "teacher")
        start_from_teacher(model, source, torch.tensor(teacher_ids(tokenizer), dtype=torch.int64))
        del source
    outcome = train(model, caches, languages, loss, layer_map, config, seed, metrics, scratch, live)
    model.cpu().eval().save_pretrained(out)
    for name in TOKENIZER_FILES:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, out / name)
    splits = [split for cache in caches for split in cache.manifest["splits"].values()]
    size, tokens = sum(split["bytes"] for split in splits), sum(split["tokens"] for split in splits)
    form = caches[0].logit_format("train")
    summary = {
        "steps": outcome.steps,
        "epochs": config.epochs,
        "tokens": outcome.tokens,
        "best_step": outcome.best_step,
        "stopped_early": outcome.stopped_early,
        "student": describe(model),
        "teacher": {name: manifest[name] for name in ("id", "revision", "synthetic", "parameters",
                                                      "embedding_parameters", "num_hidden_layers", "hidden_size",
                                                      "num_attention_heads", "vocabulary")},
        "cache": {"logits": form.form, "entries": form.entries, "bytes": size, "tokens": tokens,
                  "bytes_per_token": round(size / tokens, 1), "positions": sum(split["positions"] for split in splits)},
        "heldout": outcome.heldout,
    }  # fmt: skip
    return summary, outcome
