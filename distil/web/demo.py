"""A web page on which a student answers, in a folder of static files: `distil demo --model models/onnx/sentiment/int8`.

Any web server shows it, `python -m http.server --directory demo` too; no text leaves the browser, and after the first
visit it works without a network. docs/guides/on-the-device.md shows it.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distil.core.errors import UserError
from distil.core.files import atomic_folder, sha256_file, sha256_json, write_text
from distil.runtime.process import program, run_command
from distil.runtime.standard_streams import say
from distil.serving.cli import find_model
from distil.serving.linear_companion import COMPANION_FILE
from distil.serving.model_info import check_sha256, open_tokenizer, open_transitions, read_card
from distil.web.folder import check_replaceable
from distil.web.normalizer import check_script, read_spec
from distil.web.runtime import copy_runtime
from distil.web.trigrams import trigram_tables

PAGE = Path(__file__).parent / "page"
WORKER = "service-worker.js"
SETTINGS = "settings.json"


def write_demo(models: Sequence[Path], out: Path, modules: Path | None = None, text: Path | None = None) -> None:
    """Write the page, its models and its runtime into `out`, in place of an earlier demo.

    Args:
        models: exported models, each a folder with model.onnx; shown side by side.
        out: where to.
        modules: node_modules, see `copy_runtime`.
        text: LANG.txt of each language, from which languages are guessed; None: they are chosen.

    Raises:
        UserError: a model is none, is damaged, has no task head or transliterates; `out` holds something else; no
            runtime.
    """
    check_replaceable(out, SETTINGS)
    for folder in models:
        _check(folder)
    with atomic_folder(out) as demo:
        copy_runtime(modules, demo / "runtime")
        for path in PAGE.iterdir():
            shutil.copyfile(path, demo / path.name)
        about = [_copy_model(folder, demo, f"models/{number}") for number, folder in enumerate(models, 1)]
        if len({one["name"] for one in about}) < len(about):  # two models of one task: told apart by their folders
            about = [{**one, "name": "/".join(folder.resolve().parts[-2:])}
                     for one, folder in zip(about, models, strict=True)]  # fmt: skip
        settings = {
            "models": about,
            "runtime": sum(path.stat().st_size for path in (demo / "runtime").iterdir()),
            "trigrams": trigram_tables(text) if text else {},
        }
        _write_json(demo / SETTINGS, settings)
        _fill_worker(demo)


def _check(folder: Path) -> None:
    card = read_card(folder)
    if card.kind == "masked_lm":
        raise UserError(
            f"{folder}: a masked language model has no task head; give a classifier or a tagger, such as "
            "models/onnx/sentiment/int8"
        )
    if not (folder / "model.onnx").is_file():
        raise UserError(
            f"{folder}: not exported yet: expected model.onnx; run `dvc repro export` and give a folder such as "
            "models/onnx/sentiment/int8"
        )
    check_script(folder, card)
    check_sha256(folder, card, "model.onnx")
    open_tokenizer(folder, card)


def _copy_model(folder: Path, demo: Path, path: str) -> dict[str, Any]:
    """Copy what the page reads of a model; returns what it has to know of it."""
    card = read_card(folder)
    transitions, place = open_transitions(folder, card), demo / path
    place.mkdir(parents=True)
    shutil.copyfile(folder / "model.onnx", place / "model.onnx")
    _write_json(place / "tokenizer.json", read_spec(folder, card.marks))
    return {
        "name": card.task or folder.resolve().name, "path": path, "kind": card.kind,
        "labels": card.labels, "languages": card.languages, "normalised": card.normalised,
        "max_length": card.max_length, "pieces": card.pieces, "companion": (folder / COMPANION_FILE).is_file(),
        **({} if transitions is None else {"transitions": transitions.tolist()}),
        "files": {name: (place / name).stat().st_size for name in ("model.onnx", "tokenizer.json")},
    }  # fmt: skip


def _write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")))


def _fill_worker(demo: Path) -> None:
    """Name every file and a version of all of them, so that a browser notices a new demo."""
    files = sorted(path.relative_to(demo).as_posix() for path in demo.rglob("*") if path.is_file())
    version = sha256_json({name: sha256_file(demo / name) for name in files})[:16]
    head = f"const VERSION = {json.dumps(version)};\nconst FILES = {json.dumps(['./', *files])};\n"
    write_text(demo / WORKER, head + (demo / WORKER).read_text(encoding="utf-8"))


def main() -> None:
    """Write the demo and say how to see it."""
    parser = argparse.ArgumentParser(
        prog=program("python -m distil.web.demo"), description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument(
        "--model", type=Path, required=True, help="a folder with model.onnx, or models/onnx with --task"
    )
    parser.add_argument("--task", help="the model's folder below --model, such as sentiment below models/onnx")
    parser.add_argument("--compare", type=Path, help="a second model, shown beside it")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder to write; demo if not given")
    parser.add_argument(
        "--runtime", type=Path, metavar="NODE_MODULES", help="where the npm packages are; fetched if not given"
    )
    parser.add_argument("--text", type=Path, help="LANG.txt of each language, to guess it; data/raw if there is one")
    chosen = parser.parse_args()
    if chosen.text and not any(chosen.text.glob("*.txt")):
        raise UserError(f"--text: {chosen.text}: expected a folder with LANG.txt of each language, found none")
    models = [find_model(chosen.model, chosen.task), *([chosen.compare] if chosen.compare else [])]
    write_demo(models, chosen.out, chosen.runtime, chosen.text or Path("data/raw"))
    size = sum(path.stat().st_size for path in chosen.out.rglob("*") if path.is_file())
    say(
        f"{chosen.out}: {size / 1e6:.1f} MB; see it: `python -m http.server --directory {chosen.out}`, then http://localhost:8000"
    )


def run() -> None:
    """The command."""
    run_command(main)


if __name__ == "__main__":
    run()
