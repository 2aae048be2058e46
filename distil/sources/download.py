"""Files from the network, known by their sha256: fetched once into .scratch/downloads, resumed, checked, then used."""

import logging
import os
import time
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from distil.core.errors import UserError
from distil.core.files import scratch_folder, sha256_file

log = logging.getLogger("distil")

ATTEMPTS = 5  # without a byte between
FIRST_WAIT_SECONDS = 1.0  # doubled each time
LONGEST_WAIT_SECONDS = 60.0  # also where the server asks for more
TIMEOUT_SECONDS = (10.0, 30.0)  # to connect, and for the next bytes to come

_CHUNK = 2**16  # bytes; the last, incomplete one is lost when a connection breaks


class Pin(NamedTuple):
    """A file as it was when it was tested with."""

    address: str
    sha256: str
    bytes: int


class _Passing(Exception):
    """A trouble after which another attempt may succeed."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait  # seconds that the server asks for


def fetch(pin: Pin) -> Path:
    """The pinned file on this disk, downloaded if it is not there yet.

    What has come before a fault stays as `NAME.part` and is gone on with, also by the next run; the file takes its name
    only when all of it is there and its checksum is right.

    Raises:
        UserError: no network, no such address, or not the pinned bytes.
    """
    folder = scratch_folder("downloads", pin.sha256)
    path = folder / pin.address.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    with FileLock(folder / "lock"):  # another stage or experiment may want the same file
        part = path.with_name(path.name + ".part")
        for attempt in ("resumed", "afresh"):
            if path.is_file():
                break
            if attempt == "afresh":
                part.unlink(missing_ok=True)
            _fetch_all(pin, part)
            found = sha256_file(part)
            if found == pin.sha256:
                os.replace(part, path)
            elif attempt == "afresh":
                part.unlink()
                raise UserError(
                    f"{pin.address}: expected the sha256 {pin.sha256}, found {found}: not the file that is pinned, or "
                    "something between here and there changes it; compare with a download by hand"
                )
    return path


def _fetch_all(pin: Pin, part: Path) -> None:
    """Download what is missing of `part`, in as many attempts as are useful."""
    failures = 0
    while (size := _size(part)) < pin.bytes or not part.is_file():
        try:
            _fetch_rest(pin, part, size)
        except _Passing as trouble:
            failures = failures + 1 if _size(part) <= size else 1
            if failures >= ATTEMPTS:
                raise UserError(
                    f"{pin.address}: could not be downloaded ({trouble}), {ATTEMPTS} attempts; run again when the "
                    "network is back (it goes on where it stopped), or fetch the files elsewhere, set `source: files` "
                    "and `path` to their folder"
                ) from None
            seconds = min(max(FIRST_WAIT_SECONDS * 2 ** (failures - 1), trouble.wait), LONGEST_WAIT_SECONDS)
            log.warning("%s: %s; attempt %d of %d in %.0f s", pin.address, trouble, failures + 1, ATTEMPTS, seconds)
            time.sleep(seconds)


def _fetch_rest(pin: Pin, part: Path, size: int) -> None:
    """One request for the bytes from `size` on."""
    import requests

    headers = {"Accept-Encoding": "identity", "User-Agent": "distil"}
    if size:
        headers["Range"] = f"bytes={size}-"
    try:
        with requests.get(pin.address, headers=headers, timeout=TIMEOUT_SECONDS, stream=True) as answer:
            status = answer.status_code
            if status in (408, 425, 429) or status >= 500:
                raise _Passing(f"HTTP {status} {answer.reason}", _seconds(answer.headers.get("Retry-After")))
            if status == 416:  # there is no more: what is here is not the beginning of it
                part.unlink()
                return
            if status not in (200, 206):
                raise UserError(
                    f"{pin.address}: HTTP {status} {answer.reason}; the address is gone or not for everybody: "
                    "correct it in the file of pins, or fetch the files elsewhere, set `source: files` and `path` to "
                    "their folder"
                )
            with part.open("ab" if status == 206 else "wb") as stream:
                for chunk in answer.iter_content(_CHUNK):
                    stream.write(chunk)
                    if stream.tell() > pin.bytes:
                        part.unlink()
                        raise UserError(
                            f"{pin.address}: expected {pin.bytes:,} bytes, found more: not the file that is pinned"
                        )
        if _size(part) < pin.bytes:
            raise _Passing(f"{_size(part):,} of {pin.bytes:,} bytes came")
    except requests.RequestException as error:
        raise _Passing(type(error).__name__ + ": " + str(error).splitlines()[0][:200]) from None


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _seconds(asked: str | None) -> float:
    """What a Retry-After header asks for; a date counts as nothing."""
    return float(asked) if asked and asked.isdigit() else 0.0
