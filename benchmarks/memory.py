"""Peak memory of cache_teacher with ten times the text.

    python -m benchmarks.memory [--quick] [--teacher DIR] [--tokenizer DIR] [--text DIR]

The same code is run in a process of its own over one shard of text and over ten, each of the same size; the peak is the
process's own maximal resident set. The last line is one JSON object.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.cache_speed import CONFIG
from benchmarks.material import finish, load_text, machine, parser
from distil.caching import cache_language
from distil.outputs import TeacherOutputs
from distil.progress import Progress
from distil.teacher import load_masked_lm
from distil.vocabulary import teacher_ids


def main() -> None:
    """Print one JSON object; with --shards, be the process that is measured."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--shards", type=int, help="(internal) cache this many shards and print the peak in MiB")
    chosen = options.parse_args()
    shard = 5_000 if chosen.quick else 20_000
    if chosen.shards:
        torch.set_num_threads(chosen.threads)
        print(json.dumps(peak(chosen, shard, chosen.shards)))
        return
    peaks = {}
    for shards in (1, 10):
        command = [sys.executable, "-m", "benchmarks.memory", *sys.argv[1:], "--shards", str(shards)]
        peaks[shards] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    finish({
        "peak_ratio_10x": {"cache_teacher": round(peaks[10]["peak_mib"] / peaks[1]["peak_mib"], 3)},
        "peak_mib": {count: found["peak_mib"] for count, found in peaks.items()},
        "tokens": {count: found["tokens"] for count, found in peaks.items()},
        "machine": machine(chosen.threads),
    })  # fmt: skip


def peak(options: argparse.Namespace, shard_tokens: int, shards: int) -> dict[str, int]:
    """Cache `shards` shards of the first language and return tokens and the peak of this process."""
    with tempfile.TemporaryDirectory() as name, Progress("cache", 1, "tokens") as progress:
        folder = Path(name)
        text = load_text(options, folder / "text", shard_tokens * shards, 1, shard_tokens)[0]
        teacher = load_masked_lm(options.teacher, "teacher")
        outputs = TeacherOutputs(teacher, teacher_ids(options.tokenizer), CONFIG, 1)
        (folder / "scratch").mkdir()
        manifest = cache_language(text, outputs, {"teacher": {}}, folder / "cache", folder / "scratch", progress)
        return {
            "tokens": sum(split["tokens"] for split in manifest["splits"].values()),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


if __name__ == "__main__":
    main()
