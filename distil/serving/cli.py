"""Lines of text -> JSON lines with label and scores: `distil predict --model DIR < texts`.

    {"line": 1, "label": "positive", "scores": {"positive": 0.91, "neutral": 0.06, "negative": 0.03}}
    {"line": 2, "error": "not UTF-8: byte 0xff at place 17; convert the file"}

A tagger gives `tokens`, `tags` and `scores`, a masked language model the best pieces for each <mask>, a sentence
encoder a `vector`. Line N of the output is line N of the input; memory does not grow with it. See docs/guides/serve.md.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from distil.core.errors import UserError
from distil.core.files import write_json
from distil.runtime.machine import current_memory, peak_memory
from distil.runtime.standard_streams import check_output, input_descriptor, say, write_output
from distil.serving.line_stream import read_windows
from distil.serving.predictor import Predictor


def find_model(folder: Path, task: str | None) -> Path:
    """`folder` itself, or below it the model of `task`: int8 before fp32 before the first seed's.

    Raises:
        UserError: it is neither a model nor a folder with that task's.
    """
    if task is None or (folder / "config.json").is_file():
        return folder
    seeds = sorted((folder / task).glob("seed-*"), key=lambda path: (len(path.name), path.name))
    for found in (folder / task / "int8", folder / task / "fp32", *seeds):
        if (found / "config.json").is_file():
            return found
    there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    raise UserError(
        f"{folder}: expected a model, or a folder {task} with one in it, found {', '.join(there) or 'no folder'}; give "
        "--model models/onnx or a folder with config.json"
    )


def predict(predictor: Predictor, descriptor: int) -> tuple[int, int]:
    """Write a JSON line for each line of a stream to standard output; returns (lines, lines with an error)."""
    count = faults = 0
    for window in read_windows(descriptor):
        results = iter(predictor([line.text for line in window if line.error is None]))
        answers = [{"error": line.error} if line.error else next(results) for line in window]
        text = "".join(
            json.dumps({"line": number, **answer}, ensure_ascii=False) + "\n"
            for number, answer in enumerate(answers, count + 1)
        )
        try:
            write_output(text.encode())
        except UserError as error:
            raise UserError(f"{error}; the answers to the first {count:,} lines are whole") from None
        count += len(answers)
        faults += sum("error" in answer for answer in answers)
    return count, faults


def main() -> None:
    """Read standard input, write standard output; what could not be predicted is counted on standard error."""
    baseline, start = current_memory(), time.monotonic()
    parser = argparse.ArgumentParser(prog="distil predict", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="a folder with model.onnx or model.safetensors")
    parser.add_argument("--task", help="the model's folder below --model, such as sentiment below models/onnx")
    parser.add_argument("--language", help="of all texts; without it language experts and a linear companion guess")
    parser.add_argument("--threads", type=int, default=0, help="0, the default, is one for each core")
    parser.add_argument("--cost", type=Path, help="write seconds, tokens and memory into this JSON file")
    chosen = parser.parse_args()
    if chosen.threads < 0:
        parser.error(f"--threads: expected 0 or more, found {chosen.threads}")
    check_output()
    descriptor = input_descriptor()
    if chosen.cost and chosen.cost.is_dir():
        raise UserError(f"--cost: expected the name of a file, found the folder {chosen.cost}; give FOLDER/NAME.json")
    predictor = Predictor(find_model(chosen.model, chosen.task), chosen.threads, chosen.language)
    if chosen.task and predictor.card.task not in (None, chosen.task):
        raise UserError(
            f"{chosen.model}: a model of the task {predictor.card.task}, not of {chosen.task}; give that one's folder"
        )
    count, faults = predict(predictor, descriptor)
    if faults:
        say(f"{faults:,} of {count:,} lines could not be predicted; each has its `error` in its place")
    if chosen.cost:
        peak = peak_memory()
        figures = {
            "lines": count, "tokens": predictor.tokens, "seconds": round(time.monotonic() - start, 3),
            "imports_mb": round(baseline / 1e6, 1), "peak_mb": round(peak / 1e6, 1),
            "serving_mb": round((peak - baseline) / 1e6, 1),
        }  # fmt: skip
        try:
            write_json(chosen.cost, figures)
        except OSError as error:
            raise UserError(
                f"--cost: {chosen.cost}: {error.strerror}; every line is predicted, give a file that can be written"
            ) from None


def run() -> NoReturn:
    """End as a filter does: quietly when the reader has gone (`| head`), in one sentence for a fault of the input."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        main()
    except UserError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


if __name__ == "__main__":
    run()
