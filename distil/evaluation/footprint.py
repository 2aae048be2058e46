"""Size and speed of teacher and student: parameters, bytes on disk, memory, time.

Measured is the encoder, from text to one vector a token, on the CPU: what a classifier adds is the same small layer in
both, and the masked-language head is not used by one. Each model runs in a process of its own, which does nothing while
the other is timed; the two take turns, and a figure is the median over the rounds, so that a machine that slows down
meanwhile slows both.
"""

import multiprocessing
import statistics
from collections.abc import Callable, Mapping
from itertools import chain, cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from distil.core.errors import UserError
from distil.core.params import Params
from distil.runtime.lean_process import begin_work, start_lean
from distil.runtime.progress import Progress

BATCH = 32
LEAST_SECONDS = 0.05  # a timing repeats its texts until it takes so long

Ask = Callable[[str, Any], Any]  # sends an order to a model's process and waits for the answer
Opener = Callable[[Path, str], Any]


class FootprintConfig(Params):
    """Section `footprint:` of params.yaml."""

    threads: int = Field(ge=1, le=256)
    rounds: int = Field(ge=1)
    short_words: int = Field(ge=1)
    long_words: int = Field(ge=1)


class Case(NamedTuple):
    """Texts that are run together, so many times in a row."""

    texts: list[list[str]]  # batches
    repeats: dict[str, int]  # by model


def texts_of(files: Mapping[str, Path], words: int, count: int) -> list[str]:
    """Texts of so many words from the languages in turn, each from the start of its file on (and again from there)."""
    runs = {}
    for language, path in files.items():
        with path.open(encoding="utf-8") as stream:
            found = list(islice(chain.from_iterable(line.split() for line in stream), words * count))
        if not found:
            raise UserError(f"{path}: expected text of {language}, found none; run `dvc repro --force corpus`")
        runs[language] = cycle(found)
    return [" ".join(islice(runs[language], words)) for language in islice(cycle(files), count)]


def measure(
    models: Mapping[str, Path], files: Mapping[str, Path], config: FootprintConfig, stage: str = "footprint",
    openers: Mapping[str, Opener] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Size, memory and speed of each model, see docs/reference/output-files.md.

    Args:
        models: folders by name.
        files: text by language.
        config: section `footprint:`.
        stage: that measures, named in errors.
        openers: by name, of models that are no masked language model in torch; from folder and stage to a `TimedModel`
            (footprint_worker.py), in the model's own process.

    Raises:
        UserError: a model does not load, or its process died.
    """
    spawn = multiprocessing.get_context("spawn")
    ends, workers = {}, []
    for name, folder in models.items():
        ends[name], theirs = spawn.Pipe()
        opener = (openers or {}).get(name)
        worker = spawn.Process(target=_work, args=(theirs, folder, name, config.threads, opener), daemon=True)
        worker.start()
        theirs.close()
        workers.append(worker)
    try:
        asks = {name: _asking(end, models[name], stage) for name, end in ends.items()}
        described = {name: ask("load", None) for name, ask in asks.items()}
        speeds = measure_speed(asks, files, config)
        memory = {name: ask("memory", None) for name, ask in asks.items()}
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    return {
        "threads": config.threads, "rounds": config.rounds, "batch_size": BATCH,
        "words": {"short": config.short_words, "long": config.long_words},
        "models": {name: {**described[name], **memory[name], **speeds[name]} for name in models},
    }  # fmt: skip


def _work(connection: Connection, folder: Path, name: str, threads: int, opener: Opener | None) -> None:
    """A model's process. What needs torch is imported here, so that the process that asks stays small."""
    start_lean()
    from distil.evaluation.footprint_worker import answer_requests

    begin_work()
    answer_requests(connection, folder, name, threads, opener)


def _asking(end: Connection, folder: Path, stage: str) -> Ask:
    def ask(order: str, content: Any) -> Any:
        try:
            end.send((order, content))
            answer = end.recv()
        except (EOFError, OSError):
            raise UserError(
                f"{folder}: its process died while it was measured, probably for want of memory; free memory, then "
                f"`dvc repro {stage}`"
            ) from None
        if isinstance(answer, UserError):
            raise answer
        return answer

    return ask


def measure_speed(
    asks: Mapping[str, Ask], files: Mapping[str, Path], config: FootprintConfig
) -> dict[str, dict[str, dict[str, float]]]:
    """By model and length of text: tokens a text, milliseconds a text one by one, tokens and texts a second in batches.

    Args:
        asks: sends "run" with batches and repeats to a model's process; the answer is (seconds, tokens) of one pass.
        files: text by language.
        config: section `footprint:`.
    """
    cases = {}
    for length, words in (("short", config.short_words), ("long", config.long_words)):
        texts = texts_of(files, words, max(BATCH, len(files)))
        cases[length, "one"] = Case([[text] for text in texts[: len(files)]], {})
        cases[length, "batch"] = Case([texts[:BATCH]], {})
    tokens, seconds = {}, {}
    for name, ask in asks.items():  # a first pass warms up, counts the tokens and decides the repetitions
        for key, case in cases.items():
            once, tokens[name, key] = ask("run", (case.texts, 1))
            case.repeats[name] = max(1, round(LEAST_SECONDS / once))
            seconds[name, key] = list[float]()
    with Progress("measure models", config.rounds * len(cases) * len(asks), "timings") as progress:
        for _ in range(config.rounds):
            for key, case in cases.items():
                for name, ask in asks.items():
                    seconds[name, key].append(ask("run", (case.texts, case.repeats[name]))[0])
                    progress.add(1)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in asks:
        for length in ("short", "long"):
            one, batch = ((name, (length, kind)) for kind in ("one", "batch"))
            whole = statistics.median(seconds[batch])
            found.setdefault(name, {})[length] = {
                "tokens": round(tokens[one] / len(files), 1),
                "milliseconds": round(1000 * statistics.median(seconds[one]) / len(files), 3),
                "tokens_per_second": round(tokens[batch] / whole),
                "texts_per_second": round(BATCH / whole, 1),
            }
    return found
