"""Labelled data of any source -> data/tasks/NAME, every row accounted for."""

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from distil.core.errors import UserError
from distil.core.files import atomic_folder, write_checksums, write_json
from distil.tasks.account import MAX_LABELS, RowAccount, unknown_labels
from distil.tasks.checks import count_classes, count_conflicts, count_overlap, missing_classes, same_rows
from distil.tasks.config import TaskConfig
from distil.tasks.data import SPLITS, Row, TokenRow, row_text
from distil.tasks.near_rows import near_rows
from distil.tasks.second_views import with_second_views
from distil.tasks.splits import Split, at_most, origin, read_splits
from distil.tasks.tag_schemes import DetectedScheme
from distil.tasks.token_classification import unify
from distil.tasks.unlabelled import UnlabelledText, UnlabelledTokens, unlabelled_rows
from distil.text.overlap import fold_key

log = logging.getLogger("distil")

Splits = dict[str, dict[str, Split]]  # language -> split -> its rows


def write_task(name: str, config: TaskConfig, languages: list[str], seed: int, out: Path) -> dict[str, Any]:
    """Write data/tasks/NAME, atomically (content: docs, internals/design).

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
    languages = languages if config.source != "none" else []
    splits = {language: read_splits(name, config, language, seed) for language in languages}
    splits, labels, scheme = _in_one_scheme(name, config, splits)
    identical = same_rows({f"{code}/{split}": each.rows for code, parts in splits.items()
                           for split, each in parts.items()})  # fmt: skip
    for files in identical:
        log.warning("task %s: the same rows in %s", name, " and ".join(files))
    manifest: dict[str, Any] = {
        "task": name,
        "kind": config.kind,
        "labels": labels,
        "source": config.source,
        "origin": origin(config),
        "synthetic": config.source == "sample",
        **config.view.as_manifest(),
        "tag_scheme": scheme._asdict() if scheme else None,
        "same_rows": identical,
        "languages": {},
    }
    with atomic_folder(out) as folder:
        for language, parts in splits.items():
            manifest["languages"][language] = _write_language(
                name, config, language, parts, labels, seed, folder / language
            )
        write_json(folder / "manifest.json", manifest)
        write_checksums(folder)
    return manifest


def _in_one_scheme(name: str, config: TaskConfig, splits: Splits) -> tuple[Splits, list[str], DetectedScheme | None]:
    """Rows whose tags are in one scheme, the labels in it, and which one was found; rows of texts as they are."""
    if config.kind == "text_classification":
        return splits, config.labels, None
    places = [(language, split) for language, parts in splits.items() for split in parts]
    sentences = [
        ([row for row in splits[language][split].rows if isinstance(row, TokenRow)], splits[language][split].account)
        for language, split in places
    ]
    rows, labels, scheme = unify(sentences, config.labels)
    if scheme:
        log.info(
            "task %s: tags are %s%s, written as IOB2: %d entities, %d of them tagged otherwise than in the scheme",
            name, scheme.scheme, " with the letter last" if scheme.suffix else "", scheme.entities, scheme.irregular,
        )  # fmt: skip
    found: Splits = {language: {} for language in splits}
    for (language, split), each in zip(places, rows, strict=True):
        found[language][split] = Split(each, splits[language][split].account)
    return found, labels, scheme


def _write_language(
    name: str, config: TaskConfig, language: str, parts: dict[str, Split], labels: list[str], seed: int, folder: Path
) -> dict[str, Any]:
    """Write the files of a language; returns its entry in the manifest."""
    entry: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    for split in SPLITS:
        where, account = f"task {name}: {language}: {split}", parts[split].account
        rows = at_most(parts[split].rows, getattr(config, f"max_{split}_rows"), f"{seed}-{language}-{split}", account)
        _check_something_left(rows, account, config.labels, where)
        lines = [row._asdict() for row in rows]
        if split == "train" and config.marks == "both":
            lines = with_second_views(rows)
        _write_lines(folder / f"{split}.jsonl", lines)
        texts[split] = list(map(row_text, rows))
        entry[split] = _counted(rows, account, where) | _label_counts(rows, account, labels, config.labels, where)
        if second := len(lines) - len(rows):
            log.info("%s: %d rows a second time, without marks", where, second)
            entry[split] |= {"rows": len(lines), "second_views": second}
    for name_, split, most in missing_classes({split: entry[split]["classes"] for split in SPLITS}):
        lacking = f"{split} lacks {name_}, which {most} has" if most else f"no split has {name_}"
        log.warning("task %s: %s: %s", name, language, lacking)
    entry["overlap"] = count_overlap({split: list(map(fold_key, each)) for split, each in texts.items()})
    if config.unlabelled:
        account = RowAccount()
        found = list(unlabelled_rows(name, config, language, texts, account))
        where, drawn_by = f"task {name}: {language}: unlabelled", f"{seed}-{language}-unlabelled"
        without, likeness = _without_labels(found, config, texts["train"], drawn_by, account, where)
        _write_lines(folder / "unlabelled.jsonl", [row._asdict() for row in without])
        entry["unlabelled"] = _counted(without, account, where) | likeness
    return entry


def _without_labels(
    rows: list[UnlabelledText | UnlabelledTokens], config: TaskConfig, train: list[str], seed: str,
    account: RowAccount, where: str,
) -> tuple[Sequence[UnlabelledText | UnlabelledTokens], dict[str, Any]]:  # fmt: skip
    """The rows without a label that are kept, and for the manifest how much they resemble the training rows."""
    limit = config.max_unlabelled_rows
    if config.unlabelled_choice == "random" or len(rows) <= limit:
        return at_most(rows, limit, seed, account), {}
    if len(train) < 2:
        raise UserError(f"{where}: `unlabelled_choice: near` needs two training rows or more, found {len(train)}")
    choice = near_rows(list(map(row_text, rows)), train, limit, seed)
    account.dropped["over_max_rows"] = len(rows) - limit
    log.info(
        "%s: mean probability of being a training row: %.3f, of those kept %.3f", where, choice.all_rows, choice.kept
    )
    likeness = {"all": round(choice.all_rows, 4), "kept": round(choice.kept, 4)}
    return [rows[place] for place in choice.places], {"likeness": likeness}


def _counted(rows: Sequence[tuple], account: RowAccount, where: str) -> dict[str, Any]:
    """What became of the rows of a file, for the manifest and the log."""
    read = len(rows) + account.dropped.total()
    log.info("%s: %d rows of %d kept; dropped: %s", where, len(rows), read, account.reasons())
    for form, count in sorted((+account.converted).items()):
        log.info("%s: %s: %d rows", where, form, count)
    return {"rows_read": read, "rows": len(rows), "dropped": dict(sorted(account.dropped.items()))}


def _label_counts(
    rows: Sequence[Row], account: RowAccount, labels: list[str], listed: list[str], where: str
) -> dict[str, Any]:
    """Labels of the rows of a split, unknown ones, and texts with several, for the manifest and the log."""
    conflicts = count_conflicts(rows)
    if conflicts["texts"]:
        log.warning("%s: texts with several labels: %d, in %d rows", where, conflicts["texts"], conflicts["rows"])
    if account.unknown:
        log.warning("%s: labels that `labels:` has not: %s", where, unknown_labels(account.unknown, listed))
    return {
        "converted": dict(sorted((+account.converted).items())),
        "unknown_labels": dict(account.unknown.most_common(MAX_LABELS)),
        "classes": count_classes(rows, labels),
        "conflicts": conflicts,
    }


def _check_something_left(rows: Sequence[Row], account: RowAccount, listed: list[str], where: str) -> None:
    if rows:
        return
    hint = f"; `labels:` has not the labels found: {unknown_labels(account.unknown, listed)}" if account.unknown else ""
    raise UserError(
        f"{where}: nothing is left of {account.dropped.total()} rows ({account.reasons()}){hint}; mend the file or the "
        "block in params.yaml"
    )


def _write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
