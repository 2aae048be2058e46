"""Sentences in tokens with a tag each, from CoNLL files or from tables with two columns of lists."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from distil.core.errors import cut, described
from distil.sources.local_files import file_format, read_rows
from distil.tasks.account import RowAccount, label_text
from distil.tasks.class_numbers import with_names
from distil.tasks.config import TaskConfig
from distil.tasks.conll import CONLL_FORMATS, check_tokens, read_conll
from distil.tasks.data import TokenRow
from distil.tasks.saved_lists import as_list
from distil.tasks.tag_decoding import OUTSIDE
from distil.tasks.tag_schemes import (
    DetectedScheme,
    Tag,
    detect,
    entity_types,
    labels_in_iob2,
    letter_is_last,
    split_tag,
    to_iob2,
)
from distil.text.cleaning import clean_line

FORMATS = (*CONLL_FORMATS, ".jsonl", ".parquet")


def read_file(path: Path, config: TaskConfig, account: RowAccount, where: str) -> Iterator[TokenRow]:
    """The usable sentences of a .txt, .conll, .conllu, .jsonl or .parquet file, with their tags as they were found.

    Args:
        path: the file.
        config: the block of `tasks:`.
        account: see `usable`; also what reading the file counts.
        where: begins the names of settings in messages, such as "params.yaml: tasks.entities".

    Raises:
        UserError: the file is damaged, lacks a column, or has numbers of tokens where tokens were expected.
    """
    columns = (config.text_column, config.label_column)
    if file_format(path) in CONLL_FORMATS:
        yield from usable(read_conll(path, *columns, label_test(config.labels), where), config, account)
        return
    pairs = with_names(read_rows(path, columns, account.dropped), path, config.label_column, config.labels, account)
    rows = list(usable(pairs, config, account))
    check_tokens(path, [row.tokens for row in rows], f"{where}.text_column to the name")
    yield from rows


def usable(pairs: Iterable[tuple[Any, ...]], config: TaskConfig, account: RowAccount) -> Iterator[TokenRow]:
    """Sentences with cleaned tokens, and a tag of any name for each; those that cannot be used are counted.

    Args:
        pairs: tokens and tags as they were found. Lists that were saved as text are taken as lists and counted.
        config: the block of `tasks:`; each token is in its view.
        account: counts `no_list`, `empty`, `mismatch` (not as many tags as tokens), `no_text` (a token that is no
            text), `not_utf8`, `empty_token`, `no_label`.
    """
    view = config.view
    for found in pairs:
        tokens, tags = map(as_list, found)
        if tokens is None or tags is None:
            account.drop("no_list", described(found[0] if tokens is None else found[1]))
            continue
        if not tokens:
            account.drop("empty")
        elif len(tokens) != len(tags):
            account.drop("mismatch", f"{len(tokens)} tokens, {len(tags)} tags, the first token {cut(tokens[0])}")
        elif wrong := [token for token in tokens if not isinstance(token, str)]:
            account.drop("no_text", described(wrong[0]))
        elif None in (lines := [clean_line(token) for token in tokens]):
            account.drop("not_utf8")
        elif "" in (words := [view(line) for line in lines if line is not None]):
            account.drop("empty_token")
        elif None in (names := [label_text(tag) for tag in tags]):
            account.drop("no_label")
        else:
            account.converted["list_saved_as_text"] += isinstance(found[0], str) or isinstance(found[1], str)
            yield TokenRow(words, [name for name in names if name])


def label_test(labels: Sequence[str]) -> Callable[[str], bool]:
    """For `read_conll`: whether a text is one of the labels, or a tag of one of their types in any scheme."""
    listed, types = frozenset(labels), frozenset(entity_types(labels))

    def is_label(text: str) -> bool:
        tags = [split_tag(text, suffix) for suffix in (False, True)] if types else []
        return text in listed or any(tag.type in types for tag in tags if tag)

    return is_label


def unify(
    files: Sequence[tuple[list[TokenRow], RowAccount]], labels: list[str]
) -> tuple[list[list[TokenRow]], list[str], DetectedScheme | None]:
    """Leave out sentences with tags that are not listed, and bring entity tags into IOB2 (distil/tasks/tag_schemes.py).

    Args:
        files: sentences of each file of a task, and their account, which counts `unknown_label`, and
            `tags_into_iob2` of the sentences whose tags are other ones now.
        labels: of params.yaml. Entity tags may be listed in any scheme, whatever that of the files.

    Returns:
        The sentences that stay, the labels that their tags are of, and the scheme that was found; None where labels
        are no entity tags (parts of speech), which stay as they are.
    """
    types = frozenset(entity_types(labels))
    if not types:
        return [_with_tags(rows, [row.tags for row in rows], labels, account) for rows, account in files], labels, None
    suffix = letter_is_last((tag for rows, _ in files for row in rows for tag in row.tags), types)
    kept, split = [], []
    for rows, account in files:
        known = _split(rows, suffix, types, account)
        kept.append([row for row, _ in known])
        split.append([tags for _, tags in known])
    found = detect((tags for each in split for tags in each), suffix)
    listed = labels_in_iob2(labels)
    staying = [
        _with_tags(rows, list(map(to_iob2, tags)), listed, account)
        for rows, tags, (_, account) in zip(kept, split, files, strict=True)
    ]
    return staying, listed, found


def _split(
    rows: Sequence[TokenRow], suffix: bool, types: frozenset[str], account: RowAccount
) -> list[tuple[TokenRow, list[Tag]]]:
    """The sentences of which every tag is `O` or of a listed type, with their tags in parts."""
    found = []
    for row in rows:
        tags = [split_tag(tag, suffix) for tag in row.tags]
        known = [tag for tag in tags if tag and (tag.type in types or tag.letter == OUTSIDE)]
        if len(known) == len(tags):
            found.append((row, known))
        else:
            account.drop_unknown(name for name, tag in zip(row.tags, tags, strict=True) if tag not in known)
    return found


def _with_tags(
    rows: Sequence[TokenRow], tags: Sequence[list[str]], labels: Sequence[str], account: RowAccount
) -> list[TokenRow]:
    """The sentences with other tags; those of which a tag is not among the labels are left out."""
    listed, found = frozenset(labels), []
    for row, names in zip(rows, tags, strict=True):
        if unknown := [old for old, new in zip(row.tags, names, strict=True) if new not in listed]:
            account.drop_unknown(unknown)
        else:
            account.converted["tags_into_iob2"] += names != row.tags
            found.append(TokenRow(row.tokens, names))
    return found
