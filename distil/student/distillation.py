"""Distil a student from the cache: checks, initialisation, training, summary."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch

from distil.cache.format import TeacherCache
from distil.compute.distributed import SINGLE_PROCESS, Processes
from distil.core.errors import UserError
from distil.core.files import read_json, sha256_file, verify_checksums, write_json
from distil.core.params import NO_FOLDER
from distil.modeling.experts import add_experts
from distil.modeling.shape import describe_model
from distil.modeling.tokenizer import load_tokenizer, max_tokens
from distil.student.language_gate import fit_gate
from distil.student.model import StudentConfig, save_student
from distil.student.start import first_weights
from distil.student.trunk import EXPERT_RATE, describe_experts, forgetting, grow, open_trunk
from distil.tokenization.shards import TokenizedDataset
from distil.training.config import RunPaths, TrainConfig
from distil.training.objective import LayerPair, LossConfig, Objective
from distil.training.trainer import LogFigures, Trainer, TrainingResult, no_log

log = logging.getLogger("distil")


class DistillationConfig(NamedTuple):
    """The sections of params.yaml that decide a student."""

    student: StudentConfig
    loss: LossConfig
    layer_map: list[LayerPair]
    train: TrainConfig


def open_caches(languages: list[str], prepared: Path, cached: Path) -> list[TeacherCache]:
    """The cache of each language, matched with its text, every file compared with its checksum."""
    caches = [TeacherCache(cached / language, TokenizedDataset(prepared / language)) for language in languages]
    for cache in caches:
        cache.verify()
    return caches


def distil_student(
    caches: list[TeacherCache],
    languages: list[str],
    config: DistillationConfig,
    paths: RunPaths,
    live: LogFigures = no_log,
    processes: Processes = SINGLE_PROCESS,
) -> tuple[dict[str, Any], TrainingResult]:
    """Train a student and write it to `paths.out`, a Hugging Face folder with its tokenizer.

    Args:
        caches: the teacher's outputs, of one language each.
        languages: codes, in the order of `caches`.
        config: shape, loss and optimisation.
        paths: where to read and write.
        live: gets (step, figures) as they come.
        processes: the processes that train together; the main one alone writes.

    Returns:
        The summary (docs, output-files: metrics/distil/summary.json, without its key) and what the training came to.

    Raises:
        UserError: the tokenizer is not the one that the cache was made with, or see `TrainingState.step`.
    """
    tokenizer, teacher = paths.tokenizer, paths.teacher
    load_tokenizer(tokenizer)  # refuses one that is missing or damaged
    expected, found = caches[0].manifest["tokenizer_sha256"], sha256_file(tokenizer / "tokenizer.json")
    if expected != found:
        raise UserError(
            f"{tokenizer}/tokenizer.json: sha256: the teacher cache was made with {expected[:12]}, found "
            f"{found[:12]}; run "
            "`dvc repro cache_teacher`"
        )
    verify_checksums(teacher, "teacher", "manifest.json")
    manifest = read_json(teacher / "manifest.json", "teacher")
    for field in ("id", "revision", "weights_sha256"):
        if caches[0].manifest["teacher"][field] != manifest[field]:
            raise UserError(
                f"{caches[0].folder}/manifest.json: teacher.{field}: expected {manifest[field]} (models/teacher), "
                f"found {caches[0].manifest['teacher'][field]}; run `dvc repro cache_teacher`"
            )
    if processes.is_main:
        _warn_of_unread_variants(caches, config.train.epochs)
    texts = [cache.prepared for cache in caches]
    trunk = None
    if config.student.trunk == NO_FOLDER:
        model: Any = first_weights(config.student, config.train.seed, texts, tokenizer, teacher)
        if config.student.experts:
            model = add_experts(model, languages, languages, config.student.experts)
    else:
        longest = max(text.manifest["max_length"] for text in texts)
        trunk = open_trunk(Path(config.student.trunk), languages, config.student, tokenizer, longest)
        torch.manual_seed(config.train.seed)
        model = grow(trunk, config.student)
    objective = Objective(model, caches[0], config.loss, config.layer_map, languages)
    train = config.train
    if trunk:
        train = train.model_copy(update={"learning_rate": EXPERT_RATE * train.learning_rate})
    trainer = Trainer(model, objective, train, paths, "distil", live, processes)
    before = trainer.measure(caches, languages) if trunk else {}
    outcome = trainer.train(caches, languages, trunk.new if trunk else ())
    experts: dict[str, Any] = {}
    if config.student.experts:
        gate, recognised = fit_gate(model, texts, languages)
        experts["experts"] = describe_experts(model, config.student.experts, recognised)
    if trunk:
        experts["forgetting"] = forgetting(before, outcome.heldout, trunk)
    if processes.is_main:
        save_student(model, tokenizer, paths.out, gate if experts else None)
        if "script" in caches[0].prepared.manifest:  # serving has to transliterate, too
            about = {"kind": "masked_lm", "languages": languages, "max_length": max_tokens(model.config.to_dict()),
                     "script": caches[0].prepared.manifest["script"]}  # fmt: skip
            write_json(paths.out / "manifest.json", about)
    splits = [split for cache in caches for split in cache.manifest["splits"].values()]
    size, tokens = sum(split["bytes"] for split in splits), sum(split["tokens"] for split in splits)
    form = caches[0].logit_format("train")
    summary = {
        "steps": outcome.steps,
        "epochs": config.train.epochs,
        "tokens": outcome.tokens,
        "best_step": outcome.best_step,
        **({"averaged": outcome.averaged} if config.train.average else {}),
        "stopped_early": outcome.stopped_early,
        "student": describe_model(model),
        "teacher": {name: manifest[name] for name in ("id", "revision", "synthetic", "parameters",
                                                      "embedding_parameters", "num_hidden_layers", "hidden_size",
                                                      "num_attention_heads", "vocabulary")},
        "cache": {"logits": form.form, "entries": form.entries, "bytes": size, "tokens": tokens,
                  "bytes_per_token": round(size / tokens, 1), "positions": sum(split["positions"] for split in splits)},
        "heldout": outcome.heldout,
        **experts,
    }  # fmt: skip
    return summary, outcome


def _warn_of_unread_variants(caches: list[TeacherCache], epochs: int) -> None:
    """An epoch reads one mask variant, and each variant costs a pass of the teacher over the text."""
    cached = max(cache.prepared.manifest["splits"]["train"]["mask_variants"] for cache in caches)
    if cached > epochs:
        log.warning(
            "distil: the teacher read %d mask variants and train.epochs: %d reads only %d of them; set "
            "tokenize.mask_variants to %d, each variant costs a teacher pass", cached, epochs, epochs, epochs,
        )  # fmt: skip
