"""Throughput and memory of cleaning raw text (distil/corpus/build.py), against the plain way line by line.

    python -m benchmarks.cleaning [--quick] [--text DIR] [--tasks DIR] [--megabytes N] [--memory-megabytes N]

The text of a language is repeated, each time with another word at the end of every line so that no line is a repeat,
until there are so many megabytes. Evaluation texts are those of data/tasks. A process of its own cleans a file of each
language with the workers of params.yaml (one for each core), dedupe and writing included; its seconds are of the wall.
Memory is the peak of that process and of its largest worker times their number. The last line is one JSON object.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import add_sizes, by_size, finish, machine
from distil.core.languages import LANGUAGES
from distil.core.params import parse_params
from distil.corpus.block_cleaning import BlockCleaner
from distil.corpus.build import CleaningAccount, CorpusConfig
from distil.corpus.workers import cleaned
from distil.runtime.machine import peak_memory
from distil.sources.local_files import read_blocks
from distil.tasks.data import held_out_texts
from distil.text.cleaning import clean_line, fault
from distil.text.overlap import HeldOut

PLAIN_LINES = 5_000


def main() -> None:
    """Print one JSON object; with --measure, be the process that is measured."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--text", type=Path, default=Path("data/raw"), help="folder with LANG.txt")
    options.add_argument(
        "--tasks", type=Path, default=Path("data/tasks"), help="whose dev and test texts are looked for"
    )
    options.add_argument("--megabytes", type=int, default=200, help="of raw text of each language")
    options.add_argument("--memory-megabytes", type=int, default=2000, help="of the file by which memory is measured")
    options.add_argument("--workers", type=int, default=0, help="processes; 0 is one for each core")
    add_sizes(options)
    options.add_argument("--measure", type=Path, help="(internal) clean this file and print what it took")
    chosen = options.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen)))
        return
    given = (chosen.megabytes, chosen.memory_megabytes)
    chosen.megabytes, chosen.memory_megabytes = by_size(chosen, (1, 2), (50, 200), given)
    speeds: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for language in LANGUAGES:
            if not (chosen.text / f"{language}.txt").is_file():
                continue
            path = enlarge(chosen.text / f"{language}.txt", Path(name) / f"{language}.txt", chosen.megabytes)
            found = run(chosen, path)
            speeds[language] = {
                "mb_per_second": round(found["bytes"] / 1e6 / found["seconds"], 1),
                "mb_per_processor_second": round(found["bytes"] / 1e6 / found["processor_seconds"], 1),
                "times_plain_way": round(
                    found["bytes"] / found["processor_seconds"] / plain_bytes_per_second(chosen, path), 1
                ),
                "kept_share": round(found["lines"] / found["lines_read"], 3),
            }
            print(language, speeds[language], flush=True)
            path.unlink()
        if not speeds:
            sys.exit(f"error: {chosen.text}: no LANG.txt there; run the pipeline first, or give --text")
        last = next(reversed(speeds))
        path = enlarge(chosen.text / f"{last}.txt", Path(name) / f"{last}.txt", chosen.memory_megabytes)
        found = run(chosen, path)
    memory = {key: found[key] for key in ("lines_read", "peak_mib", "worker_mib", "workers")}
    memory |= {"megabytes": chosen.memory_megabytes, "mb_per_second": round(found["bytes"] / 1e6 / found["seconds"], 1)}
    finish({"cleaning": speeds, "memory": memory, "machine": machine(found["workers"])})


def enlarge(source: Path, target: Path, megabytes: int) -> Path:
    """`source` again and again, the lines of each time ending in another word."""
    lines = source.read_bytes().splitlines()
    written = number = 0
    with target.open("wb") as stream:
        while written < megabytes * 1e6:
            word = "".join(chr(ord("a") + int(digit)) for digit in str(number)).encode()
            written += stream.write(b"".join(line + b" " + word + b"\n" for line in lines))
            number += 1
    return target


def run(options: argparse.Namespace, path: Path) -> dict[str, Any]:
    """What `measure` finds in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cleaning", "--measure", str(path), "--tasks", str(options.tasks)]
    command += ["--workers", str(options.workers)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def configured(workers: int) -> CorpusConfig:
    """The section of params.yaml with the bounds of every preset."""
    block = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["corpus"]
    changes = {"source": "files", "max_megabytes": 0, "max_words": 0, "max_lines": 0, "workers": workers}
    return parse_params(block | changes, CorpusConfig, "params.yaml: corpus")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Clean one file as the stage does."""
    config = configured(options.workers)
    path = options.measure
    account = CleaningAccount(config)
    start = time.perf_counter()
    cleaner = BlockCleaner(config.bounds, HeldOut(held_out_texts(options.tasks, path.stem)))
    with path.with_suffix(".clean").open("wb") as stream:
        for block in cleaned(read_blocks(path, "text", account.dropped), cleaner, config.workers):
            stream.write(account.take(block, count_rest=True))
    seconds = time.perf_counter() - start
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    path.with_suffix(".clean").unlink()
    workers = config.workers or len(os.sched_getaffinity(0))
    return {
        "seconds": seconds, "bytes": path.stat().st_size, "lines": account.lines, "lines_read": account.lines_read,
        "workers": workers, "worker_mib": round(used[1].ru_maxrss / 1024), "peak_mib": round(peak_memory() / 2**20),
        "processor_seconds": sum(each.ru_utime + each.ru_stime for each in used),
    }  # fmt: skip


def plain_bytes_per_second(options: argparse.Namespace, path: Path) -> float:
    """Of the verdicts of distil/text/cleaning.py and distil/text/overlap.py line by line, on one core."""
    config = configured(1)
    held_out = HeldOut(held_out_texts(options.tasks, path.stem))
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
        lines = [stream.readline() for _ in range(PLAIN_LINES)]
    start = time.process_time()
    for text in lines:
        line = clean_line(text)
        if line is not None and fault(line, *config.bounds) is None:
            _ = line in held_out
    return sum(len(text.encode("utf-8", "surrogateescape")) for text in lines) / (time.process_time() - start)


if __name__ == "__main__":
    main()
