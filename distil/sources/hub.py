"""The Hugging Face hub: data sets streamed at one commit, of which nothing stays on disk, and snapshots of models."""

import logging
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distil.core.errors import UserError
from distil.core.files import sha256_file
from distil.sources.blocks import in_blocks

log = logging.getLogger("distil")

# The hub's client tries again itself, for a minute or so. Beyond that a stream resumes where it broke, until it
# has failed as often as this without a row between.
ATTEMPTS = 4
FIRST_WAIT_SECONDS = 2.0  # doubled each time

_STATUS_HINTS = {
    401: "it is private, gated or misspelt: accept its terms on the hub and log in (`hf auth login`, or HF_TOKEN)",
    403: "it is gated: accept its terms on the hub with the account of your token (`hf auth login`, or HF_TOKEN)",
    404: "check dataset, config, split and revision in params.yaml",
    429: "the hub asks for patience: run again later, and set a token (`hf auth login`) for a larger allowance",
}
_OTHER_HINT = "check dataset, config, split and revision in params.yaml and the network, or use `source: files`"


def hub_commit(dataset: str, revision: str) -> str:
    """The commit that a branch, tag or commit of a hub data set resolves to.

    Raises:
        UserError: the hub cannot be reached or has no such data set or revision.
    """
    from huggingface_hub import HfApi, constants

    failures = 0
    while True:
        try:
            found = HfApi().dataset_info(dataset, revision=revision, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
            return str(found.sha)
        except _troubles() as error:
            failures += 1
            _wait_or_give_up(error, f"{dataset} at {revision}", failures)


def hub_blocks(
    dataset: str, config: str, split: str, commit: str, column: str, dropped: Counter[str]
) -> Iterator[bytes]:
    """The texts of a hub data set in blocks, as `distil.sources.local_files.read_blocks` gives those of a file.

    Args:
        dataset: its id.
        config: its name within the data set.
        split: as the hub calls it.
        commit: from `hub_commit`.
        column: the one with the text, of which each line is a text.
        dropped: counts `no_text`.

    Raises:
        UserError: the hub cannot be reached, or has no such data or column.
    """
    return in_blocks((row[column] for row in _rows(dataset, config, split, commit, column)), dropped)


def hub_snapshot(name: str, revision: str, patterns: list[str], section: str = "teacher") -> Path:
    """The files of a model in the hub's own cache; the folder is named for the commit that `revision` resolves to.

    Args:
        name: the model's id.
        revision: commit, tag or branch.
        patterns: globs of the files wanted.
        section: of params.yaml that names the model, for errors.

    Raises:
        UserError: the hub cannot be reached and its cache has no copy, or there is no such model or revision for us.
    """
    from huggingface_hub import errors, snapshot_download

    transport: type[Exception] = getattr(errors, "HTTPError")  # noqa: B009  # of the HTTP library that the hub uses
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (errors.HfHubHTTPError, ValueError) as error:
        raise UserError(
            f"params.yaml: {section}: {name} at revision {revision}: {_first_line(error)}; check the id, the revision, "
            "and for a gated or private model the token (`hf auth login`, or HF_TOKEN)"
        ) from None
    except (errors.LocalEntryNotFoundError, transport, ConnectionError):
        raise UserError(
            f"params.yaml: {section}.id: {name}: the hub cannot be reached and no copy is in its cache; go online "
            f"once, or set {section}.source to folder and {section}.path to a copy"
        ) from None
    _check_blobs(folder, name, patterns, section)
    return folder


def hub_files(name: str, revision: str) -> list[str]:
    """The names of a model's files; none where the hub cannot be reached."""
    from huggingface_hub import HfApi, errors

    transport: type[Exception] = getattr(errors, "HTTPError")  # noqa: B009  # of the HTTP library that the hub uses
    try:
        return list(HfApi().list_repo_files(name, revision=revision))
    except (OSError, ValueError, transport):
        return []


def _check_blobs(folder: Path, name: str, patterns: list[str], section: str) -> None:
    """Compare large files with their sha256, for which the hub's cache names them; the client compares sizes only."""
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        blob = path.resolve()
        if re.fullmatch("[0-9a-f]{64}", blob.name) and sha256_file(blob) != blob.name:
            blob.unlink()
            path.unlink()
            raise UserError(
                f"params.yaml: {section}.id: {name}: {path.name} came with another sha256 than the hub names, and was "
                "deleted; run again to fetch it anew"
            )


def _rows(dataset: str, config: str, split: str, commit: str, column: str) -> Iterator[dict[str, Any]]:
    """Rows in order; a stream that breaks is taken up behind the last row that came."""
    import datasets

    # Its own waiting (20 times 5 to 60 seconds, after huggingface_hub's) would come on top of ours.
    datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = 1
    datasets.config.STREAMING_READ_RETRY_INTERVAL = datasets.config.STREAMING_OPEN_RETRY_INTERVAL = 0
    datasets.config.STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL = 0
    datasets.config.STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL = 0
    failures, rows = 0, None
    while True:
        try:
            if rows is None:
                rows = datasets.load_dataset(dataset, config, split=split, revision=commit, streaming=True)
            for row in rows:
                if column not in row:
                    raise UserError(f"{dataset}: expected a column `{column}`, found {', '.join(row)}")
                yield row
                failures = 0
            return
        except _troubles() as error:
            failures += 1
            _wait_or_give_up(error, f"{dataset} at {commit}", failures)
            if rows is not None:
                rows.load_state_dict(rows.state_dict())


def _troubles() -> tuple[type[Exception], ...]:
    """What the hub's clients raise."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the HTTP library it is built on

    return (OSError, ValueError, DatasetsError, HTTPError)


def _wait_or_give_up(error: Exception, what: str, failures: int) -> None:
    """Wait, longer each time, where it may help; otherwise raise one sentence that says what to do."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    reason = _first_line(error)
    if _may_pass(error, status) and failures < ATTEMPTS:
        seconds = FIRST_WAIT_SECONDS * 2 ** (failures - 1)
        log.warning("%s: %s; attempt %d of %d in %.0f s", what, reason, failures + 1, ATTEMPTS, seconds)
        time.sleep(seconds)
        return
    hint = _STATUS_HINTS.get(status, _OTHER_HINT)
    raise UserError(f"{what}: the hub gave no data ({reason}); {hint}") from None


def _may_pass(error: Exception, status: int) -> bool:
    """Whether the same call may succeed later: the server is busy or a connection broke."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    if isinstance(error, OfflineModeIsEnabled | FileNotFoundError):
        return False
    if status:
        return status in (408, 429) or status >= 500
    return isinstance(error, ConnectionError | TimeoutError | HTTPError) and not isinstance(error, HfHubHTTPError)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
