"""A tokenizer.json in fewer bytes."""

import json
from pathlib import Path

import numpy as np

from distil.core.files import write_text


def write_small_tokenizer(source: Path, path: Path) -> None:
    """A tokenizer.json in fewer bytes: without white space, and scores that are float32 numbers in as few digits.

    SentencePiece has float32 scores, which most files spell in float64: 17 digits where 9 name the same number.
    """
    spec = json.loads(source.read_text(encoding="utf-8"))
    for entry in spec["model"]["vocab"]:
        if (short := np.float32(entry[1])) == entry[1]:
            entry[1] = float(str(short))
    write_text(path, json.dumps(spec, ensure_ascii=False, separators=(",", ":")))
