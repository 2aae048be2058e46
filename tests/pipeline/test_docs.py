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


def test_no_page_of_the_site_needs_another_host() -> None:
    """Material fetches mermaid from a CDN; pictures that a page shows come with it."""
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in config and "mermaid" not in yaml.dump(yaml.load(config, Loader=yaml.BaseLoader))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert "```mermaid" not in text, page
        assert not re.search(r"!\[[^\]]*\]\(https?:|<(?:img|script)[^>]+https?:", text), page


def test_the_table_of_what_reruns_when_has_every_stage() -> None:
    table = (DOCS / "internals/design.md").read_text(encoding="utf-8").partition("## Stages")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    named = {word.partition("@")[0] for row in rows[1:] for word in re.split(r"[,\s]+", row.strip())}
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


PRESET = re.compile(r"(?m)^\$ (python -m stages\.preset (?:[^\n]*\\\n)*[^\n]*)")


def commands() -> list[str]:
    """Every command of the pages that chooses a preset, as it is written; `...` stands for the settings before it."""
    found = {command for path in TEXTS for command in PRESET.findall(path.read_text(encoding="utf-8"))}
    return sorted(command for command in found if "..." not in command and "NAME" not in command)


@pytest.mark.parametrize("command", commands())
def test_a_command_that_chooses_a_preset_sets_what_it_names(command: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "stages/presets", tmp_path / "stages/presets")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        f"{command} --force", shell=True, cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    values = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    for key, text in re.findall(r"--set '?([a-z_.]+)=([^\s']+)", command):
        found = values
        for part in key.split("."):
            found = found[part]
        assert found == yaml.safe_load(text.replace("$PWD", str(tmp_path))), key
