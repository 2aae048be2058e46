"""The pipeline as a stage sees it: its code as dvc.yaml names it, part of every key of work kept in .scratch."""

from pathlib import Path

import yaml

from distil.core.files import sha256_file

# Of the code that runs: in a temporary experiment the copy, not the main repository.
PIPELINE = Path(__file__).parents[2] / "dvc.yaml"
# Names of languages and the error class: a new language must not discard the finished shards of the others.
NEUTRAL = {Path("distil/core/languages.py"), Path("distil/core/errors.py")}


def code_files(stage: str, pipeline: Path = PIPELINE) -> list[Path]:
    """The Python files among a stage's deps, those below a folder included, sorted; without `NEUTRAL`.

    Args:
        stage: its name in dvc.yaml, without `@item`.
        pipeline: the file that describes it.
    """
    block = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"][stage]
    found: set[Path] = set()
    for dep in block.get("do", block)["deps"]:
        if dep.endswith(".py"):
            found.add(Path(dep))
        elif dep.split("/")[0] in ("distil", "stages"):
            found.update(path.relative_to(pipeline.parent) for path in (pipeline.parent / dep).rglob("*.py"))
    return sorted(found - NEUTRAL)


def code_checksums(stage: str, pipeline: Path = PIPELINE) -> dict[str, str]:
    """The sha256 of each of `code_files`, by its path."""
    return {path.as_posix(): sha256_file(pipeline.parent / path) for path in code_files(stage, pipeline)}


MESSAGE_FILE = "DISTIL_MESSAGE_FILE"  # where one of several processes leaves its error; see runtime/launch.py
MEETING_FILE = "DISTIL_MEETING_FILE"  # where several processes of one machine meet; see compute/distributed.py
