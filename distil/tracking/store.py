"""Where MLflow keeps runs and artifacts: the address, one process at a time, and no credentials in a log."""

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from filelock import FileLock

log = logging.getLogger("distil")

EXPERIMENT = "distil"
ARTIFACTS = "mlartifacts"
LOCK_SECONDS = 120.0  # several workers may wait while the first creates the tables (up to 10 s)
SQLITE_SECONDS = 20.0

_SQLITE = re.compile(r"(sqlite(?:\+\w+)?):(/{0,3})([^?]*)(\?.*)?")
_DATABASES = ("postgresql", "mysql", "mssql")
_NAMED = ("databricks", "databricks-uc", "uc")  # addresses without a scheme that are no paths


def root() -> Path:
    """The repository: in a queued experiment DVC_ROOT, since the folder worked in is deleted when it ends."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or mlflow.db; relative ones are below the repository."""
    return absolute_uri(os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db", root())


def absolute_uri(uri: str, base: Path) -> str:
    """A relative SQLite file or folder as an absolute one below `base`; every other address as it is."""
    if match := _SQLITE.fullmatch(uri):
        driver, slashes, path, options = match.groups(default="")
        if slashes not in ("", "///") or path.startswith(("/", ":memory:", "file:")) or not path:
            return uri
        return f"{driver}:///{_joined(base, path).as_posix()}{options}"
    if uri.startswith("file:") and not uri.startswith("file:/"):
        return _joined(base, uri.removeprefix("file:")).as_uri()
    if ":" not in uri and uri not in _NAMED:
        return str(_joined(base, uri))
    return uri


def _joined(base: Path, path: str) -> Path:
    return Path(os.path.normpath(base / path))


def sqlite_path(uri: str) -> Path | None:
    """The file of an absolute SQLite address."""
    match = _SQLITE.fullmatch(uri)
    return Path(match[3]) if match and match[2] == "///" and match[3].startswith("/") else None


def artifact_folder(uri: str) -> Path | None:
    """The folder of a new experiment's artifacts; None where a server or a file store decides.

    Beside a SQLite file, so that it moves with it and belongs to all clones that share it.
    """
    if path := sqlite_path(uri):
        return path.parent / ARTIFACTS
    return root() / ARTIFACTS if uri.startswith(_DATABASES) else None


@contextmanager
def first_touch(uri: str) -> Iterator[None]:
    """One process at a time: two that create the tables of a new SQLite store together break it for good.

    A SQLite store that was moved or copied then keeps artifacts beside it, and no longer where it was made.
    """
    path = sqlite_path(uri)
    lock = root() / ".scratch" / "mlflow.lock" if path is None else path.with_name(path.name + ".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock, timeout=LOCK_SECONDS):
        if path is not None:
            # MLflow would try a damaged or read-only file ten times over, for 100 s.
            with closing(sqlite3.connect(path, timeout=SQLITE_SECONDS)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise sqlite3.DatabaseError(found.splitlines()[-1])
                _take_along(connection, path.parent / ARTIFACTS)
                connection.commit()
        yield


def _take_along(connection: sqlite3.Connection, folder: Path) -> None:
    """Point the experiment, and the runs whose files are there or nowhere, to `folder`.

    MLflow has no call for it. Only what `artifact_folder` gave is replaced, never a place that somebody chose.
    """
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return
    query = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?"
    for experiment, old in connection.execute(query, (EXPERIMENT,)).fetchall():
        new = folder.as_uri()
        if not old or old == new or not old.startswith("file:") or not old.endswith(f"/{ARTIFACTS}"):
            continue
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (new, experiment))
        query = "SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = ?"
        for run, uri in connection.execute(query, (experiment,)).fetchall():
            if (uri or "").startswith(f"{old}/"):
                moved = new + uri.removeprefix(old)
                if local_path(moved).is_dir() or not local_path(uri).is_dir():
                    connection.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (moved, run))
        log.info("MLflow: the store was moved or copied; artifacts are kept in %s, no longer in %s", new, old)


def local_path(uri: str) -> Path:
    """The folder of a `file:` address."""
    return Path(url2pathname(urlsplit(uri).path))


def is_foreign(uri: str, location: str) -> bool:
    """Whether artifacts would go into a folder of another clone or machine.

    Args:
        uri: of the store.
        location: the experiment's `artifact_location`.
    """
    if sqlite_path(uri) or not location.startswith(("file:", "/")):
        return False
    if ours := artifact_folder(uri):
        return location.endswith(f"/{ARTIFACTS}") and local_path(location) != ours
    return uri.startswith("http") and not local_path(location).is_dir()


# ---- credentials


def masked(text: str) -> str:
    """`text` without credentials: addresses up to the last @, parameters, and parts of the store's own password."""
    text = re.sub(r"//\S*@", "//...@", text)
    text = re.sub(r"(?i)\b((?:password|passwd|pwd|token|secret|key)=)[^&\s'\"]+", r"\1...", text)
    for part in _secrets():
        text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "...", text)
    return text


def _secrets() -> list[str]:
    """The password of MLFLOW_TRACKING_URI, and what libraries take for host, port or path where it has a / or @.

    The longest first, so that no part is replaced inside a longer one.
    """
    found = re.match(r"[\w+.-]+://(\S*)@", os.environ.get("MLFLOW_TRACKING_URI", ""))
    password = found[1].partition(":")[2] if found else ""
    both = {password, unquote(password)}
    parts = {part for each in both for part in (each, *re.split("[/@:?#]", each)) if part}
    return sorted(parts, key=lambda part: (-len(part), part))


class _Masking(logging.Filter):
    """Masks what libraries log, such as an attempt that is made again."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if (safe := masked(text)) != text:
            record.msg, record.args = safe, ()
        return True


_MASKING = _Masking()


def mask_logs() -> None:
    """Mask every record that a handler of MLflow or of the root logger writes from now on."""
    for name in (None, "mlflow", "alembic", "sqlalchemy", "urllib3"):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_MASKING)
