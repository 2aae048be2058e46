"""A sixth language in another script, Amharic, from text to student and prediction, read in Latin letters."""

import json
import random
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from distil.sources.synthetic import corpus_sentences, labelled_rows, read_lexicon
from distil.text.views import in_latin_script
from tests.support import ROOT
from tests.support.bad_input import change
from tests.support.repository import Repository, copy_repository, toy_params

FIVE = ["kin", "swa", "hau", "ibo", "yor"]
# Food, film, book, hotel, phone, clothes, song, service, house, car, coffee, lesson.
SUBJECTS = ["ምግቡ", "ፊልሙ", "መጽሐፉ", "ሆቴሉ", "ስልኩ", "ልብሱ", "ዘፈኑ", "አገልግሎቱ", "ቤቱ", "መኪናው", "ቡናው", "ትምህርቱ"]
ADVERBS = ["", "በጣም", "ዛሬ", "በእውነት", "ለእኔ"]  # none, very, today, truly, for me
SAID = {
    "positive": ["ጥሩ ነው", "ቆንጆ ነው", "አስደናቂ ነው", "ደስ ይላል", "ግሩም ነው"],
    "neutral": ["ትናንት መጣ", "ነጭ ነው", "እዚህ አለ", "አዲስ ነው", "ጠረጴዛ ላይ ነው"],
    "negative": ["መጥፎ ነው", "አስቀያሚ ነው", "አሰልቺ ነው", "ደካማ ነው", "ያበሳጫል"],
}
CHANGES: dict[str, Any] = {
    "languages": [*FIVE, "amh"], "corpus.source": "files", "corpus.path": "text", "corpus.script": "latin",
    "tasks.sentiment.source": "files", "tasks.sentiment.path": "labels", "tasks.sentiment.script": "latin",
    "tasks.sentiment.unlabelled_path": "labels", "tasks.sentiment.unlabelled": "", "tasks.entities.source": "none",
    "tasks.entities.unlabelled_path": "labels", "tasks.sentiment.max_train_rows": 200, "finetune.ngrams.max_n": 3,
    "finetune.ngrams.bits": 12, "finetune.student.epochs": 3, "export.masked_lm": True,
}  # fmt: skip


def amharic() -> tuple[list[str], list[tuple[str, str]]]:
    """Lines of text, and texts with labels in a random order."""
    rng = random.Random(1)
    labelled = [
        (" ".join(filter(None, parts)) + "።", label)
        for label, ends in SAID.items() for parts in product(SUBJECTS, ADVERBS, ends)
    ]  # fmt: skip
    rng.shuffle(labelled)
    ends = [said for each in SAID.values() for said in each]
    text = [
        f"{rng.choice(SUBJECTS)} {rng.choice(ends)}፤ {rng.choice(SUBJECTS)} {rng.choice(ends)}።" for _ in range(600)
    ]
    return text, labelled


def write_input(root: Path) -> list[tuple[str, str]]:
    """text/LANG.txt and labels/LANG/SPLIT.tsv; returns the Amharic test rows."""
    text, labelled = amharic()
    splits = {"train": labelled[:300], "dev": labelled[300:360], "test": labelled[360:460]}
    for code in (*FIVE, "amh"):
        lexicon = read_lexicon(ROOT / "distil/lexicons", code) if code != "amh" else None
        rows = labelled_rows(lexicon) if lexicon else splits
        (root / "labels" / code).mkdir(parents=True)
        (root / "text").mkdir(exist_ok=True)
        for split, each in rows.items():
            lines = [f"{said}\t{label}\n" for said, label in each]
            (root / "labels" / code / f"{split}.tsv").write_text("".join(["tweet\tlabel\n", *lines]), encoding="utf-8")
        lines = list(corpus_sentences(lexicon)) if lexicon else text
        (root / "text" / f"{code}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return splits["test"]


def answers(copy: Repository, texts: list[str], *model: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["python", "-m", "distil.predict", "--model", *model], cwd=copy.root, env=copy.env, text=True,
        input="".join(f"{text}\n" for text in texts), capture_output=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_language_in_another_script_becomes_a_student_that_reads_it(tmp_path: Path) -> None:
    copy = copy_repository(tmp_path)
    test = write_input(copy.root)
    params = copy.root / "params.yaml"
    params.write_text(toy_params(params.read_text(encoding="utf-8")), encoding="utf-8")
    change(params, CHANGES)
    copy.run("git", "init", "--quiet")
    copy.commit("the code")
    copy.run("dvc", "repro", "export")

    raw = (copy.root / "data/raw/amh.txt").read_text(encoding="utf-8")
    assert raw.isascii() and len(raw.splitlines()) > 100
    pieces = yaml.safe_load((copy.root / "data/prepared/amh/manifest.json").read_text())
    assert pieces["script"] == "latin" and pieces["splits"]["train"]["tokens"] > 1000

    texts = [text for text, _ in test]
    model = ("models/onnx", "--task", "sentiment")
    found = answers(copy, texts, *model)
    assert [one["scores"] for one in found] == [
        one["scores"] for one in answers(copy, list(map(in_latin_script, texts)), *model)
    ]  # fmt: skip
    right = sum(one["label"] == label for one, (_, label) in zip(found, test, strict=True))
    assert right > 0.7 * len(test)  # a third is chance
    for folder in ("models/student", "models/onnx/masked_lm/int8"):
        first, other = (answers(copy, [f"{word} <mask>"], folder) for word in ("ሰላም", in_latin_script("ሰላም")))
        assert first == other and len(first[0]["masks"][0]) == 5

    said = subprocess.run(
        ["python", "-m", "distil", "demo", "--model", "models/onnx", "--task", "sentiment"], cwd=copy.root,
        env=copy.env, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert said.returncode == 1 and "a browser cannot transliterate" in said.stderr
