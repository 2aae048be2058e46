"""What new pieces of each language save: tokens of a task's test texts, and milliseconds a text of an 8-bit student.

    python -m benchmarks.new_pieces [--teacher DIR] [--text DIR] [--task DIR] [--pieces 300 1000] [--threads N]

`teacher.adapt.new_pieces` without the adaptation, which changes no token. Pieces are chosen from 95 % of the lines of
`--text`. Milliseconds: a text classifier of the student's shape with random weights and all pieces of the tokenizer,
exported as models/onnx is; from text to answer, one text at a time, tokenizers in turn, medians over texts.
The last line is one JSON object.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from transformers import XLMRobertaForSequenceClassification

from benchmarks.machine import by_size, finish, machine
from benchmarks.material import PAPER, parser
from distil.core.params import load_params
from distil.modeling.shape import build_masked_lm
from distil.modeling.tokenizer import TOKENIZER_FILES, copy_tokenizer, load_tokenizer, special_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.serving.onnx_export import ExportConfig, ExportSource, export
from distil.serving.predictor import Predictor
from distil.tasks.data import read_task
from distil.teacher.new_pieces import add_new_pieces
from distil.tokenization.masking import is_held_out


def main() -> None:
    """Print a line for each number of pieces, then one JSON object."""
    given = _options()
    rows, timed, pieces = by_size(given, (20, 2, [5]), (10**9, 50, given.pieces), (10**9, 500, given.pieces))
    task = read_task(given.task)
    tests = {code: task.texts(code, "test")[:rows] for code in task.languages}
    lines = {code: (given.text / f"{code}.txt").read_text(encoding="utf-8").split("\n") for code in tests}
    train = {code: [line for line in each if not is_held_out(line, 0.05)] for code, each in lines.items()}
    heldout = {code: [line for line in each if is_held_out(line, 0.05)] for code, each in lines.items()}
    with tempfile.TemporaryDirectory() as name:
        models = {}
        for count in (0, *pieces):
            folder = Path(name) / str(count)
            folder.mkdir()
            for file in TOKENIZER_FILES:
                if (given.teacher / file).is_file():
                    shutil.copyfile(given.teacher / file, folder / file)
            if count:
                add_new_pieces(load_masked_lm(given.teacher, None), folder, train, heldout, count, given.text)
            models[count] = folder
        tokens = {count: _tokens(folder, tests) for count, folder in models.items()}
        saved = {count: {code: 1 - tokens[count][code] / tokens[0][code] for code in tests} for count in pieces}
        for count in pieces:
            each = ", ".join(f"{code} {share:.1%}" for code, share in saved[count].items())
            print(f"{count} new pieces of each language save tokens: {each}; mean {fmean(saved[count].values()):.1%}")
        taken = _milliseconds({count: _student(folder) for count, folder in models.items()}, tests, timed)
    found = {}
    for count in pieces:
        ratio = {code: taken[count][code] / taken[0][code] for code in tests}
        found[str(count)] = {
            "tokens_saved": {code: round(share, 4) for code, share in saved[count].items()},
            "mean_tokens_saved": round(fmean(saved[count].values()), 4),
            "milliseconds_ratio": {code: round(share, 3) for code, share in ratio.items()},
            "mean_milliseconds_ratio": round(fmean(ratio.values()), 3),
        }
    finish({"new_pieces": found, "texts": sum(map(len, tests.values())), **machine(1)})


def _options() -> argparse.Namespace:
    options = parser((__doc__ or "").splitlines()[0])
    options.add_argument("--task", type=Path, default=Path("data/tasks/sentiment"), help="text classification")
    options.add_argument("--pieces", type=int, nargs="+", default=[300, 1000], help="new ones of each language")
    return options.parse_args()


def _tokens(folder: Path, tests: Mapping[str, list[str]]) -> dict[str, int]:
    tokenizer = load_tokenizer(folder)
    return {
        code: sum(map(len, tokenizer.encode_batch_fast(texts, add_special_tokens=False)))
        for code, texts in tests.items()
    }


def _student(folder: Path) -> Predictor:
    """A text classifier in 8 bits with the tokenizer of `folder`."""
    tokenizer = load_tokenizer(folder)
    config = build_masked_lm(PAPER.shape, special_ids(tokenizer), tokenizer.get_vocab_size(), 514).config
    torch.manual_seed(1)
    config.num_labels = 3
    XLMRobertaForSequenceClassification(config).save_pretrained(folder / "model")
    copy_tokenizer(folder, folder / "model")
    source = ExportSource("student", folder / "model", "text_classification", None, [], 512)
    export(source, load_params("export", ExportConfig), folder / "onnx")
    return Predictor(folder / "onnx/int8", 1)


def _milliseconds(models: Mapping[int, Predictor], tests: Mapping[str, list[str]], most: int) -> dict[int, Any]:
    """Of each model, median over `most` texts of each language; each text by every model in turn."""
    taken: dict[int, dict[str, list[float]]] = {count: {code: [] for code in tests} for count in models}
    for code, texts in tests.items():
        for text in texts[:most]:
            for count, model in models.items():
                start = time.perf_counter()
                model.predict([text])
                taken[count][code].append(1000 * (time.perf_counter() - start))
    return {count: {code: median(each) for code, each in by_code.items()} for count, by_code in taken.items()}


if __name__ == "__main__":
    main()
