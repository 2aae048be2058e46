"""An exported task model with the pieces of some languages only, or in ONNX Runtime's format for phones.

distil shrink models/onnx/sentiment/int8 --out models/onnx/sentiment-yor/int8 --languages yor
distil shrink models/onnx/sentiment/int8 --out app/model --ort

Kept are the pieces that the languages' text uses and all single characters, so that any text can still be spelled.
"""

import argparse
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import onnx

from distil.core.errors import UserError
from distil.core.files import atomic_folder, sha256_file, write_json
from distil.modeling.tokenizer import special_ids
from distil.runtime.process import program, run_command
from distil.runtime.progress import Progress
from distil.serving.linear_companion import open_companion
from distil.serving.model_info import open_tokenizer, read_card
from distil.serving.ort_format import write_ort
from distil.serving.predictor import Predictor
from distil.serving.small_tokenizer import write_small_tokenizer
from distil.serving.word_embeddings import keep_rows
from distil.text.cleaning import clean_line
from distil.text.views import TextView
from distil.tokenization.piece_counts import read_corpus
from distil.tokenization.tokenizer_files import read_tokenizer_files, write_tokenizer_files

log = logging.getLogger("distil")

COMPARED = 500  # lines of each language's text on which the answers are compared with those of the whole model


class Request(NamedTuple):
    """What is asked for."""

    model: Path  # an int8 folder of models/onnx
    out: Path
    languages: list[str]  # none: all of the model's, and all pieces
    text: Path  # LANG.txt of each language to keep
    ort: bool


def shrink(request: Request) -> dict[str, float]:
    """Write the folder `request.out`; without `ort` it has the layout of `request.model`.

    Returns:
        By language with a text the share of its first `COMPARED` lines that get the same answer as before.

    Raises:
        UserError: no exported task model in 8 bits there, a language that it does not have, or no text.
    """
    manifest = check_model(request)
    with atomic_folder(request.out) as folder:
        for path in request.model.iterdir():
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        if request.languages:
            _keep_languages(request, folder)
        if request.ort:
            write_ort(folder / "model.onnx", folder)
            (folder / "model.onnx").unlink()
        graph = "model.ort" if request.ort else "model.onnx"
        written = {graph, "tokenizer.json", *manifest.get("sha256", {})} - {"model.onnx" if request.ort else ""}
        sums = {name: sha256_file(folder / name) for name in sorted(written)}
        languages = request.languages or manifest["languages"]
        write_json(folder / "manifest.json", {**manifest, "languages": languages, "sha256": sums})
        same = {code: _same_answers(request, folder, code) for code in languages
                if (request.text / f"{code}.txt").is_file()}  # fmt: skip
    for code, share in same.items():
        log.info(
            "shrink: %s: the same answer as before on %.1f %% of %s", code, 100 * share, request.text / f"{code}.txt"
        )
    before, after = (sum(path.stat().st_size for path in place.iterdir() if path.suffix != ".config")
                     for place in (request.model, request.out))  # fmt: skip
    log.info("shrink: %s: %.1f MB, before %.1f MB", request.out, after / 1e6, before / 1e6)
    return same


def check_model(request: Request) -> dict[str, Any]:
    """The manifest of the model, once all that is asked for is possible.

    Raises:
        UserError: as `shrink`.
    """
    folder, advice = request.model, "run `dvc repro export` and give models/onnx/TASK/int8"
    card = read_card(folder)
    if card.kind == "masked_lm":
        raise UserError(f"{folder}: expected a task's model, found a masked LM, which has no task head; {advice}")
    if not (folder / "model.onnx").is_file() or not (folder / "manifest.json").is_file():
        raise UserError(f"{folder}: expected model.onnx and manifest.json, found a model not exported yet; {advice}")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if manifest.get("precision") != "int8":
        raise UserError(f"{folder}: expected a model in 8 bits, found {manifest.get('precision')}; {advice}")
    if gone := [code for code in request.languages if code not in card.languages]:
        raise UserError(
            f"{folder}: --languages: expected some of {', '.join(card.languages)}, which this model has, found "
            f"{', '.join(gone)}; shrink a model that still has it"
        )
    if request.out.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise UserError(f"--out: expected a new folder, found {request.out} with the model in it; give another name")
    for code in request.languages:
        if not (path := request.text / f"{code}.txt").is_file():
            raise UserError(f"{path}: no such file; run `dvc repro corpus`, or give --text a folder with {code}.txt")
    return manifest


def _keep_languages(request: Request, folder: Path) -> None:
    """Trim the graph, the tokenizer and config.json of a copy of the model."""
    files = read_tokenizer_files(request.model, "export")
    card = read_card(request.model)
    tokenizer = open_tokenizer(request.model, card)
    paths = {code: request.text / f"{code}.txt" for code in request.languages}
    with Progress("shrink", sum(path.stat().st_size for path in paths.values()), "B") as progress:
        view = TextView(**card.view).__call__  # in which the model will read any text
        counts = [read_corpus(code, path, tokenizer, progress, view).counts for code, path in paths.items()]
    spelling = [number for number, piece in enumerate(files.pieces) if len(piece) == 1]
    added = [token["id"] for token in files.spec["added_tokens"]]
    kept = np.array(sorted({*np.flatnonzero(sum(counts)).tolist(), *spelling, *special_ids(tokenizer), *added}))
    write_tokenizer_files(files, kept, folder)
    write_small_tokenizer(folder / "tokenizer.json", folder / "tokenizer.json")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, "vocab_size": len(kept)})
    graph = onnx.load(folder / "model.onnx")
    keep_rows(graph, kept)
    onnx.save(graph, folder / "model.onnx")
    if companion := open_companion(request.model, card):
        companion.keep(request.languages).save(folder)
    log.info("shrink: %s of %s pieces kept", f"{len(kept):,}", f"{len(files.pieces):,}")


def _same_answers(request: Request, folder: Path, code: str) -> float:
    with (request.text / f"{code}.txt").open(encoding="utf-8") as stream:
        texts = [text for line, _ in zip(stream, range(COMPARED), strict=False) if (text := clean_line(line))]
    before, after = (Predictor(place, 1).predict(texts) for place in (request.model, folder))
    return float(np.mean([_answer(one) == _answer(other) for one, other in zip(before, after, strict=True)]))


def _answer(result: dict[str, Any]) -> Any:
    return result.get("label", result.get("tags", result.get("error")))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write the folder."""
    parser = argparse.ArgumentParser(
        prog=program("python -m distil shrink"), description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("model", type=Path, help="an exported model in 8 bits, such as models/onnx/sentiment/int8")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--languages", default="", metavar="LANG,LANG", help="keep the pieces of these languages only")
    parser.add_argument("--text", type=Path, default=Path("data/raw"), help="folder with LANG.txt; default data/raw")
    parser.add_argument("--ort", action="store_true", help="model.ort and the operators that it needs, for phones")
    given = parser.parse_args(arguments)
    languages = [code.strip() for code in given.languages.split(",") if code.strip()]
    if not languages and not given.ort:
        parser.error("give --languages, --ort or both")
    shrink(Request(given.model, given.out, languages, given.text, given.ort))


def run() -> NoReturn:
    """The command."""
    run_command(main)
