"""Raw text -> data/raw: cleaned, without repeats and without evaluation texts, every line accounted for."""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import compress
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from distil.core.errors import UserError
from distil.core.files import atomic_folder, verify_checksums, write_checksums, write_json
from distil.core.languages import language as language_of
from distil.core.params import Params
from distil.corpus.block_cleaning import KEPT, REASONS, Block, BlockCleaner
from distil.corpus.escaped_breaks import EscapedLineBreaks, are_split, count_lines, split_lines
from distil.corpus.exact_duplicates import Seen
from distil.corpus.language_id import tags_to_check
from distil.corpus.near_duplicates import NearSeen
from distil.corpus.workers import cleaned
from distil.sources.blocks import in_blocks
from distil.sources.hub import hub_blocks, hub_commit
from distil.sources.local_files import TABLE_FORMATS, TEXT_FORMATS, find_files, origin_of, read_blocks
from distil.sources.synthetic import corpus_sentences, read_lexicon
from distil.tasks.data import held_out_texts, read_task
from distil.text.overlap import HeldOut
from distil.text.views import Script, in_latin_script

log = logging.getLogger("distil")

WHERE = "params.yaml: corpus"
LOG_EVERY_SECONDS = 30.0
MANY_ESCAPED = 0.01  # share of lines with an escaped line break from which on a warning is due


class CorpusConfig(Params):
    """Section `corpus:` of params.yaml, which documents each key."""

    source: Literal["sample", "files", "hub"]
    path: str = Field(min_length=1)
    pattern: str
    text_column: str = Field(min_length=1)
    escaped_line_breaks: EscapedLineBreaks
    dataset: str = Field(min_length=1)
    config: str = Field(min_length=1)
    split: str = Field(min_length=1)
    revision: str = Field(min_length=1)
    max_megabytes: float = Field(ge=0, le=1e9)
    max_words: int = Field(ge=0, le=10**15)
    max_lines: int = Field(ge=0, le=10**15)
    min_characters: int = Field(ge=1, le=100_000)
    max_characters: int = Field(ge=1, le=100_000)
    min_letter_ratio: float = Field(ge=0, le=1)
    script: Script
    language_check: Literal["none", "known", "all"]
    drop_near_duplicates: bool
    workers: int = Field(ge=0, le=1024)

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

    @property
    def bounds(self) -> tuple[int, int, float]:
        """For `BlockCleaner`."""
        return self.min_characters, self.max_characters, self.min_letter_ratio


class TextSource(NamedTuple):
    """The texts of one language."""

    files: list[str]  # names as the manifest tells them
    blocks: Iterator[bytes]  # as `distil.sources.local_files.read_blocks` gives them
    endless: bool  # whether lines beyond the cap are not worth counting


class CleaningAccount:
    """What is kept of one language, block by block, and what became of every line."""

    def __init__(self, config: CorpusConfig) -> None:
        self.lines = self.words = self.bytes = 0
        self.escaped = 0  # lines read with an escaped line break, the dropped ones included
        self.dropped: Counter[str] = Counter()
        self.full = False
        self._limits = [limit or math.inf for limit in (config.max_megabytes * 1e6, config.max_words, config.max_lines)]
        self._seen = Seen()
        self._near = NearSeen() if config.drop_near_duplicates else None

    def take(self, block: Block, count_rest: bool) -> bytes:
        """The lines to keep, each with its LF.

        Args:
            block: the next one.
            count_rest: whether what follows the line at which a cap is reached is counted.
        """
        self.escaped += count_lines(block.text)
        fit = np.full(len(block.reasons), not self.full)
        first = np.zeros(len(fit), bool)
        own = block.reasons == KEPT
        first[own] = self._seen.add(block.hashes[own])
        kept = first & ~block.held_out
        near = np.zeros(len(fit), bool)
        if self._near:
            near[kept] = ~self._near.add(block.bands[kept])
            kept &= ~near
        totals = zip((self.bytes, self.words, self.lines), (block.sizes, block.words, np.ones_like(block.words)),
                     self._limits, strict=True)  # fmt: skip
        for so_far, amounts, limit in totals:
            if limit < math.inf:
                fit &= so_far + np.cumsum(amounts * kept) <= limit
        read = len(fit)
        if not fit.all():
            self.full = True
            read = read if count_rest else int(np.argmin(fit)) + 1
        for place, count in enumerate(np.bincount(block.reasons[:read][fit[:read]], minlength=len(REASONS))):
            self._count(REASONS[place], 0 if place == KEPT else int(count))
        self._count("duplicate", int((own & ~first & fit).sum()))
        self._count("held_out", int((first & block.held_out & fit).sum()))
        self._count("near_duplicate", int((near & fit).sum()))
        self._count("over_cap", int((~fit[:read]).sum()))
        kept &= fit
        self.lines += int(kept.sum())
        self.words += int(block.words[kept].sum())
        self.bytes += int(block.sizes[kept].sum())
        if kept.all():
            return block.text
        return b"".join(line + b"\n" for line in compress(block.text.split(b"\n"), kept))

    def _count(self, reason: str, lines: int) -> None:
        if lines:
            self.dropped[reason] += lines

    @property
    def lines_read(self) -> int:
        """Kept and dropped together."""
        return self.lines + self.dropped.total()


def write_corpus(config: CorpusConfig, languages: list[str], tasks_folder: Path, out: Path) -> dict[str, Any]:
    """Write data/raw atomically; its content is described in the docs (internals/design).

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
    for task in sorted(tasks_folder.glob("[!.]*/")):  # one that lost its manifest would leave its texts in the corpus
        verify_checksums(task, f"tasks@{task.name}")
    _check_scripts(config, tasks_folder)
    view = in_latin_script if config.script == "latin" else None
    tags = tags_to_check(config.language_check, languages, f"{WHERE}.language_check")
    if config.language_check == "known" and (unknown := [code for code, tag in tags.items() if tag is None]):
        log.warning("corpus: NOT CHECKED, as the language check does not know them: %s", ", ".join(unknown))
    commit = hub_commit(config.dataset, config.revision) if config.source == "hub" else ""
    manifest: dict[str, Any] = {
        "source": config.source,
        "synthetic": config.source == "sample",
        "origin": {
            "sample": config.path,
            "files": origin_of(config.path, config.pattern),
            "hub": f"{config.dataset}, {config.config}, {config.split}, {commit}",
        }[config.source],
        "languages": {},
    }
    if config.script == "latin":
        manifest["script"] = config.script
    with atomic_folder(out) as folder:
        for language in languages:
            texts = held_out_texts(tasks_folder, language)
            held_out = HeldOut(map(view, texts) if view else texts)
            cleaner = BlockCleaner(config.bounds, held_out, tags[language], config.drop_near_duplicates, view)
            account = CleaningAccount(config)
            source = open_source(config, language, commit, account.dropped)
            _write_language(source, account, cleaner, config.workers, folder / f"{language}.txt")
            manifest["languages"][language] = {
                "files": source.files,
                "lines_read": account.lines_read,
                "lines": account.lines,
                "words": account.words,
                "bytes": account.bytes,
                "dropped": dict(sorted(account.dropped.items())),
                "language_checked": tags[language] is not None,
                "escaped_line_breaks": account.escaped,
            }
        write_json(folder / "manifest.json", manifest)
        write_checksums(folder)
    return manifest


def _check_scripts(config: CorpusConfig, tasks_folder: Path) -> None:
    """Refuse text in another script than a task's: its evaluation texts would not be found in the corpus."""
    for folder in sorted(tasks_folder.glob("[!.]*/")):
        task = read_task(folder)
        script = task.view.get("script", "keep")
        if config.script == script or not task.languages:
            continue
        if script == "latin":
            raise UserError(
                f"{WHERE}.script: expected latin, as tasks.{folder.name}.script has it, found keep: its evaluation "
                "texts would not be found in the text; set both alike"
            )
        log.warning("corpus: %s is latin and tasks.%s.script is keep: the student will not know the letters of its "
                    "texts", f"{WHERE}.script", folder.name)  # fmt: skip


def open_source(config: CorpusConfig, language: str, commit: str, dropped: Counter[str]) -> TextSource:
    """The texts of a language, not yet read; what of them cannot be read will be counted in `dropped`."""
    if config.source == "sample":
        sentences = corpus_sentences(read_lexicon(Path(config.path), language))
        return TextSource([f"{language}.yaml"], in_blocks(sentences, dropped), endless=False)
    if config.source == "hub":
        name = config.config.replace("{fineweb2}", language_of(language).fineweb2).replace("{lang}", language)
        blocks = hub_blocks(config.dataset, name, config.split, commit, config.text_column, dropped)
        if are_split(config.escaped_line_breaks, dataset=config.dataset):
            blocks = split_lines(blocks)
        return TextSource([name], blocks, endless=True)
    paths = find_files(config.path, config.pattern, {"lang": language}, TEXT_FORMATS + TABLE_FORMATS, WHERE)
    names = [path.relative_to(config.path).as_posix() for path in paths]
    return TextSource(names, _read_files(config, paths, dropped), endless=False)


def _read_files(config: CorpusConfig, paths: list[Path], dropped: Counter[str]) -> Iterator[bytes]:
    for path in paths:
        blocks = read_blocks(path, config.text_column, dropped)
        yield from split_lines(blocks) if are_split(config.escaped_line_breaks, file=path.name) else blocks


def _write_language(
    source: TextSource, account: CleaningAccount, cleaner: BlockCleaner, workers: int, path: Path
) -> None:
    """Clean the texts of one language into `path`."""
    language = path.stem
    start = last = time.monotonic()
    with path.open("wb") as stream, closing(cleaned(source.blocks, cleaner, workers)) as blocks:
        for block in blocks:
            stream.write(account.take(block, count_rest=not source.endless))
            if account.full and source.endless:
                break
            if time.monotonic() - last > LOG_EVERY_SECONDS:
                last = time.monotonic()
                _report(f"corpus: {language}: so far", account, last - start)
    _report(f"corpus: {language}:", account, time.monotonic() - start)
    if account.dropped["other_language"] > account.lines:
        log.warning(
            "corpus: %s: the language check dropped more lines than were kept; look at them, and set "
            "%s.language_check to none if it is wrong", language, WHERE,
        )  # fmt: skip
    if account.escaped > MANY_ESCAPED * account.lines_read:
        log.warning(
            "corpus: %s: %s of %s lines have a line break as a backslash and an n, so several texts are one; set "
            "%s.escaped_line_breaks to split if they are line breaks", language, f"{account.escaped:,}",
            f"{account.lines_read:,}", WHERE,
        )  # fmt: skip
    if not account.lines:
        raise UserError(
            f"corpus: {language}: nothing is left of {account.lines_read} lines (dropped: {_counts(account.dropped)}); "
            f"give more text in {', '.join(source.files)} or loosen the bounds in {WHERE}"
        )


def _report(title: str, account: CleaningAccount, seconds: float) -> None:
    log.info(
        "%s %s lines of %s kept, %.1f MB, %.1f MB/s; dropped: %s", title, f"{account.lines:,}",
        f"{account.lines_read:,}", account.bytes / 1e6, account.bytes / 1e6 / max(seconds, 1e-9),
        _counts(account.dropped),
    )  # fmt: skip


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(dropped.items())) or "none"
