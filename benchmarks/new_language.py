"""What a new language costs the others: an expert on a frozen trunk, more training on it alone, all from the start.

    python -m stages.preset small --set train.batch_tokens=512
    python -m benchmarks.new_language --teacher ../shared/models/afro-e5-adapted --text ../shared/data/corpus

All settings are those of params.yaml but for `--tokens` and `--epochs`. The trunk is a student of all languages but the
new one and has their pieces; every arm has these pieces, so their KLs compare. `forgetting` is the mean over the old
languages of KL(teacher ‖ student) on held-out text after the new language, less that before, in nats.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch

from benchmarks.machine import by_size, finish, machine
from benchmarks.material import parser
from distil.cache.format import TeacherCache
from distil.core.files import read_json, write_text
from distil.core.params import load_languages, load_list, load_params, load_seed
from distil.modeling.experts import load_student
from distil.modeling.shape import describe_model
from distil.modeling.tokenizer import teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.runtime.process import run_command
from distil.runtime.progress import Progress
from distil.student.card import short_card
from distil.student.distillation import DistillationConfig, distil_student
from distil.student.model import StudentConfig
from distil.teacher.cache_config import CacheConfig
from distil.teacher.cache_writer import FinishedShards, write_language_cache
from distil.teacher.outputs import TeacherPass
from distil.teacher.source import TeacherConfig, fetch_teacher
from distil.tokenization.prepare import TokenizeConfig, prepare_language
from distil.tokenization.shards import TokenizedDataset
from distil.tokenization.vocabulary import VocabularyConfig, build_vocabulary
from distil.training.config import RunPaths, TrainConfig
from distil.training.objective import LayerPair, LossConfig, Objective
from distil.training.trainer import Trainer


class World(NamedTuple):
    """What all arms share."""

    folder: Path
    old: list[str]
    new: str
    config: DistillationConfig

    def caches(self, languages: Sequence[str]) -> list[TeacherCache]:
        """The teacher's outputs over some languages."""
        return [TeacherCache(self.folder / "cache" / code, TokenizedDataset(self.folder / "prepared" / code))
                for code in languages]  # fmt: skip

    def paths(self, arm: str) -> RunPaths:
        """Where an arm reads and writes."""
        out = self.folder / arm
        for name in ("student", "metrics", "scratch"):
            (out / name).mkdir(parents=True, exist_ok=True)
        return RunPaths(self.folder / "teacher", self.folder / "tokenizer", out / "student", out / "metrics",
                        out / "scratch")  # fmt: skip


def make_world(options: argparse.Namespace, folder: Path) -> World:
    """Teacher, pieces of the old languages, text of all and the teacher's outputs over it."""
    languages, seed = load_languages(), load_seed()
    old = [code for code in languages if code != options.new]
    source = load_params("teacher", TeacherConfig).model_copy(update={"source": "folder", "path": str(options.teacher)})
    (folder / "teacher").mkdir()
    fetch_teacher(source, languages, False, seed, folder / "teacher")
    (folder / "raw").mkdir()
    for code in languages:
        lines = (options.text / f"{code}.txt").read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(folder / "raw" / f"{code}.txt", "".join(lines[: options.lines]))
    kept = load_params("vocabulary", VocabularyConfig)
    build_vocabulary({code: folder / "raw" / f"{code}.txt" for code in old}, folder / "teacher", kept,
                     folder / "tokenizer")  # fmt: skip
    tokens = by_size(options, 2000, 10_000, options.tokens)
    tokenize = load_params("tokenize", TokenizeConfig).model_copy(update={"max_tokens": tokens})
    outputs = TeacherPass(load_masked_lm(folder / "teacher", "teacher"), teacher_piece_ids(folder / "tokenizer"),
                          load_params("cache_teacher", CacheConfig), seed)  # fmt: skip
    teacher = read_json(folder / "teacher/manifest.json", "teacher")
    (folder / "shards").mkdir()
    with Progress("cache_teacher", 1, "tokens") as progress:
        for code in languages:
            text = folder / "raw" / f"{code}.txt"
            prepare_language(code, text, folder / "tokenizer", tokenize, seed, folder / "prepared" / code)
            write_language_cache(TokenizedDataset(folder / "prepared" / code), outputs, {"teacher": teacher},
                                 folder / "cache" / code, FinishedShards(folder / "shards", {}), progress)  # fmt: skip
    train = load_params("train", TrainConfig)
    config = DistillationConfig(
        load_params("student", StudentConfig), load_params("loss", LossConfig), load_list("layer_map", LayerPair),
        train.model_copy(update={"epochs": options.epochs or train.epochs, "evaluate_every": 10**6}),
    )  # fmt: skip
    return World(folder, old, options.new, config)


def figures(heldout: dict[str, Any], parameters: int, seconds: float) -> dict[str, Any]:
    """One arm."""
    return {"kl": {code: round(found["kl"], 4) for code, found in heldout.items()}, "parameters": parameters,
            "seconds": round(seconds)}  # fmt: skip


def train_arm(world: World, arm: str, languages: list[str], epochs: int = 0, **student: Any) -> dict[str, Any]:
    """An arm that the stage distil can make, of so many passes over the text; 0: of those of the others."""
    start, paths = time.process_time(), world.paths(arm)
    config = world.config._replace(
        student=world.config.student.model_copy(update=student),
        train=world.config.train.model_copy(update={"epochs": epochs} if epochs else {}),
    )
    summary = distil_student(world.caches(languages), languages, config, paths)[0]
    write_text(paths.out / "README.md", short_card(languages, read_json(paths.teacher / "manifest.json", ""), summary))
    found = figures(summary["heldout"], summary["student"]["parameters"], time.process_time() - start)
    recognised = summary.get("experts", {}).get("recognised")
    return found | ({"recognised": recognised} if recognised else {})


def continue_training(world: World, trunk: Path) -> dict[str, Any]:
    """All weights of the trunk go on learning, from the new language alone."""
    start, config, languages = time.process_time(), world.config, [*world.old, world.new]
    torch.manual_seed(config.train.seed)
    model = load_student(trunk, "distil")
    caches = world.caches(languages)
    objective = Objective(model, caches[0], config.loss, config.layer_map)
    trainer = Trainer(model, objective, config.train, world.paths("continued"), "continued")
    outcome = trainer.train(caches, languages, [world.new])
    return figures(outcome.heldout, describe_model(model)["parameters"], time.process_time() - start)


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All arms."""
    start = time.process_time()
    world = make_world(options, folder)
    made = time.process_time() - start
    languages, trunk = [*world.old, world.new], folder / "trunk/student"
    arms = {"trunk": train_arm(world, "trunk", world.old)}
    expert: dict[str, Any] = {"experts": options.experts, "trunk": str(trunk)}
    arms["expert"] = train_arm(world, "expert", languages, **expert)
    arms["expert_longer"] = train_arm(world, "expert_longer", languages, options.expert_epochs, **expert)
    arms["continued"] = continue_training(world, trunk)
    arms["joint"] = train_arm(world, "joint", languages)
    before = arms["trunk"]["kl"]
    for arm in ("expert", "expert_longer", "continued", "joint"):
        kl = arms[arm]["kl"]
        arms[arm]["forgetting"] = round(mean(kl[code] - before[code] for code in world.old), 6)
        arms[arm]["more_parameters"] = round(arms[arm]["parameters"] / arms["trunk"]["parameters"] - 1, 5)
    tokenizer = read_json(folder / "tokenizer/manifest.json", "")
    return {"new": world.new, "pieces": tokenizer["pieces"], "arms": arms, "world_seconds": round(made)}


def main() -> None:
    """Measure and print."""
    options_of = parser((__doc__ or "").splitlines()[0])
    options_of.add_argument("--new", default="yor", help="the language that is added; default yor")
    options_of.add_argument("--experts", type=int, default=32, help="width of the expert; default 32")
    options_of.add_argument("--expert-epochs", type=int, default=4, help="of a second expert, expert_longer")
    options_of.add_argument("--tokens", type=int, default=30_000, help="training tokens of each language")
    options_of.add_argument("--lines", type=int, default=4000, help="lines of each language that are read")
    options_of.add_argument("--epochs", type=int, default=0, help="of each training; 0: train.epochs")
    options = options_of.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        result = run(options, Path(folder))
    finish({**result, "machine": machine(options.threads)})


if __name__ == "__main__":
    run_command(main)
