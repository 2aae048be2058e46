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
from distil.prepared import Prepared
from distil.progress import Progress
from distil.teacher import load_masked_lm
from distil.vocabulary import teacher_ids


def main() -> None:
    """Print one JSON object; with --prepared, be the process that is measured."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--prepared", type=Path, help="(internal) cache this text and print the peak in MiB")
    chosen = options.parse_args()
    if chosen.prepared:
        torch.set_num_threads(chosen.threads)
        print(json.dumps(peak(chosen)))
        return
    shard = 5_000 if chosen.quick else 20_000
    peaks = {}
    for shards in (1, 10):
        with tempfile.TemporaryDirectory() as folder:
            text = load_text(chosen, Path(folder), shard * shards, 1, shard)[0]
            command = [sys.executable, "-m", "benchmarks.memory", *sys.argv[1:], "--prepared", str(text.folder)]
            peaks[shards] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    finish({
        "peak_ratio_10x": {"cache_teacher": round(peaks[10]["peak_mib"] / peaks[1]["peak_mib"], 3)},
        "peak_mib": {count: found["peak_mib"] for count, found in peaks.items()},
        "tokens": {count: found["tokens"] for count, found in peaks.items()},
        "machine": machine(chosen.threads),
    })  # fmt: skip


def peak(options: argparse.Namespace) -> dict[str, int]:
    """Cache the prepared text of one language and return tokens and the peak of this process."""
    teacher = load_masked_lm(options.teacher, "teacher")
    outputs = TeacherOutputs(teacher, teacher_ids(options.tokenizer), CONFIG, 1)
    with tempfile.TemporaryDirectory() as name, Progress("cache", 1, "tokens") as progress:
        folder = Path(name)
        (folder / "scratch").mkdir()
        text = Prepared(options.prepared)
        manifest = cache_language(text, outputs, {"teacher": {}}, folder / "cache", folder / "scratch", progress)
    return {
        "tokens": sum(split["tokens"] for split in manifest["splits"].values()),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
