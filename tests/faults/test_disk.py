"""A full disk and a folder that may not be written to: one sentence, nothing half-written, and it goes on later.

A file system of its own (tmpfs) where mounting is allowed, as root in a container; skipped elsewhere.
"""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from distil.runtime.process import run_command
from tests.faults.pipeline import BY_NAME, Zygote, contents, copy_of

FILLED = ["tasks@sentiment", "corpus", "vocabulary", "tokenize", "cache_teacher", "distil",
          "finetune_student@sentiment", "export"]  # fmt: skip


def mount(folder: Path, options: str) -> bool:
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, "size=64m"):
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, leave: int) -> Path:
    """A file that takes all of the file system but so many bytes."""
    path = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(1, free - leave))
    return path


@pytest.mark.faults
@pytest.mark.parametrize("name", FILLED)
def test_a_full_disk_is_told_and_the_stage_goes_on_when_there_is_space(
    pipeline: Path, zygote: Zygote, small_disk: Path, name: str
) -> None:
    step = BY_NAME[name]
    root = copy_of(pipeline, small_disk / "repository", tuple(step.outs))
    ballast = fill(small_disk, 8192)
    log = small_disk.parent / "said.log"  # what a stage says must not need the disk that is full
    status = zygote.wait(zygote.start(root, step, log=log))
    said = log.read_text(encoding="utf-8")
    assert status == 1 and "Traceback" not in said, said
    last = said.splitlines()[-1]
    assert last.startswith("error: ") and "No space left on device" in last and "free space" in last, said
    assert f"dvc repro {name}" in last
    # What could not be written whole is not there: nothing takes the place of an out.
    assert not (root / step.outs[0]).exists() and not list((root / "data").rglob("*.tmp"))
    ballast.unlink()
    zygote.run(root, name)
    assert contents(root, step.outs) == contents(pipeline, step.outs)


@pytest.mark.faults
@pytest.mark.parametrize("name", FILLED)
def test_a_folder_that_may_not_be_written_to_is_told(
    pipeline: Path, zygote: Zygote, small_disk: Path, name: str
) -> None:
    step = BY_NAME[name]
    root = copy_of(pipeline, small_disk / "repository", tuple(step.outs))
    log = small_disk.parent / "said.log"
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    status = zygote.wait(zygote.start(root, step, log=log))
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    said = log.read_text(encoding="utf-8")
    assert status == 1 and "Traceback" not in said, said
    assert "Read-only file system" in said.splitlines()[-1] and "allow writing" in said.splitlines()[-1], said
    zygote.run(root, name)
    assert contents(root, step.outs) == contents(pipeline, step.outs)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_the_file_system_refuses_is_one_sentence_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    handler = signal.getsignal(signal.SIGTERM)

    def main() -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "file"))

    monkeypatch.setenv("DVC_STAGE", "corpus")
    try:
        with pytest.raises(SystemExit) as end:
            run_command(main)
    finally:
        signal.signal(signal.SIGTERM, handler)
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 1
    assert line == (f"error: {tmp_path}/file: {os.strerror(number)}; free space or allow writing, then "
                    "`dvc repro corpus`")  # fmt: skip
