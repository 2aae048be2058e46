"""Labelled data of any source -> data/tasks/NAME, every row accounted for."""

import json
import logging
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from distil.core.errors import UserError
from distil.core.files import atomic_folder, seal, write_json
from distil.sources.download import fetch
from distil.sources.local_files import find_files, origin_of
from distil.sources.pinned_files import check_files, pinned, read_pins
from distil.sources.synthetic import labelled_rows, read_lexicon
from distil.sources.synthetic_entities import tagged_rows
from distil.tasks import text_classification, token_classification
from distil.tasks.config import Account, TaskConfig
from distil.tasks.data import SPLITS, Row, TextRow
from distil.tasks.unlabelled import unlabelled_rows
from distil.text.overlap import fold_key

log = logging.getLogger("distil")

R = TypeVar("R")


def write_task(name: str, config: TaskConfig, languages: list[str], seed: int, out: Path) -> dict[str, Any]:
    """Write data/tasks/NAME, whole or not at all (docs/design.md says what is in it).

    Args:
        name: of the block in `tasks:`.
        config: the block.
        languages: codes; three files for each.
        seed: decides which rows are kept where there are more than max_SPLIT_rows.
        out: data/tasks/NAME.

    Returns:
        The manifest.

    Raises:
        UserError: no rows where they were expected, damaged files, or a split of which nothing is left.
    """
    manifest: dict[str, Any] = {
        "task": name,
        "kind": config.kind,
        "labels": config.labels,
        "source": config.source,
        "origin": _origin(config),
        "synthetic": config.source == "sample",
        "normalised": config.normalise,
        "languages": {},
    }
    with atomic_folder(out) as folder:
        for language in languages if config.source != "none" else []:
            entry: dict[str, Any] = {}
            texts: dict[str, list[str]] = {}
            for split in SPLITS:
                account = Account(config.labels)
                found = list(_open_split(name, config, language, split, account))
                limit = getattr(config, f"max_{split}_rows")
                rows = draw(found, limit, f"{seed}-{language}-{split}")
                if len(rows) < len(found):
                    account.dropped["over_max_rows"] = len(found) - len(rows)
                _check_something_left(rows, account, f"task {name}: {language}: {split}")
                _write_rows(folder / language / f"{split}.jsonl", rows)
                texts[split] = [row.text if isinstance(row, TextRow) else " ".join(row.tokens) for row in rows]
                entry[split] = _counted(rows, account, f"task {name}: {language}: {split}")
            entry["overlap"] = count_overlap({split: list(map(fold_key, each)) for split, each in texts.items()})
            if config.unlabelled:
                account = Account(config.labels)
                found_without = list(unlabelled_rows(name, config, language, texts, account))
                without = draw(found_without, config.max_unlabelled_rows, f"{seed}-{language}-unlabelled")
                if len(without) < len(found_without):
                    account.dropped["over_max_rows"] = len(found_without) - len(without)
                _write_rows(folder / language / "unlabelled.jsonl", without)
                entry["unlabelled"] = _counted(without, account, f"task {name}: {language}: unlabelled")
            manifest["languages"][language] = entry
        write_json(folder / "manifest.json", manifest)
        seal(folder)
    return manifest


def draw(rows: list[R], limit: int, seed: str) -> list[R]:
    """The first `limit` rows of a shuffle by `seed`, in their old order; all if there are no more, or `limit` is 0."""
    if limit == 0 or len(rows) <= limit:
        return rows
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    return [rows[place] for place in sorted(order[:limit])]


def count_overlap(keys: dict[str, list[str]]) -> dict[str, int]:
    """How many rows of one split have a text of another (see distil/text/overlap.py for what counts as the same).

    Args:
        keys: split -> the key of each row.
    """
    train, dev = set(keys["train"]), set(keys["dev"])
    return {
        "dev_in_train": sum(key in train for key in keys["dev"]),
        "test_in_train": sum(key in train for key in keys["test"]),
        "test_in_dev": sum(key in dev for key in keys["test"]),
    }


def _counted(rows: Sequence[tuple], account: Account, where: str) -> dict[str, Any]:
    """What became of the rows of a file, for the manifest and the log."""
    read = len(rows) + account.dropped.total()
    log.info("%s: %d rows of %d kept; dropped: %s", where, len(rows), read, _counts(account.dropped))
    return {"rows_read": read, "rows": len(rows), "dropped": dict(sorted(account.dropped.items()))}


def _open_split(name: str, config: TaskConfig, language: str, split: str, account: Account) -> Iterator[Row]:
    """The usable rows of a split; `account` counts the others as they go by."""
    if config.source == "sample":
        lexicon = read_lexicon(Path(config.path), language)
        if config.kind == "text_classification":
            yield from text_classification.usable(labelled_rows(lexicon)[split], config, account)
        else:
            yield from token_classification.usable(tagged_rows(lexicon)[split], account)
        return
    kind = text_classification if config.kind == "text_classification" else token_classification
    for path in _files(name, config, language, split, kind.FORMATS):
        yield from kind.read_file(path, config, account)


def _origin(config: TaskConfig) -> str:
    """Where the rows are from, for the manifest."""
    if config.source == "url":
        pins = read_pins(Path(config.path))
        return f"{pins.name}, {pins.repository} at {pins.commit}, {pins.licence}"
    if config.source == "none":
        return "no labelled data"
    return config.path if config.source == "sample" else origin_of(config.path, config.pattern)


def _files(name: str, config: TaskConfig, language: str, split: str, formats: Sequence[str]) -> list[Path]:
    """The files of a split, fetched or checked where the block says so."""
    fills, where = {"lang": language, "split": split}, f"params.yaml: tasks.{name}"
    if config.source == "url":
        path = Path(config.path)
        file = config.pattern.replace("{lang}", language).replace("{split}", split)
        return [fetch(pinned(read_pins(path), path, file, where))]
    files = find_files(config.path, config.pattern, fills, formats, where)
    if config.verify:
        path = Path(config.verify)
        check_files(read_pins(path), path, Path(config.path), files, where)
    return files


def _check_something_left(rows: list[Row], account: Account, where: str) -> None:
    if not rows:
        labels = ", ".join(map(repr, account.unknown_labels))
        hint = f"; `labels:` lacks the labels found: {labels}" if labels else ""
        raise UserError(
            f"{where}: nothing is left of {account.dropped.total()} rows ({_counts(account.dropped)}){hint}; mend the "
            "file or the block in params.yaml"
        )


def _write_rows(path: Path, rows: Iterable[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows)


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(dropped.items())) or "none"
