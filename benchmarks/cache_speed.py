"""How fast the cache is written and read, as ratios taken in one run.

    python -m benchmarks.cache_speed [--quick] [--teacher DIR] [--tokenizer DIR] [--text DIR] [--student DIR]

Writing: tokens/s of cache_teacher's work on a shard (teacher, head at masked places, targets, attention, packing) over
tokens/s of the same teacher's bare forward pass, transformers' own with the head at every position, and without any
head; same batches, same threads, in turn. Reading: seconds to assemble a batch over seconds of a whole student step on
it. Five repetitions (two with --quick), medians. The last line is one JSON object.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from transformers import XLMRobertaForMaskedLM

from benchmarks.machine import by_size, clock, finish, machine
from benchmarks.material import load_student, load_text, parser
from distil.cache.format import TeacherCache
from distil.compute.batching import runs
from distil.core.params import NO_FOLDER
from distil.modeling.tokenizer import load_tokenizer, special_ids, teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.runtime.progress import Progress
from distil.teacher.cache_config import CacheConfig
from distil.teacher.cache_writer import FinishedShards, write_language_cache
from distil.teacher.outputs import TeacherPass
from distil.tokenization.shards import Shard, masked_input
from distil.training.data_loader import CachedDataset
from distil.training.objective import LayerPair, LossConfig, Objective

CONFIG = CacheConfig(logits="sampled", entries=20, heldout_entries=100, sampling_temperature=2.0,
                     attention_layers=(-1,), attention="mean", attention_rows=0.5, batch_tokens=4096,
                     precision="float32", ensemble=NO_FOLDER)  # fmt: skip
LOSS = LossConfig(
    alpha=0.5, temperature=2.0, attention="mse", attention_projection="learned", relations=0.0, relation_heads=1,
    hidden=0.0, distillation=1.0, masked_lm=0.0,
)  # fmt: skip


def seconds(work: Callable[[], object], now: Callable[[], float]) -> float:
    """How long one call takes."""
    start = now()
    work()
    return now() - start


def main() -> None:
    """Print a few lines, then one JSON object."""
    options = parser(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(options.threads)
    repetitions, tokens = by_size(options, (1, 6_000), (2, 6_000), (5, 20_000))
    now = clock(options)
    teacher = load_masked_lm(options.teacher, "teacher")
    student = load_student(options, teacher)
    pieces = teacher_piece_ids(options.tokenizer)
    pad_id = special_ids(load_tokenizer(options.tokenizer)).pad
    outputs = TeacherPass(teacher, pieces, CONFIG, 1)
    with tempfile.TemporaryDirectory() as name, Progress("cache", 1, "tokens") as progress:
        folder = Path(name)
        text = load_text(options, folder / "text", tokens, 1)[0]
        shard = text.open(text.shards("train")[0])
        form = outputs.logit_format("train")

        @torch.inference_mode()
        def forward(head: bool) -> None:
            for start, stop in runs(shard.lengths, CONFIG.batch_tokens):
                input_ids, mask = padded(shard, start, stop, pad_id, pieces)
                if head:
                    teacher(input_ids, attention_mask=mask)
                else:
                    teacher.roberta(input_ids, attention_mask=mask)

        def write() -> None:
            outputs.shard(shard, form, pad_id, progress.add)

        write()  # warm
        timings = [tuple(seconds(work, now) for work in (write, lambda: forward(True), lambda: forward(False)))
                   for _ in range(repetitions)]  # fmt: skip
        shape = {"num_hidden_layers": teacher.config.num_hidden_layers, "max_position_embeddings": 514}
        scratch = folder / "scratch"
        scratch.mkdir()
        identity = {"teacher": {"id": "benchmark", "revision": "", "weights_sha256": "", **shape}}
        write_language_cache(text, outputs, identity, folder / "cache", FinishedShards(scratch, {}), progress)
        cache = TeacherCache(folder / "cache", text)
        read, step = reading(student, cache, repetitions, now)
    count = int(shard.lengths.sum())
    rates = [count / median(column) for column in zip(*timings, strict=True)]
    result = {
        "write_ratio_to_forward": round(median(full / ours for ours, full, _ in timings), 3),
        "write_ratio_to_encoder_only": round(median(bare / ours for ours, _, bare in timings), 3),
        "read_share_of_step": round(read / step, 4),
        "tokens_per_second": dict(zip(("cache_teacher", "forward", "encoder_only"), map(round, rates), strict=True)),
        "tokens": count,
        "bytes_per_token": cache.manifest["splits"]["train"]["bytes_per_token"],
        "repetitions": repetitions,
        "clock": "cpu" if options.cpu_seconds else "wall",
        "pieces": len(pieces),
        "teacher_parameters": sum(p.numel() for p in teacher.parameters()),
        "machine": machine(options.threads),
    }
    finish(result)


def padded(shard: Shard, start: int, stop: int, pad_id: int, pieces: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Input ids of the teacher and their mask, as cache_teacher makes them."""
    batch = masked_input(shard, np.arange(start, stop), np.zeros(stop - start, np.int64), pad_id)
    mask = torch.arange(batch.input_ids.shape[1]) < torch.from_numpy(batch.lengths)[:, None]
    return torch.from_numpy(pieces.astype(np.int64)[batch.input_ids]), mask


def reading(
    student: XLMRobertaForMaskedLM, cache: TeacherCache, repetitions: int, now: Callable[[], float]
) -> tuple[float, float]:
    """Median seconds to assemble a batch of about 32 x 128 tokens, and of a step on it, that included."""
    objective = Objective(student, cache, LOSS, [LayerPair(student=-1, teacher=-1)])
    index = CachedDataset([cache], "train")
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4, fused=True)
    student.train()
    loads, steps = [], []
    for number, drawn in enumerate(index.epoch_batches(0, 32 * 128, 1.0, 1)):
        start = now()
        batch = index.collate(drawn)
        loaded = now()
        loss = objective.total(objective.terms(batch, objective.logits(batch), "train"))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        if number:  # the first one warms up
            loads.append(loaded - start)
            steps.append(now() - start)
        if number >= 2 * repetitions:
            break
    return median(loads), median(steps)


if __name__ == "__main__":
    main()
