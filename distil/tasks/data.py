"""Reading data/tasks, as the stage `tasks` wrote it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from distil.core.errors import UserError
from distil.core.files import read_json, verify_checksums

SPLITS = ("train", "dev", "test")

Kind = Literal["text_classification", "token_classification"]


class TextRow(NamedTuple):
    """A text and its label."""

    text: str
    label: str


class TokenRow(NamedTuple):
    """A sentence in tokens, and a tag for each."""

    tokens: list[str]
    tags: list[str]


Row = TextRow | TokenRow

_KEYS = {"text_classification": ("text", "label"), "token_classification": ("tokens", "tags")}
_VIEW = ("normalised", "marks", "script")


def row_text(row: Row | tuple[str] | tuple[list[str]]) -> str:
    """The text of a row, labelled or not, whatever its kind; tokens are joined by spaces."""
    text = row[0]
    return text if isinstance(text, str) else " ".join(text)


class Task(NamedTuple):
    """A folder of data/tasks, open for reading."""

    folder: Path
    name: str
    kind: Kind
    labels: list[str]  # in the order of tables
    languages: list[str]
    manifest: dict[str, Any]  # content: docs, internals/design

    def rows(self, language: str, split: str) -> list[TextRow] | list[TokenRow]:
        """The rows of a split (train, dev or test), whatever the kind, in the order of the source.

        In train a second view of a row (`marks: both`) follows the row itself.

        Raises:
            UserError: the task has no such language, or its file is missing or damaged.
        """
        return (self.text_rows if self.kind == "text_classification" else self.token_rows)(language, split)

    def text_rows(self, language: str, split: str) -> list[TextRow]:
        """As `rows`, of a text classification."""
        return [TextRow(row["text"], row["label"]) for row in self._read(language, split, _KEYS["text_classification"])]

    def token_rows(self, language: str, split: str) -> list[TokenRow]:
        """As `rows`, of a token classification."""
        return [
            TokenRow(row["tokens"], row["tags"]) for row in self._read(language, split, _KEYS["token_classification"])
        ]

    def row_numbers(self, language: str) -> list[int]:
        """For each training row the number, from 0, of its labelled row: a second view has that of the first.

        Code that splits training rows keeps rows with one number together.
        """
        found: list[int] = []
        for row in self._read(language, "train", _KEYS[self.kind]):
            found.append((found[-1] if found else -1) + ("second_view" not in row))
        return found

    @property
    def view(self) -> dict[str, Any]:
        """What was done to every text, and has to be done at serving; for the manifests of its models."""
        return {"normalised": False} | {key: self.manifest[key] for key in _VIEW if key in self.manifest}

    def unlabelled_texts(self, language: str) -> list[str]:
        """The texts without a label, of a text classification; none where the task has none."""
        return [row["text"] for row in self._read_unlabelled(language, "text")]

    def unlabelled_tokens(self, language: str) -> list[list[str]]:
        """The sentences without tags, of a token classification; none where the task has none."""
        return [row["tokens"] for row in self._read_unlabelled(language, "tokens")]

    def _read_unlabelled(self, language: str, key: str) -> Iterator[dict[str, Any]]:
        if "unlabelled" in self.manifest["languages"].get(language, {}):
            yield from self._read(language, "unlabelled", (key,))

    def texts(self, language: str, split: str) -> list[str]:
        """The text of each row, as `row_text`."""
        return [row_text(row) for row in self.rows(language, split)]

    def _read(self, language: str, split: str, keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        path = self.folder / language / f"{split}.jsonl"
        repair = f"run `dvc repro --force tasks@{self.name}`"
        if language not in self.languages:
            raise UserError(f"{self.folder}: expected rows of {language}, found {', '.join(self.languages)}; {repair}")
        found = 0
        try:
            expected = self.manifest["languages"][language][split]["rows"]
            with path.open(encoding="utf-8", newline="\n") as stream:
                for found, line in enumerate(stream, 1):  # noqa: B007
                    row = json.loads(line)
                    if not isinstance(row, dict) or set(row) - {"second_view"} != set(keys):
                        raise ValueError(f"row {found} has not the keys {' and '.join(keys)}")
                    yield row
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; {repair}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path}: damaged ({error}); {repair}") from None
        if found != expected:
            raise UserError(f"{path}: expected {expected} rows, found {found}; {repair}")


def read_task(folder: Path) -> Task:
    """Open a folder such as data/tasks/sentiment.

    Raises:
        UserError: missing or damaged; names the command that makes it again.
    """
    stage = f"tasks@{folder.name}"
    verify_checksums(folder, stage)
    manifest = read_json(folder / "manifest.json", stage)
    try:
        kind, labels, languages = manifest["kind"], list(manifest["labels"]), list(manifest["languages"])
        if kind not in ("text_classification", "token_classification"):
            raise KeyError("kind")
        return Task(folder, manifest["task"], kind, labels, languages, manifest)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder}/manifest.json: damaged (no usable {error}); run `dvc repro --force {stage}`"
        ) from None


def held_out_texts(tasks_folder: Path, language: str) -> Iterator[str]:
    """The dev and test texts of a language in every task below `tasks_folder`.

    Raises:
        UserError: there is no task, which would leave its texts in what a model is trained on, or one is damaged.
    """
    if not tasks_folder.is_dir():
        raise UserError(f"{tasks_folder}: no such folder; run `dvc repro tasks`")
    manifests = sorted(tasks_folder.glob("[!.]*/manifest.json"))
    if not manifests:
        raise UserError(f"{tasks_folder}: expected labelled data, found no task in it; run `dvc repro tasks`")
    for manifest in manifests:
        task = read_task(manifest.parent)
        if language in task.languages:
            for split in ("dev", "test"):
                yield from task.texts(language, split)
