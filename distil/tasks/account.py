"""What becomes of the rows of a split: kept, changed or dropped, with the reason, and labels that are not listed."""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

from distil.core.errors import described

MAX_LABELS = 20  # unknown labels that are kept by name, the most frequent ones
_MAX_LABEL = 40  # characters of one in messages and manifests


class RowAccount:
    """Counts of the rows of one split, by reason."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.converted: Counter[str] = Counter()  # rows that were kept in another form
        self.unknown: Counter[str] = Counter()  # label that is not listed -> rows
        self.examples: dict[str, str] = {}  # reason -> what was found in the first such row

    def drop(self, reason: str, found: str | None = None) -> None:
        """Count a row that is left out."""
        self.dropped[reason] += 1
        if found is not None:
            self.examples.setdefault(reason, found)

    def drop_unknown(self, labels: Iterable[str]) -> None:
        """Count a row that is left out because of labels that are not listed."""
        self.drop("unknown_label")
        self.unknown.update(dict.fromkeys((label[:_MAX_LABEL] for label in labels), 1))

    def reasons(self) -> str:
        """Such as "empty 2, no_text 3 (a list, ['a'])"."""
        return ", ".join(
            f"{reason} {count:,}" + (f" ({self.examples[reason]})" if reason in self.examples else "")
            for reason, count in sorted(self.dropped.items())
        ) or "none"  # fmt: skip


def label_text(label: Any) -> str | None:
    """A label as text: of a whole number, also of one that a table holds as 1.0, its digits; None if there is none."""
    if label is None or label == "" or (isinstance(label, float) and math.isnan(label)):
        return None
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label) if isinstance(label, str | int) else described(label)


def hint(label: str, labels: Iterable[str]) -> str | None:
    """The listed label that differs from `label` only in case, white space or the form of its characters."""
    return next((known for known in labels if _plain(known) == _plain(label)), None)


def _plain(label: str) -> str:
    return unicodedata.normalize("NFKC", "".join(label.split())).casefold()


def unknown_labels(unknown: Counter[str], labels: Iterable[str]) -> str:
    """Such as "'Neutral' 40 rows (`labels:` has 'neutral'), 'x' 1 row"; the most frequent ones first."""
    named = [
        f"{label!r} {count:,} row" + ("s" if count > 1 else "") + (f" (`labels:` has {known!r})" if known else "")
        for label, count in unknown.most_common(MAX_LABELS)
        for known in [hint(label, labels)]
    ]
    return ", ".join(named) + (f" and {len(unknown) - MAX_LABELS} more" if len(unknown) > MAX_LABELS else "")
