"""The rows of train, dev and test from wherever a task's labelled data are, with an account of each split."""

import logging
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from distil.sources.download import fetch
from distil.sources.local_files import NoFileError, find_files, origin_of
from distil.sources.pinned_files import check_files, pinned, read_pins
from distil.sources.synthetic import labelled_rows, read_lexicon
from distil.sources.synthetic_entities import tagged_rows
from distil.tasks import text_classification, token_classification
from distil.tasks.account import RowAccount
from distil.tasks.config import TaskConfig
from distil.tasks.data import SPLITS, Row, row_text
from distil.text.overlap import fold_key

log = logging.getLogger("distil")

R = TypeVar("R")


class Split(NamedTuple):
    """The rows of a split that can be used, and what became of the others."""

    rows: Sequence[Row]
    account: RowAccount


def read_splits(name: str, config: TaskConfig, language: str, seed: int) -> dict[str, Split]:
    """The usable rows of each split of a language; tags of tokens are still those of the files.

    Without a dev file, and with `dev_from_train` above 0, dev is drawn from train, which counts its rows as `to_dev`.

    Args:
        name: of the task.
        config: its block of `tasks:`.
        language: code.
        seed: decides which rows of train are drawn.

    Raises:
        UserError: a file is missing, damaged or not the pinned one.
    """
    found: dict[str, Split] = {}
    for split in SPLITS:
        account = RowAccount()
        try:
            found[split] = Split(list(_rows(name, config, language, split, account)), account)
        except NoFileError as error:
            if split != "dev":
                raise
            if not config.dev_from_train:
                raise NoFileError(
                    f"{error}; or set tasks.{name}.dev_from_train to the share of train to take as dev, such as 0.1"
                ) from None
            found |= _dev_from_train(found["train"], config.dev_from_train, f"{seed}-{language}-dev")
            log.info("task %s: %s: no dev file, %d rows of train are dev", name, language, len(found["dev"].rows))
    return found


def _dev_from_train(train: Split, share: float, seed: str) -> dict[str, Split]:
    """Rows with the same text stay together, so no text of train is in dev."""
    keys = [fold_key(row_text(row)) for row in train.rows]
    order = list(dict.fromkeys(keys))
    random.Random(seed).shuffle(order)
    sizes = {key: 0 for key in order}
    for key in keys:
        sizes[key] += 1
    chosen: set[str] = set()
    room = round(share * len(keys))
    for key in order:
        if sizes[key] <= room:
            chosen.add(key)
            room -= sizes[key]
    dev = [row for row, key in zip(train.rows, keys, strict=True) if key in chosen]
    train.account.dropped["to_dev"] = len(dev)
    return {
        "train": Split([row for row, key in zip(train.rows, keys, strict=True) if key not in chosen], train.account),
        "dev": Split(dev, RowAccount()),
    }


def draw(rows: Sequence[R], limit: int, seed: str) -> Sequence[R]:
    """The first `limit` rows of a shuffle by `seed`, in their old order; all if there are no more, or `limit` is 0."""
    if limit == 0 or len(rows) <= limit:
        return rows
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    return [rows[place] for place in sorted(order[:limit])]


def at_most(rows: Sequence[R], limit: int, seed: str, account: RowAccount) -> Sequence[R]:
    """As `draw`; the rows that are left out are counted as `over_max_rows`."""
    kept = draw(rows, limit, seed)
    if len(kept) < len(rows):
        account.dropped["over_max_rows"] = len(rows) - len(kept)
    return kept


def origin(config: TaskConfig) -> str:
    """Where the rows are from, for the manifest."""
    if config.source == "url":
        pins = read_pins(Path(config.path))
        return f"{pins.name}, {pins.repository} at {pins.commit}, {pins.licence}"
    if config.source == "none":
        return "no labelled data"
    return config.path if config.source == "sample" else origin_of(config.path, config.pattern)


def _rows(name: str, config: TaskConfig, language: str, split: str, account: RowAccount) -> Iterator[Row]:
    """The usable rows of a split; `account` counts the others as they go by."""
    if config.source == "sample":
        lexicon = read_lexicon(Path(config.path), language)
        if config.kind == "text_classification":
            yield from text_classification.usable(labelled_rows(lexicon)[split], config, account)
        else:
            yield from token_classification.usable(tagged_rows(lexicon)[split], config, account)
        return
    where = f"params.yaml: tasks.{name}"
    for path in _files(config, language, split, where):
        if config.kind == "text_classification":
            yield from text_classification.read_file(path, config, account)
        else:
            yield from token_classification.read_file(path, config, account, where)


def _files(config: TaskConfig, language: str, split: str, where: str) -> list[Path]:
    """The files of a split, fetched or checked where the block asks for it."""
    if config.source == "url":
        path = Path(config.path)
        pins, file = read_pins(path), config.pattern.replace("{lang}", language).replace("{split}", split)
        return [fetch(pinned(pins, path, file, where))]
    kind = text_classification if config.kind == "text_classification" else token_classification
    files = find_files(config.path, config.pattern, {"lang": language, "split": split}, kind.FORMATS, where)
    if config.verify:
        path = Path(config.verify)
        check_files(read_pins(path), path, Path(config.path), files, where)
    return files
