"""Labels that a Parquet file of the Hugging Face hub holds as numbers, by the names that it keeps for them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from distil.sources.local_files import file_format
from distil.sources.tables import class_names
from distil.sources.text_streams import reading
from distil.tasks.account import RowAccount


def with_names(
    pairs: Iterable[tuple[Any, ...]], path: Path, column: str, labels: Sequence[str], account: RowAccount
) -> Iterator[tuple[Any, Any]]:
    """The pairs with names for numbers in their second part, alone or in a list.

    Where params.yaml lists the numbers themselves as labels, or the file keeps no names, the pairs stay as they are.

    Args:
        pairs: text and label, or tokens and tags.
        path: of the file.
        column: with the labels.
        labels: of params.yaml.
        account: counts `numbers_to_names`.
    """
    names: list[str] = []
    if file_format(path) == ".parquet":
        with reading(path):
            names = class_names(path, column)
    if {str(number) for number in range(len(names))} <= set(labels):
        names = []

    def name(value: Any) -> Any:
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else value

    for text, label in pairs:
        named = [name(each) for each in label] if isinstance(label, list) else name(label)
        account.converted["numbers_to_names"] += named != label
        yield text, named
