"""Stages run with other settings, in a folder of their own that shares everything else with this checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from distil.core.errors import UserError
from distil.core.files import write_text
from distil.core.params import read_params
from distil.runtime.presets import apply_values


def run_stages(folder: Path, shared: tuple[str, ...], values: dict[str, Any], *stages: list[str]) -> None:
    """Run stages one after another in `folder`; nothing happens where they are finished with the same settings.

    Args:
        folder: made where it is missing; what the stages write is below it.
        shared: files and folders of this checkout that appear there as links.
        values: what differs from params.yaml, `section.key` -> value.
        stages: words after `python -m`, as ["stages.finetune", "student", "sentiment"].

    Raises:
        UserError: a stage failed. What it had finished is kept in .scratch, so a second call continues.
    """
    (folder / "models").mkdir(parents=True, exist_ok=True)
    for part in shared:
        if not (folder / part).is_symlink():
            (folder / part).symlink_to(Path(part).absolute())
    shutil.copyfile("params.yaml", folder / "params.yaml")
    apply_values(values, folder / "params.yaml")
    finished, settings = folder / "finished.yaml", yaml.safe_dump(read_params(folder / "params.yaml"))
    if finished.is_file() and finished.read_text(encoding="utf-8") == settings:
        return
    # MLflow takes no run of a benchmark.
    environment = {**os.environ, "DVC_ROOT": str(Path.cwd()), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    for words in stages:
        command = [sys.executable, "-m", *words]
        if subprocess.run(command, cwd=folder, env=environment, check=False).returncode:
            raise UserError(f"{' '.join(command[2:])} in {folder} failed; mend what it says and run again")
    write_text(finished, settings)
