"""Peak memory of every stage at a corpus and at ten times that corpus.

    python -m benchmarks.memory [--quick] [--teacher DIR] [--text DIR] [--task DIR] [--tokens N] [--until STAGE]

The stages are run one after another, as `dvc repro` would, in a project of their own for each size: Swahili text of
--text (repeated, each copy with a word of its own at the end of its lines, where it is too short), the rows of --task
likewise, and --teacher. The peaks are those of each stage's own process; what it starts (a worker of `footprint`) is
not in them. The last line is one JSON object.
"""

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import by_size, finish, machine, plain_parser
from benchmarks.stage_runs import ROOT, command, link_code, name_of, stages

LANGUAGE = "swa"
# Bytes of a token of Swahili in these tokenizers, about; rounded up, so that max_tokens decides.
BYTES_A_TOKEN = 6


def main() -> None:
    """Print one JSON object."""
    options = plain_parser(__doc__.splitlines()[0])
    options.add_argument("--teacher", type=Path, default=Path("models/teacher"), help="model folder")
    options.add_argument("--text", type=Path, default=Path("data/raw"), help="folder with LANG.txt")
    options.add_argument("--task", type=Path, default=Path("data/tasks/sentiment"), help="folder LANG/train.jsonl")
    options.add_argument("--tokens", type=int, default=20_000, help="of the smaller corpus; --quick takes 5,000")
    options.add_argument("--until", help="the last stage that is run")
    chosen = options.parse_args()
    tokens, rows = by_size(chosen, (1_000, 30), (5_000, 100), (chosen.tokens, 300))
    peaks: dict[str, list[int]] = {}
    sizes = []
    for times in (1, 10):
        with tempfile.TemporaryDirectory() as name:
            project = Path(name)
            sizes.append(make_project(project, chosen, tokens * times, rows * times, tokens))
            for stage, arguments in stages(["sentiment"]):
                peak = command(project, [f"stages.{stage}", *arguments], chosen.threads)
                peaks.setdefault(name_of(stage, arguments), []).append(round(peak / 2**20))
                if stage == chosen.until:
                    break
    both = dict(sorted(peaks.items()))
    finish({
        "peak_ratio_10x": {stage: round(large / small, 3) for stage, (small, large) in both.items()},
        "peak_mib": both,
        "sizes": sizes,
        "machine": machine(chosen.threads),
    })  # fmt: skip


def make_project(project: Path, options: Any, tokens: int, rows: int, shard_tokens: int) -> dict[str, int]:
    """Code, params and sources of one size; returns what it holds."""
    link_code(project)
    size = repeated(options.text / f"{LANGUAGE}.txt", project / f"text/{LANGUAGE}.txt", tokens * BYTES_A_TOKEN)
    for split, count in (("train", rows), ("dev", rows), ("test", rows)):
        lines = (options.task / LANGUAGE / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        target = project / f"task/{LANGUAGE}/{split}.jsonl"
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", encoding="utf-8") as stream:
            for number, line in zip(range(count), itertools.cycle(lines), strict=False):
                row = json.loads(line)
                stream.write(json.dumps(row | {"text": f"{row['text']} {word(number // len(lines))}"}) + "\n")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    changed = {
        "languages": [LANGUAGE],
        "corpus.source": "files", "corpus.path": "text", "corpus.pattern": "{lang}.txt",
        "teacher.source": "folder", "teacher.path": str(options.teacher.resolve()),
        "tokenize.max_tokens": tokens, "tokenize.shard_tokens": shard_tokens, "tokenize.mask_variants": 1,
        "train.epochs": 1,
        "finetune.teacher.epochs": 1, "finetune.student.epochs": 1, "footprint.rounds": 1, "export.speed_rows": 10,
        "tasks.sentiment.source": "files", "tasks.sentiment.path": "task",
        "tasks.sentiment.pattern": "{lang}/{split}.jsonl", "tasks.sentiment.text_column": "text",
        "tasks.sentiment.label_column": "label", "tasks.sentiment.normalise": False, "tasks.sentiment.unlabelled": "",
    }  # fmt: skip
    for key, value in changed.items():
        *sections, last = key.split(".")
        block = params
        for section in sections:
            block = block[section]
        if last not in block:
            sys.exit(f"error: benchmarks.memory: params.yaml has no {key}")
        block[last] = value
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return {"bytes_of_text": size, "tokens": tokens, "rows": rows}


def repeated(source: Path, target: Path, size: int) -> int:
    """The head of a text, repeated up to `size` bytes; cleaning drops repeats, so each copy has a word of its own."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with target.open("wb") as out:
        for line in lines_for_ever(source):
            if written >= size:
                break
            written += out.write(line)
    return written


def lines_for_ever(source: Path) -> Iterator[bytes]:
    """The lines of a file again and again, marked from the second time on."""
    for copy in itertools.count():
        with source.open("rb") as stream:
            for line in stream:
                yield line if not copy else line.rstrip(b"\n") + f" {word(copy)}\n".encode()


def word(number: int) -> str:
    """A made-up word for each number; no digits, which cleaning may take out."""
    return "".join("aeiou"[int(digit) % 5] + "bdfgklmnrs"[int(digit)] for digit in str(number))


if __name__ == "__main__":
    main()
