"""pyproject.toml brings what the code imports and reads."""

import ast
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import packages_distributions

from tests.support import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, SETUPTOOLS = PYPROJECT["project"], PYPROJECT["tool"]["setuptools"]


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=,~! ]", requirement)[0].lower().replace("_", "-").replace(".", "-")


def brought(*extras: str) -> set[str]:
    """The packages that `pip install distil[EXTRAS]` names itself."""
    found = set(map(name_of, PROJECT["dependencies"]))
    for extra in extras:
        for requirement in PROJECT["optional-dependencies"][extra]:
            inner = re.fullmatch(r"distil\[(.+)\]", requirement)
            found |= brought(*inner[1].split(",")) if inner else {name_of(requirement)}
    return found


def imported() -> dict[str, set[str]]:
    """The modules of other packages that distil and stages import anywhere, with the files."""
    found: dict[str, set[str]] = {}
    for path in [*(ROOT / "distil").rglob("*.py"), *(ROOT / "stages").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for module in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"distil", "stages"}:
                found.setdefault(module, set()).add(path.relative_to(ROOT).as_posix())
    return found


def test_the_part_pipeline_brings_every_package_that_the_code_imports() -> None:
    owners, given = packages_distributions(), brought("pipeline")
    missing = {module: files for module, files in imported().items() if not given & set(map(name_of, owners[module]))}
    assert missing == {} and "torch" in imported()


def test_the_wheel_holds_every_file_that_the_code_reads() -> None:
    files = ["git", "ls-files", "distil", "stages"]
    listed = subprocess.run(files, cwd=ROOT, capture_output=True, text=True, check=True)
    patterns = [f"{package}/{each}" for package, globs in SETUPTOOLS["package-data"].items() for each in globs]
    data = [file for file in listed.stdout.split() if not file.endswith(".py")]
    assert len(data) > 10 and [file for file in data if not any(fnmatch(file, each) for each in patterns)] == []
    assert SETUPTOOLS["packages"]["find"]["include"] == ["distil*", "stages*"]


def test_the_lock_is_made_of_all_parts() -> None:
    """`make lock` resolves every extra, so that the environment of a clone runs everything."""
    assert "--all-extras --group dev" in (ROOT / "Makefile").read_text(encoding="utf-8")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").lower()
    assert [name for name in brought("pipeline") if f"\n{name}==" not in f"\n{lock}"] == []
