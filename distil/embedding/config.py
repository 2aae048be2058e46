"""A block of `embeddings:` in params.yaml: a sentence encoder that is made of the student."""

import re
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Literal

from pydantic import Field, field_validator

from distil.core.errors import UserError
from distil.core.params import PARAMS_FILE, Params, load_languages, load_params, read_params

_NAME = re.compile(r"[a-z0-9_]+")
LIBRARY = "sentence_transformers"


class PairsConfig(Params):
    """`pairs:` of a block: sentences with their translation."""

    path: str = Field(min_length=1)
    patterns: tuple[str, ...] = Field(min_length=1)
    test: str = Field(min_length=1)
    pivot: str = Field(pattern=r"^[a-z]{3}$")
    text_column: str = Field(min_length=1)
    languages: tuple[str, ...]
    max_pairs: int = Field(ge=0, le=10**9)
    max_characters: int = Field(ge=10, le=10**6)
    max_length_ratio: float = Field(gt=1)

    @field_validator("patterns")
    @classmethod
    def _has_place(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if not all("{lang}" in pattern and not PurePath(pattern).is_absolute() for pattern in patterns):
            raise ValueError("expected relative paths with {lang} in them")
        return patterns

    @field_validator("test")
    @classmethod
    def _relative(cls, test: str) -> str:
        if "{" in test or PurePath(test).is_absolute():
            raise ValueError("expected a relative path of one table with a column for each language")
        return test


class EncoderConfig(Params):
    """`training:` of a block: how the student becomes an encoder."""

    seed: int = Field(ge=0, lt=2**31)
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    max_length: int = Field(ge=8, le=512)
    learning_rate: float = Field(gt=0, lt=1)
    warmup_fraction: float = Field(ge=0, lt=1)
    ranking_weight: float = Field(ge=0)
    ranking_scale: float = Field(gt=0)
    checkpoint_every: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"]


class EmbeddingConfig(Params):
    """A block of `embeddings:`."""

    pairs: PairsConfig
    teacher: str = Field(min_length=1)
    training: EncoderConfig
    bootstrap_resamples: int = Field(ge=100)


def check_library() -> None:
    """Raises UserError where sentence-transformers, an extra, is not installed."""
    if find_spec(LIBRARY) is None:
        raise UserError("sentence-transformers is not installed; `pip install 'distil[embed]'`, or empty `embeddings:` "
                        "in params.yaml")  # fmt: skip


def read_embeddings(path: Path = PARAMS_FILE) -> list[str]:
    """The names of the blocks of `embeddings:`.

    Raises:
        UserError: it is no mapping, or a name is no name.
    """
    blocks = read_params(path).get("embeddings")
    if not isinstance(blocks, dict):
        raise UserError(f"{path}: embeddings: expected blocks by name, or {{}} for none, found {blocks!r}")
    if wrong := [name for name in blocks if not (isinstance(name, str) and _NAME.fullmatch(name))]:
        raise UserError(f"{path}: embeddings: expected names of letters a to z, digits and _, found {wrong[0]!r}")
    return list(blocks)


def load_embedding(name: str, path: Path = PARAMS_FILE) -> tuple[EmbeddingConfig, list[str]]:
    """The block NAME of `embeddings:` and its languages, in the order of `languages:`.

    Raises:
        UserError: there is no such block, it is faulty, or it has a language that `languages:` has not.
    """
    if name not in (names := read_embeddings(path)):
        raise UserError(f"{path}: embeddings: expected the block {name}, found {', '.join(names) or 'none'}; add it")
    config, languages = load_params(f"embeddings.{name}", EmbeddingConfig, path), load_languages(path)
    chosen = list(config.pairs.languages) or [code for code in languages if code != config.pairs.pivot]
    where = f"{path}: embeddings.{name}.pairs.languages"
    if unknown := [code for code in chosen if code not in languages]:
        raise UserError(f"{where}: expected languages of `languages:` ({', '.join(languages)}), found {unknown[0]}")
    if config.pairs.pivot in chosen:
        raise UserError(f"{where}: expected languages besides the pivot {config.pairs.pivot}, found it among them")
    if not chosen:
        raise UserError(f"{where}: expected one language besides the pivot {config.pairs.pivot}, found none")
    return config, [code for code in languages if code in chosen]
