"""Check an installation: what is there, what is missing, and the command that adds it."""

import argparse
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, NoReturn

from distil.core.errors import UserError
from distil.runtime.machine import machine
from distil.runtime.process import run_command
from distil.runtime.standard_streams import write_output

NEWEST, OLDEST = (3, 13), (3, 11)
# A module of each part of the package, by the name of the extra that brings it.
PARTS = {
    "predict": ("numpy", "onnxruntime", "tokenizers"),
    "train": ("torch", "transformers", "sentencepiece", "pydantic"),
    "pipeline": ("dvc", "mlflow", "datasets", "sklearn", "matplotlib", "onnx"),
}
FREE_GB = 5  # of disk for the sample with its caches


class Check(NamedTuple):
    """A line of the output."""

    state: str  # ok, missing (a command does not work), note
    text: str


def checks(root: Path) -> Iterator[Check]:
    """All checks, in the order of the output."""
    python = sys.version_info[:2]
    found = f"Python {platform.python_version()}"
    if python < OLDEST or python > NEWEST:
        low, high = (".".join(map(str, each)) for each in (OLDEST, NEWEST))
        yield Check("note", f"{found}: tested with {low} to {high}; a package may have no wheel for it")
    else:
        yield Check("ok", found)
    for part, modules in PARTS.items():
        missing = [name for name in modules if find_spec(name) is None]
        fix = "pip install distil" if part == "predict" else f"pip install 'distil[{part}]'; in a clone `make env`"
        if missing:
            yield Check("missing", f"packages for {part}: no {', '.join(missing)}; {fix}")
        else:
            yield Check("ok", f"packages for {part}: {', '.join(f'{name} {_version(name)}' for name in modules[:2])}")
    yield Check("ok", machine())
    yield _gpu()
    free = shutil.disk_usage(root).free / 1e9
    yield Check("ok" if free >= FREE_GB else "note", f"{free:.0f} GB free in {root}")
    yield from _clone(root)


def _clone(root: Path) -> Iterator[Check]:
    """What the pipeline needs of the folder worked in."""
    if not (root / "dvc.yaml").is_file():
        yield Check(
            "note", f"{root} is no clone of the repository: `predict` and `publish` work, the pipeline does not"
        )
        return
    for name, path in (("Git", ".git"), ("DVC", ".dvc")):
        there = (root / path).exists()
        yield Check(
            "ok" if there else "missing", f"{name}: {path}{'' if there else f' is missing; `{name.lower()} init`'}"
        )
    if shutil.which("git") is None:
        yield Check("missing", "git is not on PATH; DVC needs it for experiments")
    seen = shutil.which("python")
    if seen is None or Path(seen).resolve() != Path(sys.executable).resolve():
        yield Check("note", f"DVC starts stages with `python`, here {seen or 'none'}, and this is {sys.executable}; "
                    "activate the environment first")  # fmt: skip
    from distil.core.params import load_languages

    try:
        yield Check("ok", f"params.yaml: languages {', '.join(load_languages(root / 'params.yaml'))}")
    except UserError as error:
        yield Check("missing", str(error))


def _gpu() -> Check:
    """The GPU, as the driver names it: importing torch would take seconds."""
    try:
        asked = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
        names = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        names = ""
    return (
        Check("ok", f"GPU: {names.splitlines()[0]}")
        if names
        else Check("note", "no NVIDIA GPU; everything runs on CPU")
    )


def _version(module: str) -> str:
    try:
        return version(module)
    except PackageNotFoundError:
        return "(version unknown)"


def main() -> None:
    """Print all checks; a fault where one failed."""
    parser = argparse.ArgumentParser(prog="distil doctor", description=(__doc__ or "").strip())
    parser.parse_args()
    found = list(checks(Path.cwd()))
    write_output("".join(f"{check.state:<8} {check.text}\n" for check in found).encode())
    if missing := sum(check.state == "missing" for check in found):
        raise UserError(f"distil doctor: {missing} of {len(found)} checks failed, named above with what to do")


def run() -> NoReturn:
    """The command."""
    run_command(main)
