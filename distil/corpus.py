"""Raw text -> data/raw: cleaned, without repeats and without evaluation texts, every line accounted for."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from distil.clean import Seen, clean_line, fault
from distil.errors import UserError
from distil.files import atomic_folder, write_json
from distil.languages import LANGUAGES
from distil.overlap import HeldOut
from distil.params import Params
from distil.sample import corpus_sentences, read_lexicon
from distil.sources import TABLE_FORMATS, TEXT_FORMATS, find_files, hub_commit, hub_texts, read_texts
from distil.tasks import held_out_texts

log = logging.getLogger("distil")

WHERE = "params.yaml: corpus"
LOG_EVERY_SECONDS = 30.0

_LINES_BETWEEN_LOOKS = 1 << 16


class CorpusConfig(Params):
    """Section `corpus:` of params.yaml, which says what each key means."""

    source: Literal["sample", "files", "hub"]
    path: str = Field(min_length=1)
    pattern: str
    text_column: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    config: str = Field(min_length=1)
    split: str = Field(min_length=1)
    revision: str = Field(min_length=1)
    max_megabytes: float = Field(ge=0, le=1e9)
    min_characters: int = Field(ge=1, le=100_000)
    max_characters: int = Field(ge=1, le=100_000)
    min_letter_ratio: float = Field(ge=0, le=1)

    @field_validator("pattern")
    @classmethod
    def _has_language(cls, pattern: str) -> str:
        if "{lang}" not in pattern or PurePath(pattern).is_absolute():
            raise ValueError("expected a relative path with {lang} in it")
        return pattern

    @field_validator("max_characters")
    @classmethod
    def _not_below_the_least(cls, most: int, info: ValidationInfo) -> int:
        least = info.data.get("min_characters", 1)
        if most < least:
            raise ValueError(f"expected at least min_characters, which is {least}")
        return most


class Source(NamedTuple):
    """The texts of one language."""

    files: list[str]  # names as the manifest tells them
    texts: Iterator[str]


class Cleaner:
    """Takes the texts of one language one by one and counts what became of each."""

    def __init__(self, config: CorpusConfig, held_out: HeldOut) -> None:
        self.lines = self.words = self.bytes = 0
        self.dropped: Counter[str] = Counter()
        self.full = False
        self._bounds = (config.min_characters, config.max_characters, config.min_letter_ratio)
        self._max_bytes = config.max_megabytes * 1e6 or float("inf")
        self._held_out = held_out
        self._seen = Seen()

    def take(self, text: str) -> bytes | None:
        """The line to keep, UTF-8 with its LF; None if the text is dropped, and then it is counted."""
        if self.full:
            return self._drop("over_cap")
        line = clean_line(text)
        if line is None:
            return self._drop("not_utf8")
        if reason := fault(line, *self._bounds):
            return self._drop(reason)
        if not self._seen.add(line):
            return self._drop("duplicate")
        if line in self._held_out:
            return self._drop("held_out")
        kept = line.encode() + b"\n"
        if self.bytes + len(kept) > self._max_bytes:
            self.full = True
            return self._drop("over_cap")
        self.lines += 1
        self.words += line.count(" ") + 1
        self.bytes += len(kept)
        return kept

    def _drop(self, reason: str) -> bytes | None:
        self.dropped[reason] += 1
        return None

    @property
    def lines_read(self) -> int:
        """Kept and dropped together."""
        return self.lines + self.dropped.total()


def write_corpus(config: CorpusConfig, languages: list[str], tasks_folder: Path, out: Path) -> dict[str, Any]:
    """Write data/raw, whole or not at all (docs/design.md says what is in it).

    Args:
        config: where the text is and what is kept of it.
        languages: codes; a file for each.
        tasks_folder: data/tasks, whose dev and test texts are taken out of the corpus.
        out: data/raw.

    Returns:
        The manifest.

    Raises:
        UserError: no text where it was expected, damaged files, or a language of which nothing is left.
    """
    commit = hub_commit(config.dataset, config.revision) if config.source == "hub" else ""
    manifest: dict[str, Any] = {
        "source": config.source,
        "synthetic": config.source == "sample",
        "origin": {
            "sample": config.path,
            "files": f"{config.path}/{config.pattern}",
            "hub": f"{config.dataset}, {config.config}, {config.split}, {commit}",
        }[config.source],
        "languages": {},
    }
    with atomic_folder(out) as folder:
        for language in languages:
            cleaner = Cleaner(config, HeldOut(held_out_texts(tasks_folder, language)))
            source = open_source(config, language, commit, cleaner.dropped)
            _write_language(source, cleaner, language, folder / f"{language}.txt", stop_when_full=bool(commit))
            manifest["languages"][language] = {
                "files": source.files,
                "lines_read": cleaner.lines_read,
                "lines": cleaner.lines,
                "words": cleaner.words,
                "bytes": cleaner.bytes,
                "dropped": dict(sorted(cleaner.dropped.items())),
            }
        write_json(folder / "manifest.json", manifest)
    return manifest


def open_source(config: CorpusConfig, language: str, commit: str, dropped: Counter[str]) -> Source:
    """The texts of a language, not yet read; what of them cannot be read will be counted in `dropped`."""
    if config.source == "sample":
        return Source([f"{language}.yaml"], iter(corpus_sentences(read_lexicon(Path(config.path), language))))
    if config.source == "hub":
        name = config.config.replace("{fineweb2}", LANGUAGES[language].fineweb2).replace("{lang}", language)
        texts = hub_texts(config.dataset, name, config.split, commit, config.text_column, dropped)
        return Source([name], texts)
    paths = find_files(config.path, config.pattern, {"lang": language}, TEXT_FORMATS + TABLE_FORMATS, WHERE)
    names = [path.relative_to(config.path).as_posix() for path in paths]
    return Source(names, (text for path in paths for text in read_texts(path, config.text_column, dropped)))


def _write_language(source: Source, cleaner: Cleaner, language: str, path: Path, stop_when_full: bool) -> None:
    """Clean the texts of one language into `path`."""
    start = last = time.monotonic()
    with path.open("wb") as stream:
        for number, text in enumerate(source.texts, 1):
            if (kept := cleaner.take(text)) is not None:
                stream.write(kept)
            elif stop_when_full and cleaner.full:  # a hub data set has no end worth counting
                break
            if not number % _LINES_BETWEEN_LOOKS and time.monotonic() - last > LOG_EVERY_SECONDS:
                last = time.monotonic()
                _report(f"corpus: {language}: so far", cleaner, last - start)
    _report(f"corpus: {language}:", cleaner, time.monotonic() - start)
    if not cleaner.lines:
        raise UserError(
            f"corpus: {language}: nothing is left of {cleaner.lines_read} lines (dropped: {_counts(cleaner.dropped)}); "
            f"give more text in {', '.join(source.files)} or loosen the bounds in {WHERE}"
        )


def _report(title: str, cleaner: Cleaner, seconds: float) -> None:
    log.info(
        "%s %s lines of %s kept, %.1f MB, %.1f MB/s; dropped: %s", title, f"{cleaner.lines:,}",
        f"{cleaner.lines_read:,}", cleaner.bytes / 1e6, cleaner.bytes / 1e6 / max(seconds, 1e-9),
        _counts(cleaner.dropped),
    )  # fmt: skip


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(dropped.items())) or "none"
