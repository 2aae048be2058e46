"""Atomic writes of files and folders, and their checksums."""

import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from distil.core.errors import UserError

CHECKSUMS = "checksums.json"


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    """Turn what safetensors and tokenizers raise on a full disk, classes of their own, into the OSError that it is."""
    try:
        yield
    except Exception as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if isinstance(error, OSError) or not found:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it when the block ends well, removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _os_errors(path):
            yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well.

    One process at a time writes a folder. What a killed one left of its temporary folder is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if left.is_dir() and "." not in left.name[len(path.name) + 2 : -len(".tmp")]:
            shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        with _os_errors(path):
            yield temporary
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with LF line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, so that the same value gives the same bytes and git diff shows one line a change."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, made_by: str) -> Any:
    """The value in a JSON file that the stage `made_by` wrote.

    Raises:
        UserError: missing or damaged; names the command that makes it again.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro {made_by}`") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: damaged ({error}); run `dvc repro --force {made_by}`") from None


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def write_checksums(folder: Path, *names: str) -> None:
    """Write checksums.json: the sha256 of every file below `folder`, or of those named only, for `verify_checksums`."""
    files = [folder / name for name in names] or [path for path in sorted(folder.rglob("*")) if path.is_file()]
    sums = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files if path.name != CHECKSUMS}
    write_json(folder / CHECKSUMS, sums)


def verify_checksums(folder: Path, made_by: str, *names: str) -> None:
    """Compare a folder's files, or those named only, with the checksums that the stage `made_by` wrote with them.

    A folder that no stage wrote has none, and nothing is compared.

    Raises:
        UserError: names the first file that is missing or not as it was written, and the command that makes it again.
    """
    if not (folder / CHECKSUMS).is_file():
        return
    sums = read_json(folder / CHECKSUMS, made_by)
    if not isinstance(sums, dict):
        raise UserError(f"{folder / CHECKSUMS}: damaged (no mapping); run `dvc repro --force {made_by}`")
    for name, expected in sums.items():
        path = folder / name
        if names and name not in names:
            continue
        if not path.is_file():
            raise UserError(f"{path}: no such file; run `dvc repro {made_by}`")
        if (found := sha256_file(path)) != expected:
            raise UserError(
                f"{path}: sha256: expected {str(expected)[:12]}, found {found[:12]}; the file is damaged or of another "
                f"run; `dvc repro --force {made_by}` makes it again"
            )


def scratch_folder(*parts: str) -> Path:
    """A folder for unfinished work that outlives a killed run: `.scratch/PARTS` in the main repository.

    DVC_ROOT names the main repository also where DVC runs an experiment in a temporary copy.
    """
    folder = Path(os.environ.get("DVC_ROOT", "."), ".scratch", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def line_batches(text: Path, size: int) -> Iterator[list[str]]:
    """The lines of data/raw/LANG.txt, `size` at a time, without their ends.

    Raises:
        UserError: the file is not UTF-8.
    """
    try:
        with text.open(encoding="utf-8", newline="\n") as stream:
            while batch := [line.rstrip("\n") for line in islice(stream, size)]:
                yield batch
    except UnicodeDecodeError as error:
        raise UserError(f"{text}: not UTF-8 at byte {error.start}; run `dvc repro --force corpus`") from None
