"""The student without a teacher: the same shape, text, masks and batches, and nothing of the teacher."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from distil.core.errors import UserError
from distil.core.files import read_json, sha256_file, write_json
from distil.student.no_teacher import open_texts, train_without_teacher
from distil.training.data_loader import CachedDataset
from distil.training.text_only import NoTeacherOutputs
from tests.support import ROOT, toy
from tests.training.test_trainer import TRAIN, caches, distil, paths_of, rows


def without_teacher(world: Path, out: Path, config: Any = TRAIN):
    for name in ("student", "metrics", "scratch"):
        (out / name).mkdir(parents=True, exist_ok=True)
    texts = open_texts(toy.LANGUAGES, world / "data/prepared", world / "models/tokenizer")
    return train_without_teacher(texts, toy.LANGUAGES, toy.SHAPE, config, paths_of(world, out))


def test_it_learns_the_text_and_keeps_its_best_weights(world: Path, tmp_path: Path) -> None:
    summary, outcome = without_teacher(world, tmp_path, TRAIN.model_copy(update={"patience": 1}))
    heldout = rows(tmp_path / "metrics/heldout.csv")
    assert float(heldout[0]["loss"]) > summary["heldout"]["swa"]["loss"]
    best = min(heldout, key=lambda row: float(row["loss"]))
    assert int(best["step"]) == summary["best_step"] == outcome.best_step
    assert summary["steps"] == int(heldout[-1]["step"]) and not outcome.stopped_early  # patience plays no part
    for language in toy.LANGUAGES:
        figures = summary["heldout"][language]
        assert figures["loss"] == figures["student_nll"] == pytest.approx(figures["masked_lm"])
        assert float(best[f"{language}.nll"]) == figures["student_nll"]
        assert "kl" not in figures and "teacher_accuracy" not in figures
    last = rows(tmp_path / "metrics/train.csv")[-1]
    assert float(last["loss"]) == pytest.approx(float(last["masked_lm"]), rel=0.02)  # a mean of steps, one of places
    assert {"swa.masked_lm", "yor.masked_lm"} <= last.keys() and "logit_kd" not in last


def test_it_sees_the_batches_and_masks_of_the_student_with_a_teacher(world: Path) -> None:
    texts = open_texts(toy.LANGUAGES, world / "data/prepared", world / "models/tokenizer")
    with_teacher, without = CachedDataset(caches(world), "train"), CachedDataset(texts, "train")
    plans = [list(index.epoch_batches(1, 512, 2.0, 7)) for index in (with_teacher, without)]
    assert len(plans[0]) == len(plans[1])
    for one, other in zip(*plans, strict=True):
        taught, alone = with_teacher.collate(one), without.collate(other)
        for field in ("input_ids", "mask", "masked_sequence", "masked_position", "gold", "languages"):
            assert torch.equal(getattr(taught, field), getattr(alone, field)), field
        assert alone.teacher_logits.ids.shape == (len(alone.gold), 0) and len(alone.attention) == 0


def test_it_has_the_shape_of_the_student_with_a_teacher_and_loads_with_transformers(
    world: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    short = TRAIN.model_copy(update={"epochs": 1})
    taught, alone = distil(world, tmp_path / "a", config=short)[0], without_teacher(world, tmp_path / "b", short)[0]
    assert taught["student"] == alone["student"]
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "b/student")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "b/student")
    assert model(**tokenizer("aeị <mask>", return_tensors="pt")).logits.shape[-1] == len(tokenizer)


def test_it_needs_no_cache_and_no_teachers_weights(own_world: Path, tmp_path: Path) -> None:
    shutil.rmtree(own_world / "data/teacher")
    (own_world / "models/teacher/model.safetensors").unlink()
    summary, _ = without_teacher(own_world, tmp_path, TRAIN.model_copy(update={"epochs": 1}))
    assert np.isfinite(summary["heldout"]["swa"]["loss"])


def test_a_killed_run_goes_on_and_ends_bit_for_bit_as_an_uninterrupted_one(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distil.training import trainer as train

    without_teacher(world, tmp_path / "whole")
    original, looks = train.evaluate_heldout, []

    def killed(*args: Any) -> Any:
        looks.append(1)
        if len(looks) == 3:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(train, "evaluate_heldout", killed)
    with pytest.raises(KeyboardInterrupt):
        without_teacher(world, tmp_path / "killed")
    assert (tmp_path / "killed/scratch/checkpoint.safetensors").is_file()
    without_teacher(world, tmp_path / "killed")
    for name in ("student/model.safetensors", "metrics/train.csv", "metrics/heldout.csv"):
        assert sha256_file(tmp_path / "whole" / name) == sha256_file(tmp_path / "killed" / name), name


def test_text_of_another_tokenizer_and_a_config_without_positions_are_refused(own_world: Path, tmp_path: Path) -> None:
    config = own_world / "models/teacher/config.json"
    write_json(config, {name: value for name, value in read_json(config, "teacher").items() if "position" not in name})
    with pytest.raises(UserError, match=r"config\.json: expected max_position_embeddings, found none"):
        without_teacher(own_world, tmp_path)
    path = own_world / "models/tokenizer/tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="tokenizer_sha256: expected"):
        without_teacher(own_world, tmp_path)


def test_no_change_of_loss_layers_or_cache_reruns_it() -> None:
    block = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["no_teacher"]
    assert not {param.split(".")[0] for param in block["params"]} & {"loss", "layer_map", "cache_teacher", "teacher"}
    assert not {"student.init", "student.init_layers", "train.patience"} & set(block["params"])
    assert not {"data/teacher", "models/teacher"} & set(block["deps"])


def test_nothing_is_kept_where_there_is_no_teacher() -> None:
    kept, rows = NoTeacherOutputs(), np.arange(3)
    ids, log_probs, log_scale = kept.logits(rows)
    assert ids.shape == log_probs.shape == (3, 0) and log_scale.tolist() == [0.0] * 3
    assert [len(part) for part in kept.attention(rows, rows)] == [0] * 4
