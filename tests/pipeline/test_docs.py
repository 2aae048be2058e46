"""The pages of docs/ name what exists: pages, links, stages, settings, commands, targets."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.pipeline.test_dvc_yaml import PARAMS, PIPELINE
from tests.support import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
MADE = {"reference/params.md"}  # by a hook, from params.yaml


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def navigation() -> set[str]:
    found: set[str] = set()
    waiting = [yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)["nav"]]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, str):
            found.add(entry)
        else:
            waiting += entry.values() if isinstance(entry, dict) else entry
    return found


def test_every_page_is_in_the_navigation_and_the_navigation_names_pages_only() -> None:
    assert navigation() == {page.relative_to(DOCS).as_posix() for page in PAGES} | MADE


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_every_link_to_a_file_has_its_file(path: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", path.read_text(encoding="utf-8")):
        target = (path.parent / link).resolve()
        assert target.exists() or target.relative_to(DOCS).as_posix() in MADE, link


def test_every_page_that_code_and_settings_name_exists() -> None:
    """CHANGELOG.md tells of pages as they were called then."""
    paths = [
        path
        for folder in ("distil", "stages", "benchmarks", "tests", "data", "models")
        for path in (ROOT / folder).rglob("*")
    ]
    missing = {
        f"{name(path)}: {page}"
        for path in [*paths, *ROOT.glob("*.*")]
        if path.suffix in {".py", ".md", ".yaml", ".toml"} and path.name != "CHANGELOG.md" and path.is_file()
        for page in re.findall(r"\bdocs/[a-z/_-]+\.(?:md|sh|py|sbatch)\b", path.read_text(encoding="utf-8"))
        if not (ROOT / page).is_file() and page.removeprefix("docs/") not in MADE
    }
    assert missing == set()


def test_no_page_of_the_site_needs_another_host() -> None:
    """Material fetches mermaid from a CDN; pictures that a page shows come with it."""
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in config and "mermaid" not in yaml.dump(yaml.load(config, Loader=yaml.BaseLoader))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert "```mermaid" not in text, page
        assert not re.search(r"!\[[^\]]*\]\(https?:|<(?:img|script)[^>]+https?:", text), page


def test_the_list_of_what_reruns_when_has_every_stage() -> None:
    text = (DOCS / "internals/design.md").read_text(encoding="utf-8").partition("## Stages")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^- (.*?):", text)
    named = {word.partition("@")[0] for row in rows for word in re.split(r"[,\s]+", row)}
    assert named == set(PIPELINE["stages"])


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_every_setting_that_a_command_sets_is_one(path: Path) -> None:
    """Tasks other than those of params.yaml are examples, so their keys are compared with those of `sentiment`."""
    for key in re.findall(r"(?:-S|--set) '?([a-z_.]+)=", path.read_text(encoding="utf-8")):
        value = PARAMS
        for part in key.split("."):
            assert part in value, key
            value = value[part]


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_every_module_and_target_that_a_command_names_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for module in re.findall(r"python -m ((?:stages|distil|benchmarks)\.[a-z_]+)\b", text):
        assert importlib.util.find_spec(module), module
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    for target in re.findall(r"(?:`|\$ |&& )make ([a-z-]+)", text):
        assert target in targets, target


def test_every_preset_is_in_readme_and_hardware() -> None:
    presets = {path.stem for path in (ROOT / "stages/presets").glob("*.yaml")}
    for path in (ROOT / "README.md", DOCS / "help/hardware.md"):
        assert presets <= set(re.findall(r"`([a-z-]+)`", path.read_text(encoding="utf-8"))), path


def test_every_test_that_a_guarantee_names_exists() -> None:
    text = (DOCS / "internals/guarantees.md").read_text(encoding="utf-8")
    files = re.findall(r"\b(?:[a-z]+/)?test_[a-z_]+\.py", text)
    assert len(files) > 30 and [file for file in files if not (ROOT / "tests" / file).is_file()] == []


def test_every_file_with_a_test_that_may_be_skipped_is_listed() -> None:
    listed = (DOCS / "internals/guarantees.md").read_text(encoding="utf-8").partition("## Skipped tests")[2]
    skipping = [
        path for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"pytest\.(skip\(|importorskip)|mark\.skip", path.read_text(encoding="utf-8"))
    ]  # fmt: skip
    names = {path.relative_to(ROOT / "tests").as_posix() for path in skipping} - {"pipeline/test_docs.py"}
    assert [name for name in names if name not in listed] == []


VARIABLES = re.compile(r"(?m)^\$ ([A-Z]+=\S+(?: [A-Z]+=\S+)*)$")
PRESET = re.compile(r"(?m)^\$ (python -m stages\.preset (?:[^\n]*\\\n)*[^\n]*)")


def commands() -> list[tuple[str, str]]:
    """Every command of the pages that chooses a preset, behind the variables that its page sets."""
    texts = [path.read_text(encoding="utf-8") for path in TEXTS]
    found = {(" ".join(VARIABLES.findall(text)), command) for text in texts for command in PRESET.findall(text)}
    return sorted(
        (variables, command) for variables, command in found if "NAME" not in command and "..." not in command
    )


@pytest.mark.parametrize(("variables", "command"), commands())
def test_a_command_that_chooses_a_preset_sets_what_it_names(variables: str, command: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "stages/presets", tmp_path / "stages/presets")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        f"{variables}\n{command} --force", shell=True, cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    values = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    known = {"PWD": str(tmp_path), **dict(pair.split("=", 1) for pair in variables.split())}
    for key, text in re.findall(r"--set ['\"]?([a-z_.]+)=([^\s']+)", command):
        found = values
        for part in key.split("."):
            found = found[part]
        text = re.sub(r"\$([A-Z]+)", lambda name: known[name[1]], text.removesuffix('"') if "$" in text else text)
        assert found == yaml.safe_load(text), key
