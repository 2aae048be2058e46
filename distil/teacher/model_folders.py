"""Folders of models that share a teacher's pieces: to be merged with it, or to predict beside it."""

from pathlib import Path

from distil.core.errors import UserError
from distil.core.files import sha256_file, sha256_json
from distil.modeling.tokenizer import read_tokenizer_json


def model_folders(path: Path, least: int, key: str, without: str) -> list[Path]:
    """The models below `path`, by name.

    Args:
        path: a folder.
        least: how many are expected.
        key: of params.yaml, whose value `path` is.
        without: ends the error: how to do without them.

    Raises:
        UserError: there are fewer.
    """
    found = sorted(folder for folder in path.iterdir() if (folder / "config.json").is_file()) if path.is_dir() else []
    if len(found) < least:
        raise UserError(
            f"params.yaml: {key}: {path}: expected {least} or more folders of models with the teacher's pieces, "
            f"found {len(found)}; put them there, or {without}"
        )
    return found


def check_pieces(folder: Path, teacher: Path) -> None:
    """Raises UserError where a model has other pieces than the teacher."""
    ours, theirs = (read_tokenizer_json(each / "tokenizer.json", "teacher") for each in (teacher, folder))
    if ours["model"]["vocab"] != theirs["model"]["vocab"]:
        raise UserError(
            f"{folder / 'tokenizer.json'}: expected the pieces of the teacher, found others; take models adapted from "
            "the teacher, with teacher.adapt.new_pieces 0"
        )


def weights_sha256(folder: Path) -> str:
    """One checksum of a model's weights, whatever the number of their files."""
    return sha256_json({path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))})
