"""Text of a task's kind without labels, in the task's own shape: what a fine-tuned teacher may label."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from distil.sources.local_files import TABLE_FORMATS, TEXT_FORMATS, find_files, read_blocks
from distil.sources.synthetic import read_lexicon, unlabelled_texts
from distil.tasks.account import RowAccount
from distil.tasks.config import TaskConfig
from distil.text.cleaning import clean_line
from distil.text.overlap import HeldOut, fold_key
from distil.text.words import into_tokens


class UnlabelledText(NamedTuple):
    """A text."""

    text: str


class UnlabelledTokens(NamedTuple):
    """A sentence in tokens."""

    tokens: list[str]


def unlabelled_rows(
    name: str, config: TaskConfig, language: str, texts: dict[str, list[str]], account: RowAccount
) -> Iterator[UnlabelledText | UnlabelledTokens]:
    """The usable texts of a language, each once, without those of the task's own splits.

    Args:
        name: of the task.
        config: its block of `tasks:`.
        language: code.
        texts: split -> the text of each of its rows.
        account: counts `not_utf8`, `empty`, `empty_after_normalising`, `held_out` (it gives away a dev or test text),
            `in_train`, `duplicate` and what reading the file counts.
    """
    view = config.view
    held_out = HeldOut([*texts["dev"], *texts["test"]])
    train = frozenset(map(fold_key, texts["train"]))
    seen = set(train)
    for text in _texts(name, config, language, account):
        line = clean_line(text)
        if not line:
            account.drop("not_utf8" if line is None else "empty")
            continue
        cleaned, line = line, view(line)
        key = fold_key(line)
        if not line:
            account.drop("empty_after_normalising")
        elif key in train:
            account.drop("in_train")
        elif key in seen:
            account.drop("duplicate")
        elif line in held_out:
            account.drop("held_out")
        else:
            seen.add(key)
            if config.kind == "text_classification":
                yield UnlabelledText(line)
            else:
                yield UnlabelledTokens([word for token in into_tokens(cleaned) if (word := view(token))])


def _texts(name: str, config: TaskConfig, language: str, account: RowAccount) -> Iterable[str]:
    if config.source == "sample":
        yield from unlabelled_texts(read_lexicon(Path(config.unlabelled_path), language))
        return
    where = f"params.yaml: tasks.{name}: unlabelled"
    formats = (*TEXT_FORMATS, *TABLE_FORMATS)
    for path in find_files(config.unlabelled_path, config.unlabelled, {"lang": language}, formats, where):
        for block in read_blocks(path, config.text_column, account.dropped):
            yield from block.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")
