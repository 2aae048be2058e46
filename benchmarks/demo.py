"""One short text in the browser, in Python and by the teacher: milliseconds from text to answer, each on one thread.

    python -m benchmarks.demo --model models/onnx/sentiment/int8 [--teacher FOLDER] [--text FILE] [--quick] [--out FILE]
    python -m benchmarks.demo --model FOLDER --compare FOLDER --languages data/raw --picture docs/images/demo.png TEXT

Writes a demo, serves it from this process and opens it in headless Chromium as a new visitor; then the texts are typed
in, one after the other. The teacher has a new head, which costs what a trained one does. Medians over the texts,
without the first. `first_answer_ms`: of the first text, after loading. The last line is one JSON object. The second
form measures nothing: it takes a picture of the page with the answers to TEXT.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from playwright.sync_api import Page, sync_playwright

from benchmarks.machine import add_sizes, by_size
from benchmarks.pictures import chromium_path, save
from distil.modeling.tokenizer import read_as_text
from distil.runtime.machine import machine
from distil.serving.model_info import read_card
from distil.serving.predictor import Predictor
from distil.serving.torch_runtime import TorchRuntime
from distil.text.cleaning import clean_line
from distil.web.demo import write_demo

LONGEST = 140  # characters of a short text


class Quiet(SimpleHTTPRequestHandler):
    """Python's own web server, without its log."""

    def log_message(self, *parts: object) -> None:
        """Nothing."""


def main() -> None:
    """Print one JSON object."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--model", type=Path, default=Path("models/onnx/sentiment/int8"))
    options.add_argument("--teacher", type=Path, default=Path("models/teacher"))
    options.add_argument("--text", type=Path, default=Path("data/raw/swa.txt"), help="a text a line")
    options.add_argument("--runtime", type=Path, help="as of `distil demo`")
    options.add_argument("--compare", type=Path, help="the second model of the picture")
    options.add_argument("--languages", type=Path, help="LANG.txt of each language, for the picture")
    options.add_argument("--picture", type=Path, help="take a picture instead")
    options.add_argument("say", nargs="?", metavar="TEXT", help="of the picture")
    add_sizes(options)
    options.add_argument("--out", type=Path, help="also write the JSON object here")
    chosen = options.parse_args()
    if chosen.picture:
        models = [chosen.model, *([chosen.compare] if chosen.compare else [])]
        with opened(models, chosen.runtime, chosen.languages) as page:
            ask(page, chosen.say)
            page.get_by_text("Works without a network").wait_for()
            return save(page.screenshot(full_page=True), chosen.picture)
    count = by_size(chosen, 3, 50, 200)
    lines = (clean_line(line) for line in chosen.text.read_text(encoding="utf-8").splitlines())
    texts = [line for line in lines if line and len(line) <= LONGEST][:count]
    with opened([chosen.model], chosen.runtime) as page:
        loading = page.evaluate("performance.now()") / 1000
        browser = [ask(page, text) for text in texts]
    student = Predictor(chosen.model, 1)
    python = times(lambda text: student.predict([text]), texts)
    teacher = times(teacher_answer(chosen.teacher, chosen.model), texts)
    found = {"browser_ms": median(browser[1:]), "python_ms": median(python[1:]), "teacher_ms": median(teacher[1:])}
    result = {
        **{name: round(value, 2) for name, value in found.items()},
        "teacher_over_browser": round(found["teacher_ms"] / found["browser_ms"], 1),
        "teacher_over_python": round(found["teacher_ms"] / found["python_ms"], 1),
        "ready_seconds": round(loading, 2), "first_answer_ms": browser[0], "texts": len(texts),
        "characters": median(map(len, texts)), "machine": machine("torch"),
    }  # fmt: skip
    text = json.dumps(result)
    if chosen.out:
        chosen.out.write_text(text + "\n", encoding="utf-8")
    print(text)


def times(answer: Callable[[str], Any], texts: list[str]) -> list[float]:
    """Milliseconds of each text."""
    taken = []
    for text in texts:
        start = time.perf_counter()
        answer(text)
        taken.append(1000 * (time.perf_counter() - start))
    return taken


def teacher_answer(folder: Path, model: Path) -> Callable[[str], np.ndarray]:
    """Text -> logits of a teacher in torch, float32, with a head of the model's kind."""
    torch.set_num_threads(1)
    runtime = TorchRuntime(folder, read_card(model).kind, 1, new_head=True)
    tokenizer = read_as_text(folder / "tokenizer.json")

    def answer(text: str) -> np.ndarray:
        ids = np.array([tokenizer.encode(text).ids])
        return runtime.logits(ids, np.ones_like(ids))

    return answer


@contextmanager
def opened(models: list[Path], modules: Path | None, languages: Path | None = None) -> Iterator[Page]:
    """A demo in the browser, ready."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        write_demo(models, Path(name) / "demo", modules, languages)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=f"{name}/demo"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 600}, color_scheme="light")
        page.goto(f"http://localhost:{server.server_port}/")
        page.get_by_text("Ready.").wait_for()
        yield page
        browser.close()
        server.shutdown()
        server.server_close()


def ask(page: Page, text: str) -> float:
    """Milliseconds of one text."""
    page.evaluate("document.getElementById('answers').replaceChildren()")
    page.locator("#text").fill(text)
    page.locator("#answer").click()
    return float(page.locator("#answers .cost").first.inner_text().partition(" ms")[0])


if __name__ == "__main__":
    main()
