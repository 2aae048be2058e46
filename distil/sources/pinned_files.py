"""Files of pins (distil/datasets/): the addresses of a published data set's files at one commit, and checksums."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.core.params import Params, parse_params
from distil.sources.download import Pin
from distil.sources.local_files import NoFileError


class FilePin(Params):
    """One file."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Pins(Params):
    """A file of pins."""

    name: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    repository: str = Field(min_length=1)
    commit: str = Field(pattern="^[0-9a-f]{40}$")
    address: str = Field(pattern=r"^https?://.*\{file\}")  # {commit} and {file} are filled in
    files: dict[str, FilePin]

    def pin(self, file: str) -> Pin:
        """The address and the checksum of `file`."""
        address = self.address.replace("{commit}", self.commit).replace("{file}", file)
        return Pin(address, self.files[file].sha256, self.files[file].bytes)


def read_pins(path: Path) -> Pins:
    """A file of pins, checked.

    Raises:
        UserError: missing or not of that form.
    """
    try:
        tree: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: not a file of pins ({reason}); expected one such as distil/datasets/afrisenti.yaml"
        ) from None
    if not isinstance(tree, dict) or not isinstance(tree.get("files"), dict):
        raise UserError(f"{path}: expected the keys {', '.join(Pins.model_fields)}, as in distil/datasets/*.yaml")
    files = {str(file): parse_params(entry or {}, FilePin, f"{path}: {file}") for file, entry in tree["files"].items()}
    return parse_params(tree | {"files": files}, Pins, str(path))


def pinned(pins: Pins, path: Path, file: str, where: str) -> Pin:
    """The pin of a file that the pattern of a task names.

    Raises:
        NoFileError: there is none.
    """
    if file not in pins.files:
        listed = ", ".join(list(pins.files)[:4])
        raise NoFileError(f"{where}.pattern: {file} is not in {path}, which has {listed}, ...; mend either")
    return pins.pin(file)


def check_files(pins: Pins, path: Path, folder: Path, files: list[Path], where: str) -> None:
    """Compare files on disk with their pins.

    Raises:
        UserError: a file is not pinned, or is another one.
    """
    for file in files:
        name = file.relative_to(folder).as_posix()
        expected = pinned(pins, path, name, where).sha256
        if (found := sha256_file(file)) != expected:
            raise UserError(
                f"{file}: expected the sha256 {expected} ({pins.name} at commit {pins.commit[:7]}), found {found}; "
                f"fetch it again, or leave {where}.verify empty to use what is there"
            )
