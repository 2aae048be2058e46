"""Parallel text: sentences of a pivot language with their translation -> data/pairs/NAME.

    LANG.jsonl     {"pivot": "...", "text": "..."}, a pair a line, shuffled
    test.jsonl     {"eng": "...", "hau": "...", ...}, a sentence in the pivot and in every language a line
    manifest.json  pivot, languages, and of each language the pairs read, kept and dropped, by reason

A pair is dropped, for the first reason that holds: `wrong_columns` (another number of cells than the header),
`not_text`, `not_utf8`, `empty`, `too_long`, `length_ratio` (one side is so many times longer), `test` (a side gives
away a test sentence, `distil.text.overlap`), `duplicate` (the same letters on both sides).
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distil.core.errors import UserError
from distil.core.files import atomic_folder, write_checksums, write_json, write_text
from distil.embedding.config import PairsConfig
from distil.embedding.data import Pair
from distil.sources.local_files import TABLE_FORMATS, NoFileError, find_files, read_rows
from distil.text.cleaning import clean_line
from distil.text.overlap import HeldOut, fold_key


def write_pairs(name: str, config: PairsConfig, languages: list[str], seed: int, out: Path) -> dict[str, Any]:
    """Clean and count the pairs of every language; returns the manifest.

    Args:
        name: of the block, for messages.
        config: its `pairs:`.
        languages: of the block.
        seed: decides the order, and which pairs are kept where `max_pairs` is fewer.
        out: data/pairs/NAME.

    Raises:
        UserError: a file, a column or a translation of a test sentence is missing, or no pair of a language is left.
    """
    where = f"params.yaml: embeddings.{name}.pairs"
    test = _test_sentences(where, config, languages)
    held_out = {code: HeldOut(texts) for code, texts in test.items()}
    entries: dict[str, Any] = {}
    with atomic_folder(out) as folder:
        for code in languages:
            dropped: Counter[str] = Counter()
            found = list(_clean_pairs(where, config, code, held_out, dropped))
            if not found:
                raise UserError(
                    f"{where}: {code}: no usable pair is left ({_counts(dropped)}); give other files or take it out of "
                    f"embeddings.{name}.pairs.languages"
                )
            read = len(found) + sum(dropped.values())
            random.Random(f"{seed} {code}").shuffle(found)
            kept = found[: config.max_pairs or None]
            entries[code] = {"read": read, "usable": len(found), "pairs": len(kept), "dropped": dict(dropped)}
            write_text(folder / f"{code}.jsonl", "".join(map(_line, (pair._asdict() for pair in kept))))
        sentences = [dict(zip(test, texts, strict=True)) for texts in zip(*test.values(), strict=True)]
        write_text(folder / "test.jsonl", "".join(map(_line, sentences)))
        manifest = {"pivot": config.pivot, "languages": entries, "test_sentences": len(sentences)}
        write_json(folder / "manifest.json", manifest)
        write_checksums(folder)
    return manifest


def _clean_pairs(
    where: str, config: PairsConfig, code: str, held_out: dict[str, HeldOut], dropped: Counter[str]
) -> Iterator[Pair]:
    seen = set()
    for values in _rows(where, config, code, dropped):
        if not all(isinstance(value, str) for value in values):
            dropped["not_text"] += 1
            continue
        sides = [clean_line(value) for value in values]
        reason = _fault(sides, config)
        pivot, text = (side or "" for side in sides)
        key = (fold_key(pivot), fold_key(text))
        if reason is None and (pivot in held_out[config.pivot] or text in held_out[code]):
            reason = "test"
        if reason is None and key in seen:
            reason = "duplicate"
        if reason:
            dropped[reason] += 1
        else:
            seen.add(key)
            yield Pair(pivot, text)


def _fault(sides: list[str | None], config: PairsConfig) -> str | None:
    """Why a pair of cleaned sides is left out by its own looks; None if it is not."""
    lengths = [len(side) for side in sides if side is not None]
    if len(lengths) < len(sides):
        return "not_utf8"
    if not min(lengths):
        return "empty"
    if max(lengths) > config.max_characters:
        return "too_long"
    return "length_ratio" if max(lengths) > config.max_length_ratio * min(lengths) else None


def _rows(where: str, config: PairsConfig, code: str, dropped: Counter[str]) -> Iterator[tuple[Any, ...]]:
    """(pivot, text) of each row of every file of a language.

    Raises:
        UserError: no pattern has a file of the language, or a file has no such column.
    """
    files, missing = [], None
    for pattern in config.patterns:
        try:
            files += find_files(config.path, pattern, {"lang": code}, TABLE_FORMATS, where)
        except NoFileError as error:
            missing = error
    if not files:
        raise UserError(f"{where}.patterns: {code}: {missing}, or leave {code} out of {where.split(': ')[1]}.languages")
    for path in dict.fromkeys(files):
        yield from read_rows(path, [config.pivot, config.text_column], dropped)


def _test_sentences(where: str, config: PairsConfig, languages: list[str]) -> dict[str, list[str]]:
    """The test sentences of the pivot and of every language, cleaned.

    Raises:
        UserError: there are fewer than two, or one has no text in some language.
    """
    codes, dropped = [config.pivot, *languages], Counter[str]()
    [path, *others] = find_files(config.path, config.test, {}, TABLE_FORMATS, where)
    if others:
        raise UserError(f"{where}.test: expected one table, found {path.name} and {others[0].name}; name one of them")
    rows = []
    for number, values in enumerate(read_rows(path, codes, dropped), 1):
        cleaned = [clean_line(value) if isinstance(value, str) else None for value in values]
        for code, text in zip(codes, cleaned, strict=True):
            if not text:
                raise UserError(
                    f"{path}: row {number}: expected a sentence in every language, found none in {code}; take the row "
                    "out"
                )
        rows.append(cleaned)
    if dropped or len(rows) < 2:
        raise UserError(
            f"{path}: expected two or more rows with as many cells as the header, found {len(rows)} and "
            f"{_counts(dropped) or 'no others'}; mend the table"
        )
    return {code: [str(row[place]) for row in rows] for place, code in enumerate(codes)}


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(dropped.items()))


def _line(value: dict[str, str]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
