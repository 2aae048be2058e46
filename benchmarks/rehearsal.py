"""Every stage of preset comet or comet-trim at the real shapes on a small text: memory, disk and time of each stage.

    python -m benchmarks.rehearsal [--preset NAME] [--folder DIR] [--tokens N]

The teacher has AfroXLMR-Large's shape (24 layers of 1,024, 250,002 pieces), random weights, and is published as in
2022: pytorch_model.bin, 2.2 GB, and a SentencePiece model, which is made up of as many words. A stand-in for the Hub on
the loopback address serves it, with a text of those words in place of FineWeb-2. Batches and precision are those of the
preset; epochs, seeds and rows are few (SETTINGS). --folder is kept, and a run that ended early continues there behind
its last stage; without it everything is in a temporary folder. The last line is one JSON object: by stage seconds, the
peak of memory (`peak_mib`), what the stage left on disk and how much there was at most.
"""

import io
import itertools
import json
import mmap
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]  # made when it is imported

from benchmarks.machine import by_size, finish, machine, plain_parser
from benchmarks.scale_sim import LARGE, Shape
from benchmarks.stage_runs import ROOT, command, link_code, name_of, stages
from benchmarks.step import untrained
from distil.runtime.machine import release_memory
from tests.support.standin_hub import StandinHub

TEACHER, TEXT = "Davlan/afro-xlmr-large", "HuggingFaceFW/fineweb-2"
LANGUAGE, CONFIG = "swa", "swh_Latn"
SYLLABLES = ["".join(pair) for pair in itertools.product("bdfghjklmnprstwyz", "aeiou")]
# What differs from the preset beside the sources of text: how often, never how large.
SETTINGS = {
    "languages": [LANGUAGE], "tokenize.mask_variants": 1, "train.epochs": 1, "finetune.teacher.epochs": 1,
    "finetune.student.epochs": 1, "evaluate.seeds": [1], "evaluate.bootstrap_resamples": 100, "footprint.rounds": 1,
    "export.speed_rows": 4, "export.repetitions": 1,
}  # fmt: skip
TASKS = {"sentiment": ("{lang}/{split}.tsv", ["positive", "neutral", "negative"]),
         "entities": ("{lang}/{split}.txt", ["O", "B-PER", "B-LOC"])}  # fmt: skip
ROWS = {"train": 32, "dev": 4, "test": 4}


def words(count: int) -> list[str]:
    """`count` different made-up words, the shortest first."""
    every = ("".join(parts) for length in itertools.count(2) for parts in itertools.product(SYLLABLES, repeat=length))
    return list(itertools.islice(every, count))


def sentencepiece_model(pieces: int) -> bytes:
    """A Unigram model that gives XLM-R's tokenizer `pieces` pieces: letters, and words that stand for themselves."""
    proto = ModelProto.FromString((ROOT / "distil/sample_teacher/sentencepiece.bpe.model").read_bytes())
    kept = [piece for piece in proto.pieces if piece.type != ModelProto.SentencePiece.NORMAL or len(piece.piece) == 1]
    del proto.pieces[:]
    proto.pieces.extend(kept)
    for rank, word in enumerate(words(pieces - 2 - len(kept))):
        proto.pieces.add(piece=f"▁{word}", score=-8.0 - rank / pieces)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    return proto.SerializeToString()


def lines(count: int, pieces: int, seed: int) -> Iterator[str]:
    """Lines that fill a sequence, of words drawn as they are in languages: the r-th in proportion to r ** -0.7."""
    known, rng = words(pieces // 3), random.Random(seed)
    weights = list(itertools.accumulate((rank + 1) ** -0.7 for rank in range(len(known))))
    for _ in range(count):
        yield " ".join(rng.choices(known, cum_weights=weights, k=125))


def publish(hub: StandinHub, folder: Path, shape: Shape, count: int) -> None:
    """Put the teacher and the text on the stand-in; the weights are mapped, not read."""
    if not (folder / "config.json").is_file():
        model = untrained(shape)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        model.config.to_json_file(folder / "config.json", use_diff=False)
        del model
        release_memory()
    settings = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512, "mask_token": "<mask>"}
    with (folder / "pytorch_model.bin").open("rb") as file:
        weights: Any = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    hub.add(f"models/{TEACHER}", {
        "config.json": (folder / "config.json").read_bytes(), "pytorch_model.bin": weights,
        "sentencepiece.bpe.model": sentencepiece_model(shape.pieces),
        "tokenizer_config.json": json.dumps(settings).encode(),
    })  # fmt: skip
    stream = io.BytesIO()
    pq.write_table(pa.table({"text": list(lines(count, shape.pieces, 1))}), stream)
    card = (f"---\nconfigs:\n- config_name: {CONFIG}\n  data_files:\n  - split: train\n"
            f"    path: data/{CONFIG}/train/*.parquet\n---\n")  # fmt: skip
    hub.add(f"datasets/{TEXT}", {"README.md": card.encode(), f"data/{CONFIG}/train/000.parquet": stream.getvalue()})


def write_tasks(project: Path, pieces: int, rows: dict[str, int]) -> None:
    """Rows as long as a sequence; every label is among those of train."""
    for number, (task, (pattern, labels)) in enumerate(TASKS.items()):
        unlabelled = project / "task" / task / f"{LANGUAGE}.txt"
        unlabelled.parent.mkdir(parents=True, exist_ok=True)
        unlabelled.write_text("".join(f"{text}\n" for text in lines(rows["dev"], pieces, number)), encoding="utf-8")
        for part, (split, count) in enumerate(rows.items()):
            path = project / "task" / task / pattern.format(lang=LANGUAGE, split=split)
            path.parent.mkdir(parents=True, exist_ok=True)
            texts = zip(lines(count, pieces, 10 * number + part + 10), itertools.cycle(labels), strict=False)
            if task == "sentiment":
                shown = "tweet\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in texts)
            else:
                shown = "\n".join(
                    "".join(f"{word} {label if place % 9 == 0 else 'O'}\n" for place, word in enumerate(text.split()))
                    for text, label in texts
                )
            path.write_text(shown, encoding="utf-8")


def settings(project: Path, preset: str, tokens: int) -> list[str]:
    """The words of `python -m stages.preset`."""
    values: dict[str, Any] = {**SETTINGS, "tokenize.max_tokens": tokens}
    for task, (pattern, labels) in TASKS.items():
        folder = str((project / "task" / task).resolve())
        values |= {f"tasks.{task}.source": "files", f"tasks.{task}.path": folder,
                   f"tasks.{task}.unlabelled_path": folder, f"tasks.{task}.unlabelled": "{lang}.txt",
                   f"tasks.{task}.pattern": pattern, f"tasks.{task}.labels": labels}  # fmt: skip
    written = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return ["stages.preset", preset, *(f"--set={key}={value}" for key, value in written.items())]


def bytes_on_disk(folder: Path) -> int:
    """Of all files below it, hard links once; one that goes meanwhile is none."""
    found = {}
    for path in folder.rglob("*"):
        try:
            state = path.lstat()
        except OSError:
            continue
        if not path.is_symlink():
            found[state.st_ino] = state.st_blocks * 512
    return sum(found.values())


@contextmanager
def watched(folder: Path, peak: dict[str, int]) -> Iterator[None]:
    """Keep the most that the folder holds meanwhile in `peak`."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            peak["bytes"] = max(peak["bytes"], bytes_on_disk(folder))

    peak["bytes"] = bytes_on_disk(folder)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def rehearse(project: Path, hub: StandinHub, threads: int) -> dict[str, dict[str, Any]]:
    """Run every stage and look at what it took."""
    online = {"HF_ENDPOINT": hub.address, "HF_HOME": str(project / "hub"), "HF_HUB_DISABLE_XET": "1",
              "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}  # fmt: skip
    record = project / "rehearsal.json"
    found: dict[str, dict[str, Any]] = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    for stage, arguments in [*stages(list(TASKS)), ("track", [])]:
        name, before, peak = name_of(stage, arguments), bytes_on_disk(project), {"bytes": 0}
        if name in found:
            continue
        start = time.perf_counter()
        with watched(project, peak):
            memory = command(project, [f"stages.{stage}", *arguments], threads, **online)
        seconds, cost = time.perf_counter() - start, project / f"metrics/cost/{name}.json"
        measured = json.loads(cost.read_text(encoding="utf-8")) if cost.is_file() else {}
        found[name] = {
            "seconds": round(seconds, 1), "peak_mib": round(memory / 2**20),
            "left_mb": round((bytes_on_disk(project) - before) / 1e6), "disk_peak_mb": round(peak["bytes"] / 1e6),
            **{key: measured[key] for key in ("tokens_per_second", "rows_per_second") if key in measured},
        }  # fmt: skip
        record.write_text(json.dumps(found), encoding="utf-8")
        print(name, json.dumps(found[name]), flush=True)
    return found


def main() -> None:
    """Print a line for each stage, then one JSON object."""
    options = plain_parser(__doc__.splitlines()[0])
    options.add_argument("--preset", choices=("comet", "comet-trim"), default="comet-trim")
    options.add_argument("--folder", type=Path, help="an empty folder, or that of a run to continue")
    options.add_argument("--tokens", type=int, default=17_000, help="of text that the teacher reads")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    shape = by_size(given, Shape(6, 256, 512, 4_000), LARGE, LARGE)
    tokens, count = by_size(given, (8_000, 200), (given.tokens, 2_500), (given.tokens, 2_500))
    with tempfile.TemporaryDirectory() as name, StandinHub() as hub:
        folder = given.folder or Path(name)
        project = folder / "project"
        project.mkdir(parents=True, exist_ok=True)
        publish(hub, folder, shape, count)
        if not (project / "rehearsal.json").is_file():
            link_code(project)
            (project / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
            write_tasks(project, shape.pieces, ROWS)
            command(project, settings(project, given.preset, tokens), given.threads)
        found = rehearse(project, hub, given.threads)
        sizes = {path.parent.relative_to(project).as_posix(): path.stat().st_size
                 for path in sorted((project / "models").rglob("model.safetensors"))}  # fmt: skip
    seconds = round(sum(stage["seconds"] for stage in found.values()))
    finish({"preset": given.preset, "stages": found, "seconds": seconds,
            "weights_bytes": sizes, "machine": machine(given.threads)})  # fmt: skip


if __name__ == "__main__":
    main()
