"""A folder that transformers.js and Transformers load, from an exported model: `distil web --model models/onnx/TASK`.

    config.json, tokenizer.json, tokenizer_config.json, special_tokens_map.json
    onnx/model.onnx             float32; the default of transformers.js in Node
    onnx/model_quantized.onnx   8 bits; its default in a browser
    model.safetensors           for Transformers; no browser asks for it

The models are hard links to the export's files, so they take no second place on the disk; copies elsewhere.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

from distil.core.errors import UserError
from distil.core.files import atomic_folder, sha256_file, write_json, write_text
from distil.runtime.process import program, run_command
from distil.runtime.standard_streams import say
from distil.serving.linear_companion import COMPANION_FILE
from distil.serving.model_info import check_sha256, open_tokenizer, read_card
from distil.tasks.tag_decoding import TRANSITIONS_FILE
from distil.web.normalizer import check_script, read_spec

ONNX_FILES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}
TOKENIZER_CLASS = "XLMRobertaTokenizer"
MARK = "manifest.json"  # of a folder that this command wrote, and may write again


def write_web_folder(exported: Path, out: Path) -> None:
    """Write `out`, in place of what an earlier call wrote there.

    Args:
        exported: models/onnx/NAME, with the folders fp32 and int8.
        out: where to.

    Raises:
        UserError: `exported` is no export, is damaged, transliterates or has language experts, or `out` holds something
            else.
    """
    for precision in ONNX_FILES:
        if not (exported / precision / "model.onnx").is_file():
            found = sorted(path.name for path in exported.iterdir()) if exported.is_dir() else []
            raise UserError(
                f"{exported}: expected fp32/model.onnx and int8/model.onnx, found {', '.join(found[:6]) or 'no folder'}"
                "; give a folder such as models/onnx/sentiment, which `dvc repro export` writes"
            )
    check_replaceable(out, MARK)
    whole, small = exported / "fp32", exported / "int8"
    cards = {folder: read_card(folder) for folder in (whole, small)}
    for folder, card in cards.items():
        check_script(folder, card)
        check_sha256(folder, card, "model.onnx")
        open_tokenizer(folder, card)
    if cards[whole].gated:
        raise UserError(
            f"{exported}: expected an XLM-R model, found one with language experts, which transformers.js does not "
            "have; export a student that was made with student.experts 0, or use `distil demo`"
        )
    with atomic_folder(out) as folder:
        (folder / "onnx").mkdir()
        for precision, name in ONNX_FILES.items():
            link_or_copy(exported / precision / "model.onnx", folder / name)
        for path in sorted(whole.glob("*.safetensors")):
            link_or_copy(path, folder / path.name)
        shutil.copyfile(whole / "config.json", folder / "config.json")
        spec = read_spec(small, cards[small].marks)
        write_text(folder / "tokenizer.json", json.dumps(spec, ensure_ascii=False, separators=(",", ":")))
        config = json.loads((small / "tokenizer_config.json").read_text(encoding="utf-8"))
        # A text is cut where `distil predict` cuts it; other classes make transformers.js warn.
        config |= {"model_max_length": cards[whole].max_length, "tokenizer_class": TOKENIZER_CLASS}
        write_json(folder / "tokenizer_config.json", config)
        write_json(folder / "special_tokens_map.json",
                   {name: token for name, token in config.items() if name.endswith("_token")})  # fmt: skip
        manifest = json.loads((whole / "manifest.json").read_text(encoding="utf-8"))
        sums = {name: cards[exported / precision].sha256["model.onnx"] for precision, name in ONNX_FILES.items()}
        sums["tokenizer.json"] = sha256_file(folder / "tokenizer.json")
        write_json(folder / MARK, {**manifest, "precision": sorted(ONNX_FILES), "sha256": sums})


def check_replaceable(out: Path, mark: str) -> None:
    """See that a folder may be written: there is none, it is empty, or it has the file that says who wrote it.

    Raises:
        UserError: it holds something else.
    """
    if out.is_dir() and any(out.iterdir()) and not (out / mark).is_file():
        raise UserError(f"--out: {out}: expected no folder, an empty one or an earlier result, found other files; give "
                        "another name")  # fmt: skip
    if out.exists() and not out.is_dir():
        raise UserError(f"--out: expected the name of a folder, found the file {out}; give another name")


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has none."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def main() -> None:
    """Write the folder and say what loads it."""
    parser = argparse.ArgumentParser(
        prog=program("python -m distil.web.folder"), description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("--model", type=Path, required=True, help="an exported model, such as models/onnx/sentiment")
    parser.add_argument("--out", type=Path, help="the folder to write; web/NAME if not given")
    chosen = parser.parse_args()
    out = chosen.out or Path("web") / chosen.model.resolve().name
    write_web_folder(chosen.model, out)
    kind = read_card(chosen.model / "int8").kind
    pipeline = {"masked_lm": "fill-mask"}.get(kind, kind.replace("_", "-"))
    if read_card(chosen.model / "int8").transitions:
        say(f"{out}: without {TRANSITIONS_FILE}, with which `distil predict` decodes the tags")
    # transformers.js takes a path without ./ for a name on the Hub.
    path = out if out.is_absolute() else f"./{out.as_posix()}"
    if (chosen.model / "int8" / COMPANION_FILE).is_file():
        say(f"{out}: without {COMPANION_FILE}, the linear companion that `distil predict` adds to the model")
    say(f'{out}: load it with `await pipeline("{pipeline}", "{path}")` of @huggingface/transformers')


def run() -> None:
    """The command."""
    run_command(main)


if __name__ == "__main__":
    run()
