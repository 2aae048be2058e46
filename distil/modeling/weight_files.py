"""Which files of a model folder hold its weights: one file, or shards of any names that an index lists."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

from distil.core.errors import UserError

SAFETENSORS, PICKLED = "model.safetensors", "pytorch_model.bin"
LFS = b"version https://git-lfs"
INDEX = ".index.json"  # behind either name: which shard holds which tensor


class WeightFiles(NamedTuple):
    """Where the weights of a model folder are."""

    form: Literal["safetensors", "pickled"]
    files: list[Path]  # sorted by name


def find_weights(folder: Path, advice: str) -> WeightFiles | None:
    """The weights of a folder, safetensors before pickled ones, a single file before shards; None where it has none.

    Raises:
        UserError: an index is damaged, or lists a file that is not there.
    """
    forms: dict[Literal["safetensors", "pickled"], str] = {"safetensors": SAFETENSORS, "pickled": PICKLED}
    for form, name in forms.items():
        if (folder / name).is_file():
            return _checked(WeightFiles(form, [folder / name]))
        if (index := folder / f"{name}{INDEX}").is_file():
            shards = [folder / shard for shard in read_index(index, advice)]
            if lacking := [path.name for path in shards if not path.is_file()]:
                raise UserError(
                    f"{index}: lists {lacking[0]}, which is not there ({len(lacking)} of {len(shards)} shards are "
                    f"missing); copy or download the folder again, or {advice}"
                )
            return _checked(WeightFiles(form, shards))
    return None


def _checked(weights: WeightFiles) -> WeightFiles:
    """Raises UserError where a clone without Git LFS left a note about a file in the file's place."""
    for path in weights.files:
        with path.open("rb") as stream:
            if stream.read(len(LFS)) == LFS:
                raise UserError(
                    f"{path}: expected weights, found a Git LFS pointer to them; run `git lfs pull` in that folder"
                )
    return weights


def read_index(path: Path, advice: str) -> list[str]:
    """The names of the shards that an index lists, sorted.

    Raises:
        UserError: it is damaged, or a name is not that of a file beside the index.
    """
    try:
        index: Any = json.loads(path.read_text(encoding="utf-8"))
        names = sorted(set(index["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({str(error)[:200]!r}); {advice}") from None
    ending = ".safetensors" if path.name.startswith(SAFETENSORS) else ".bin"
    for name in names or [None]:
        # A name with folders in it could be that of any file of this machine.
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(ending):
            raise UserError(
                f"{path}: weight_map: expected names of {ending} files beside it, found {str(name)[:60]!r}; {advice}"
            )
    return names
