"""The command: a filter that keeps order, tells bad lines in their place, ends quietly, and never imports torch."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distil.core.errors import UserError
from distil.serving.cli import find_model
from distil.serving.predictor import Predictor
from tests.support import ROOT, toy
from tests.support.exported import LABELS

TEXTS = toy.sentences(300, 3)


def command(cwd: Path, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "distil.predict", *words]
    return subprocess.run(line, cwd=cwd, env=environment, input=data, capture_output=True)


def test_order_is_kept_and_a_bad_line_harms_no_other(exports) -> None:
    lines = [text.encode() for text in TEXTS]
    bad = {3: b"\xff\xfe", 7: b"", 150: b"z" * 1_000_000, 299: b"caf\xe9"}
    for number, line in bad.items():
        lines[number] = line
    done = command(exports, "--model", "models/onnx/words/fp32", data=b"\n".join(lines) + b"\n")
    found = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert done.returncode == 0 and [result["line"] for result in found] == list(range(1, 301))
    assert {number for number, result in enumerate(found) if "error" in result} == set(bad)
    assert done.stderr == b"4 of 300 lines could not be predicted; each has its `error` in its place\n"
    expected = Predictor(exports / "models/onnx/words/fp32")(TEXTS)
    for number, result in enumerate(found):
        if number not in bad:
            assert list(result) == ["line", "label", "scores"]
            assert result["label"] == expected[number]["label"]


def test_serving_imports_neither_torch_nor_transformers(exports) -> None:
    code = (
        "import sys; from pathlib import Path; import distil.predict; from distil.serving.predictor import Predictor\n"
        "print(Predictor(Path('models/onnx/words/int8'))(['zuri sana'])[0]['label'])\n"
        "print([name for name in ('torch', 'transformers', 'pandas', 'mlflow', 'pydantic') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=exports, env=environment, capture_output=True, text=True)
    label, heavy = done.stdout.splitlines()
    assert label in LABELS["text_classification"] and heavy == "[]"


def test_a_reader_that_goes_away_ends_it_quietly(exports) -> None:
    data = ("zuri sana\n" * 5000).encode()
    line = f"{sys.executable} -m distil.predict --model models/onnx/words/int8"
    (exports / "many.txt").write_bytes(data)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        f"{line} < many.txt | head -n 2", shell=True, cwd=exports, env=environment, capture_output=True
    )
    assert len(done.stdout.splitlines()) == 2 and done.stderr == b""


def test_a_fault_is_one_sentence_and_no_traceback(exports, tmp_path) -> None:
    done = command(tmp_path, "--model", "nowhere", data=b"a\n")
    assert done.returncode == 1 and done.stdout == b""
    assert re.fullmatch(rb"error: nowhere: no such folder; .*\n", done.stderr)
    done = command(exports, "--model", "models/onnx/words/int8", "--task", "names", data=b"a\n")
    assert done.stderr.startswith(b"error: models/onnx/words/int8: a model of the task words, not of names")
    assert command(exports, "--model", "models/onnx/words/int8", "--threads", "-1").returncode == 2


def test_cost_is_written_where_asked_for(exports, tmp_path) -> None:
    command(
        exports, "--model", "models/onnx", "--task", "words", "--cost", str(tmp_path / "c.json"), data=b"a b\n\nc\n"
    )
    cost = json.loads((tmp_path / "c.json").read_text())
    assert cost["lines"] == 3 and cost["tokens"] > 4
    assert cost["serving_mb"] == pytest.approx(cost["peak_mb"] - cost["imports_mb"], abs=0.11)


def test_a_task_is_found_below_a_folder_int8_first(exports, tmp_path) -> None:
    onnx, finetuned = exports / "models/onnx", exports / "models/finetuned/student"
    assert find_model(onnx, "words") == onnx / "words/int8"
    assert find_model(onnx / "words/fp32", "words") == onnx / "words/fp32"
    assert find_model(finetuned, "names") == finetuned / "names/seed-1"
    shutil.copytree(onnx / "words/fp32", tmp_path / "words/fp32")
    assert find_model(tmp_path, "words") == tmp_path / "words/fp32"
    with pytest.raises(UserError, match=r"expected a model, or a folder topics with one in it, found masked_lm, names"):
        find_model(onnx, "topics")


@pytest.mark.slow
def test_a_million_lines_take_no_more_memory_than_twenty_thousand(exports, tmp_path) -> None:
    peaks = {}
    for count in (20_000, 1_000_000):
        path = tmp_path / "lines.txt"
        with path.open("w") as stream:
            stream.writelines(f"{TEXTS[number % 300][:24]}\n" for number in range(count))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        line = [
            sys.executable,
            "-m",
            "distil.predict",
            "--model",
            "models/onnx/words/int8",
            "--cost",
            str(tmp_path / "c"),
        ]
        with path.open() as stream:
            subprocess.run(line, cwd=exports, env=environment, stdin=stream, stdout=subprocess.DEVNULL, check=True)
        cost = json.loads((tmp_path / "c").read_text())
        assert cost["lines"] == count
        peaks[count] = cost["peak_mb"]
    assert peaks[1_000_000] < 1.1 * peaks[20_000]
