"""Stage cache_teacher: the frozen teacher over every language once; its outputs to disk."""

from contextlib import nullcontext
from pathlib import Path

from filelock import FileLock

from distil.compute.distributed import init_distributed
from distil.core.files import atomic_folder, read_json, scratch_folder
from distil.core.params import load_languages, load_params, load_seed
from distil.core.pipeline import code_checksums
from distil.modeling.tokenizer import teacher_piece_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.runtime.cost import StageCost
from distil.runtime.launch import run_ranks
from distil.runtime.progress import Progress
from distil.teacher.cache_config import CacheConfig
from distil.teacher.cache_writer import FinishedShards, compute_shards, write_language_cache
from distil.teacher.ensemble import TEACHER, fit_mixture, load_ensemble
from distil.teacher.outputs import TeacherPass
from distil.tokenization.shards import TokenizedDataset


def main() -> None:
    """Write data/teacher."""
    cost, processes = StageCost(), init_distributed()
    config, languages, seed = load_params("cache_teacher", CacheConfig), load_languages(), load_seed()
    teacher = read_json(Path("models/teacher/manifest.json"), "teacher")
    model, pieces = load_masked_lm(Path("models/teacher"), "teacher"), teacher_piece_ids(Path("models/tokenizer"))
    texts = [TokenizedDataset(Path("data/prepared") / language) for language in languages]
    for text in texts:
        text.check_tokenizer(Path("models/tokenizer"))
    longest = max(text.manifest["max_length"] for text in texts)
    others, checksums = load_ensemble(config.ensemble, Path("models/teacher"), longest)
    outputs = TeacherPass(model, pieces, config, seed, list(others.values()))
    fields = ("id", "revision", "weights_sha256", "num_hidden_layers", "max_position_embeddings")
    identity = {"teacher": {field: teacher[field] for field in fields}, **({"ensemble": checksums} if others else {})}
    mixtures = [fit_mixture(outputs, text, [TEACHER, *others], processes) for text in texts] if others else []
    weights = [mixtures[number].weights if mixtures else None for number in range(len(texts))]
    work = sum(split["tokens"] * split["mask_variants"] for text in texts for split in text.manifest["splits"].values())
    scratch = scratch_folder("cache_teacher")
    finished = FinishedShards(scratch, code_checksums("cache_teacher"))
    lock = FileLock(scratch / "lock") if processes.is_main else nullcontext()
    with lock, Progress("cache_teacher", work, "tokens") as progress:
        processes.barrier()
        if processes.world > 1:
            compute_shards(texts, outputs, identity, finished, progress, processes, weights)
        (computed,), own = processes.sums([progress.added]), progress.added
        if not processes.is_main:
            return
        with atomic_folder(Path("data/teacher")) as out:
            manifests = [
                write_language_cache(text, outputs, identity, out / language, finished, progress, weights=shares)
                for language, text, shares in zip(languages, texts, weights, strict=True)
            ]
        splits = [split for manifest in manifests for split in manifest["splits"].values()]
        finished.prune({shard["sha256"] for split in splits for shard in split["shards"]})
        computed += progress.added - own
        # A shard that an earlier run left says nothing of the speed.
        rate = {"tokens_per_second": round(computed / progress.seconds)} if computed else {}
    size, tokens = sum(split["bytes"] for split in splits), sum(split["tokens"] for split in splits)
    cost.write(Path("metrics/cost/cache_teacher.json"), **rate, data_wait_seconds=round(outputs.waited, 1), bytes=size,
               bytes_per_token=round(size / tokens, 1),
               **({"mixture": {code: each._asdict() for code, each in zip(languages, mixtures, strict=True)}}
                  if mixtures else {}))  # fmt: skip


if __name__ == "__main__":
    run_ranks(main, "stages.cache_teacher")
