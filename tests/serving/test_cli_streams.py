"""`predict` with a full disk, closed streams, a folder for a file, and text in UTF-16: answers or one sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = "models/onnx/words/int8"
TEXTS = ["zuri sana", "ɓoye ọ̀rọ̀", "mbaya"]


def predict(folder: Path, streams: str, *words: str, data: bytes = b"zuri sana\nmbaya\n") -> tuple[int, str, str]:
    """Status, standard output and standard error."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable}
    line = f"exec $PYTHON -m distil.predict --model {MODEL} {' '.join(words)} {streams}"
    done = subprocess.run(line, shell=True, cwd=folder, env=environment, input=data, capture_output=True)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        (
            "> /dev/full",
            "standard output: No space left on device; free space there or write elsewhere; the answers to the first 0 "
            "lines are whole",
        ),
        (">&-", "standard output: found it closed; give a file or a pipe (`> FILE`)"),
        ("<&-", "standard input: found it closed; give a file or a pipe (`< texts.txt`)"),
        ("0> /dev/null", "standard input: Bad file descriptor; give a file or a pipe (`< texts.txt`)"),
        ("<&- >&-", "standard output: found it closed; give a file or a pipe (`> FILE`)"),
    ],
)
def test_streams_that_cannot_be_used_are_one_sentence(exports: Path, streams: str, message: str) -> None:
    assert predict(exports, streams) == (1, "", f"error: {message}\n")


def test_a_closed_standard_error_costs_no_answer(exports: Path) -> None:
    status, answers, _ = predict(exports, "2>&-", data=b"zuri\n\n")
    assert status == 0 and [json.loads(line)["line"] for line in answers.splitlines()] == [1, 2]
    assert predict(exports, ">&- 2>&-") == (1, "", "")


def test_a_cost_file_that_cannot_be_written_is_named(exports: Path, tmp_path: Path) -> None:
    message = f"error: --cost: expected the name of a file, found the folder {tmp_path}; give FOLDER/NAME.json\n"
    assert predict(exports, "", "--cost", str(tmp_path)) == (1, "", message)
    (tmp_path / "file").write_text("")
    status, answers, message = predict(exports, "", "--cost", str(tmp_path / "file/cost.json"))
    assert (status, len(answers.splitlines())) == (1, 2)
    assert message.startswith(f"error: --cost: {tmp_path / 'file/cost.json'}: ") and message.count("\n") == 1
    assert message.endswith("; every line is predicted, give a file that can be written\n")


@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"])
def test_utf16_with_a_mark_is_predicted_as_utf8_is(exports: Path, encoding: str) -> None:
    text = "\r\n".join([*TEXTS, ""])
    expected = predict(exports, "", data=text.encode())
    assert expected[0] == 0 and len(expected[1].splitlines()) == 3
    assert predict(exports, "", data=f"\ufeff{text}".encode(encoding)) == expected
    without = predict(exports, "", data=text.encode(encoding))
    assert without == (
        1, "", f"error: standard input: expected UTF-8, found {encoding} without a byte order mark; convert it: `iconv "
        f"-f {encoding} -t UTF-8 FILE | python -m distil.predict ...`\n",
    )  # fmt: skip
