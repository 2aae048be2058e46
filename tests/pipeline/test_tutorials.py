"""The tutorials run as they are written: every console block and every change of params.yaml, in the order of the page.

In a copy of the repository, offline, with the practice data that the pages make. Left out is what a page marks with
`# needs ...`, and only what SKIPPED lists.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.pipeline.test_docs import DOCS, VARIABLES
from tests.support.repository import Repository, copy_repository

PAGES = sorted((DOCS / "tutorials").glob("*.md"))
HUB, GPU = "the Hub", "the Hub and a GPU"
SKIPPED = {
    "own-language": {},
    "own-task": {},
    "new-language": {},
    "paper-on-one-gpu": {
        "dvc repro corpus tokenize": HUB,
        "dvc repro": GPU,
        "dvc exp run -n trim $(python -m stages.preset comet-trim --args)": GPU,
    },
}  # fmt: skip


class Block(NamedTuple):
    """A fenced block of a page."""

    kind: str
    text: str


def blocks(path: Path) -> list[Block]:
    found = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", path.read_text(encoding="utf-8"))
    return [Block(*block) for block in found]


def commands(block: Block) -> list[tuple[str, str]]:
    """Each command of a console block, on one line, and what it needs (`# needs ...` behind it) or ""."""
    lines = block.text.replace("\\\n", "")
    found = re.findall(r"(?m)^\$ (.*?)(?:\s+# needs (.*))?$", lines)
    return [(re.sub(r"\s{2,}", " ", command), needs) for command, needs in found]


def merge(tree: dict[str, Any], change: dict[str, Any]) -> None:
    """As a reader writes it: sections grow, other values are replaced."""
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            merge(tree[key], value)
        else:
            tree[key] = value


def follow(page: Path, copy: Repository) -> dict[str, str]:
    """Do what the page says; returns the output of each command."""
    outputs: dict[str, str] = {}
    variables = ""
    for block in blocks(page):
        if block.kind == "yaml":
            params = copy.root / "params.yaml"
            tree = yaml.safe_load(params.read_text(encoding="utf-8"))
            merge(tree, yaml.safe_load(block.text))
            params.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")
        for command, needs in commands(block) if block.kind == "console" else ():
            if VARIABLES.fullmatch(f"$ {command}"):
                variables += f"{command}\n"
            elif not needs:
                outputs[command] = copy.run("bash", "-euo", "pipefail", "-c", f"{variables}{command}")
    return outputs


def shown(page: Path, kind: str) -> str:
    (block,) = [block.text for block in blocks(page) if block.kind == kind]
    return block


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    copy = copy_repository(tmp_path_factory.mktemp("tutorials"))
    copy.run("git", "init", "--quiet")
    copy.commit("the code")
    return copy


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_marks_is_what_is_left_out(page: Path) -> None:
    marked = {c: needs for block in blocks(page) if block.kind == "console" for c, needs in commands(block) if needs}
    assert marked == SKIPPED[page.stem]


@pytest.mark.slow
def test_own_language(copy: Repository) -> None:
    page = DOCS / "tutorials/own-language.md"
    outputs = follow(page, copy)
    (answer,) = [json.loads(out.splitlines()[-1]) for command, out in outputs.items() if "distil.predict" in command]
    example = json.loads(shown(page, "json"))
    assert list(answer) == list(example) and list(answer["scores"]) == list(example["scores"])
    (distances,) = [out for command, out in outputs.items() if "summary.json" in command]
    assert re.findall(r'"(\w+)":', distances) == ["kl", "student_accuracy", "teacher_accuracy"]
    assert "adapted" in outputs["python -m distil runs"]
    assert json.loads((copy.root / "data/raw/manifest.json").read_text())["languages"].keys() == {"swa"}
    assert json.loads((copy.root / "models/teacher/manifest.json").read_text())["adapted"]["steps"] > 0
    start_again(copy)


@pytest.mark.slow
def test_own_task(copy: Repository) -> None:
    page = DOCS / "tutorials/own-task.md"
    outputs = follow(page, copy)
    (head,) = [out for command, out in outputs.items() if command.startswith("head ")]
    assert head == shown(page, "json")
    scores = json.loads((copy.root / "metrics/evaluate/student/reviews.json").read_text())
    assert scores["labels"] == ["happy", "plain", "angry"]
    assert scores["mean"]["weighted_f1"] > 0.5  # 0.19 is the majority label
    start_again(copy)


@pytest.mark.slow
def test_the_paper_up_to_the_hub(copy: Repository) -> None:
    follow(DOCS / "tutorials/paper-on-one-gpu.md", copy)
    params = yaml.safe_load((copy.root / "params.yaml").read_text(encoding="utf-8"))
    assert params["teacher"]["source"] == "hub" and params["tasks"]["entities"]["source"] == "none"
    start_again(copy)


def start_again(copy: Repository) -> None:
    """For the next page: params.yaml and the results as they are committed."""
    copy.run("git", "checkout", "--quiet", "--", ".")
    (copy.root / "dvc.lock").unlink(missing_ok=True)
