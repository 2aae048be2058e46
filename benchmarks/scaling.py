"""How the time of tokenising, caching and training grows from 0.1 to 10 million tokens.

    python -m benchmarks.scaling [--quick] [--tokenizer DIR] [--text DIR]

A small random teacher and student (2 layers of 64), as growth is the question and not height. The text is that of one
language, repeated with a word of its own for each copy where it is too short. `exponent` is the slope of log(seconds)
over log(tokens), 1 is a straight line; --quick goes to 0.4 million. The last line is one JSON object.
"""

import tempfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cache_speed import CONFIG, LOSS
from benchmarks.machine import by_size, clock, finish, machine
from benchmarks.material import parser
from benchmarks.memory import BYTES_A_TOKEN, repeated
from benchmarks.steps import from_cache
from distil.cache.format import TeacherCache
from distil.compute.batching import prefetch
from distil.modeling.shape import build_masked_lm
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.runtime.progress import Progress
from distil.student.model import StudentConfig
from distil.teacher.cache_writer import FinishedShards, write_language_cache
from distil.teacher.outputs import TeacherPass
from distil.tokenization.prepare import TokenizeConfig, prepare_language
from distil.tokenization.shards import TokenizedDataset
from distil.training.data_loader import CachedDataset
from distil.training.objective import LayerPair, Objective

LANGUAGE = "swa"
STAGES = ("tokenize", "cache_teacher", "distil, one epoch")
SHAPE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256, "dropout": 0.0,
         "init": "random", "init_layers": ()}  # fmt: skip


def main() -> None:
    """Print one JSON object."""
    options = parser(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(options.threads)
    large = [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000]
    warm, *sizes = by_size(options, [1_000, 2_000, 4_000], [20_000, 100_000, 200_000, 400_000], [20_000, *large])
    seconds: dict[str, list[float]] = {}
    tokens = []
    for number, size in enumerate([warm, *sizes]):  # the first one warms up
        with tempfile.TemporaryDirectory() as name:
            count, found, _ = measure(options, size, Path(name))
        if number:
            tokens.append(count)
            for stage, value in found.items():
                seconds.setdefault(stage, []).append(round(value, 2))
    finish({
        "tokens": tokens,
        "seconds": seconds,
        "exponent": {stage: round(float(np.polyfit(np.log(tokens), np.log(found), 1)[0]), 3)
                     for stage, found in seconds.items()},
        "tokens_per_second": {stage: [round(count / value) for count, value in zip(tokens, found, strict=True)]
                              for stage, found in seconds.items()},
        "machine": machine(options.threads),
    })  # fmt: skip


def measure(
    options: Namespace, size: int, folder: Path, shape: Mapping[str, Any] = SHAPE
) -> tuple[int, dict[str, float], int]:
    """Tokens there are, seconds of each stage and bytes of the cache, with a teacher and a student of `shape`."""
    repeated(options.text / f"{LANGUAGE}.txt", folder / "text.txt", size * BYTES_A_TOKEN)
    config = TokenizeConfig(max_length=128, min_length=5, max_tokens=size, heldout_fraction=0.05, mask_rate=0.15,
                            mask_variants=1, shard_tokens=500_000)  # fmt: skip
    now = clock(options)
    marks = [now()]
    prepare_language(LANGUAGE, folder / "text.txt", options.tokenizer, config, 1, folder / "prepared")
    marks.append(now())
    special, text = special_ids(load_tokenizer(options.tokenizer)), TokenizedDataset(folder / "prepared")
    pieces, both = text.manifest["pieces"], StudentConfig.model_validate(shape)
    torch.manual_seed(1)
    teacher, student = (build_masked_lm(both.shape, special, pieces, 514).eval() for _ in range(2))
    outputs = TeacherPass(teacher, np.arange(pieces), CONFIG, 1)
    about_teacher = {"num_hidden_layers": both.num_hidden_layers, "max_position_embeddings": 514}
    (folder / "scratch").mkdir()
    with Progress("cache", size, "tokens") as progress:
        start = now()
        about = write_language_cache(
            text,
            outputs,
            {"teacher": about_teacher},
            folder / "cache",
            FinishedShards(folder / "scratch", {}),
            progress,
        )
        marks.append(marks[-1] + now() - start)
    start = now()
    cache = TeacherCache(folder / "cache", text)
    index = CachedDataset([cache], "train")
    step = from_cache(student, Objective(student, cache, LOSS, [LayerPair(student=-1, teacher=-1)]))
    for _, batch, _ in prefetch(index.epoch_batches(0, 4096, 1.0, 1), index.collate):
        step(batch)
    marks.append(marks[-1] + now() - start)
    spent = np.diff(marks)
    count = sum(split["tokens"] for split in text.manifest["splits"].values())
    size = sum(split["bytes"] for split in about["splits"].values())
    return count, dict(zip(STAGES, map(float, spent), strict=True)), size


if __name__ == "__main__":
    main()
