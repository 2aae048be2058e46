"""What may be wrong with labelled data as a whole: texts with several labels, the same file twice, missing classes."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from distil.core.files import sha256_json
from distil.tasks.data import SPLITS, Row, TextRow
from distil.tasks.tag_schemes import entity_types, spans, split_tag
from distil.text.overlap import fold_key


class Missing(NamedTuple):
    """A class of which a split has nothing, and the split that has most of it."""

    name: str
    split: str
    most: str | None  # None where no split has any; `split` is then train


def count_overlap(keys: Mapping[str, Sequence[str]]) -> dict[str, int]:
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


def count_conflicts(rows: Sequence[Row]) -> dict[str, int]:
    """How many texts have more than one label, and how many rows have such a text.

    Two texts are the same as for `count_overlap`, two sentences if their tokens are.
    """
    labels: defaultdict[Any, Counter[Any]] = defaultdict(Counter)
    for row in rows:
        if isinstance(row, TextRow):
            labels[fold_key(row.text)][row.label] += 1
        else:
            labels[tuple(row.tokens)][tuple(row.tags)] += 1
    several = [counts for counts in labels.values() if len(counts) > 1]
    return {"texts": len(several), "rows": sum(counts.total() for counts in several)}


def count_classes(rows: Sequence[Row], labels: Sequence[str]) -> dict[str, int]:
    """How many rows have each label; of tagged sentences, how many entities are of each type, or tokens have each tag.

    Args:
        rows: entity tags in IOB2.
        labels: of the rows; their order is that of the result.
    """
    counts: Counter[str] = Counter()
    types = entity_types(labels)
    for row in rows:
        if isinstance(row, TextRow):
            counts[row.label] += 1
        elif types:
            tags = [tag for name in row.tags if (tag := split_tag(name))]
            counts.update(span.type for span in spans(tags))
        else:
            counts.update(row.tags)
    return {name: counts[name] for name in types or labels}


def missing_classes(counts: Mapping[str, Mapping[str, int]]) -> list[Missing]:
    """The classes that a split has not and another has, split by split, and those that no split has.

    Args:
        counts: split -> what `count_classes` gave.
    """
    found = []
    for split in SPLITS:
        for name, count in counts[split].items():
            most = max(SPLITS, key={other: counts[other][name] for other in SPLITS}.__getitem__)
            if count == 0 < counts[most][name]:
                found.append(Missing(name, split, most))
            elif count == counts[most][name] == 0 and split == SPLITS[0]:
                found.append(Missing(name, split, None))
    return found


def same_rows(files: Mapping[str, Sequence[Row]]) -> list[list[str]]:
    """Names of files with the same rows in the same order, such as ["kin/train", "swa/train"]; two or more each."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name, rows in ((name, rows) for name, rows in files.items() if rows):
        groups[sha256_json(rows)].append(name)
    return [names for names in groups.values() if len(names) > 1]
