"""A text of 5,000 words, cut with truncation=True: the lines of README.md and the pipelines of transformers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, pipeline

from tests.support import ROOT, toy
from tests.support.exported import LABELS

TEXT = " ".join(" ".join(toy.sentences(1200, 4)).split()[:5000])


def test_the_text_is_longer_than_the_model_reads(exports: Path) -> None:
    assert len(TEXT.split()) == 5000
    tokenizer = AutoTokenizer.from_pretrained(exports / "models/onnx/words/fp32")
    assert len(tokenizer(TEXT)["input_ids"]) > 5000
    assert len(tokenizer(TEXT, truncation=True)["input_ids"]) == tokenizer.model_max_length == 512


def test_the_python_of_the_serving_page_takes_it_with_truncation(exports: Path, tmp_path: Path) -> None:
    section = (ROOT / "docs/guides/serve.md").read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL) if "from_pretrained" in block)
    code, texts = re.subn(r'tokenizer\("[^"]*"', "tokenizer(open('long.txt').read()", code)
    assert texts == 1
    if "truncation=True" not in code:
        code = code.replace('return_tensors="pt"', 'return_tensors="pt", truncation=True')
    shutil.copytree(exports / "models/onnx/words", tmp_path / "models/onnx/sentiment")
    (tmp_path / "long.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "use.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in LABELS["text_classification"]


@pytest.mark.parametrize("folder", ["models/onnx/words/fp32", "models/finetuned/student/words/seed-1"])
def test_a_text_classification_pipeline_takes_it(exports: Path, folder: str) -> None:
    classify = pipeline("text-classification", model=str(exports / folder))
    (found,) = classify(TEXT, truncation=True)
    assert found["label"] in LABELS["text_classification"]


def test_a_token_classification_pipeline_cuts_it_by_itself(exports: Path) -> None:
    tag = pipeline("token-classification", model=str(exports / "models/onnx/names/fp32"), ignore_labels=[])
    found = tag(TEXT)
    assert len(found) == 510  # 512 with <s> and </s>
    assert {entry["entity"] for entry in found} <= set(LABELS["token_classification"])


def test_a_fill_mask_pipeline_takes_it(exports: Path) -> None:
    fill = pipeline("fill-mask", model=str(exports / "models/onnx/masked_lm/fp32"))
    found = fill(f"<mask> {TEXT}", tokenizer_kwargs={"truncation": True}, top_k=3)
    assert len(found) == 3 and found[0]["score"] >= found[1]["score"] > 0
