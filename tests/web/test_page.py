"""The page of `distil demo` in headless Chromium: the answers of Python, alone, offline, a sentence for each fault."""

import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from distil.core.files import read_json, write_json
from distil.serving.predictor import Predictor
from tests.support.browser import chromium, needs_browser
from tests.support.javascript import needs_node
from tests.web.texts import sentences

pytestmark = [needs_browser, needs_node]
expect.set_options(timeout=30_000)  # a busy machine takes seconds to compile the runtime
TEXT = "Ọ̀rọ̀ 👩🏾\u200d🌾 Huduma <s> hii\u200b inakera, @user!"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *parts: object) -> None:
        pass


class Site:
    """A folder behind Python's own web server, as `python -m http.server` shows it."""

    def __init__(self, folder: Path) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://localhost:{self.server.server_port}/"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Visit(NamedTuple):
    page: Page
    site: Site
    complaints: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def own(demo: Path, tmp_path: Path) -> Path:
    """A copy of the demo that a test may damage."""
    return Path(shutil.copytree(demo, tmp_path / "demo"))


def visited(browser: Browser, folder: Path) -> Visit:
    """A folder opened as by a new visitor, with what the browser complained of and asked for."""
    site, context = Site(folder), browser.new_context()
    page, complaints, requests = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    context.on("request", lambda request: requests.append(request.url))
    page.goto(site.address)
    return Visit(page, site, complaints, requests)


def leave(visit: Visit) -> None:
    visit.page.context.close()
    visit.site.stop()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[Path], Visit]]:
    """Opens folders."""
    visits: list[Visit] = []

    def open_folder(folder: Path) -> Visit:
        visits.append(visited(browser, folder))
        return visits[-1]

    yield open_folder
    for one in visits:
        leave(one)


@pytest.fixture(scope="module")
def opened(browser: Browser, demo: Path) -> Iterator[Visit]:
    """The demo as it was written, loaded once."""
    visit = visited(browser, demo)
    ready(visit.page)
    yield visit
    leave(visit)


def ready(page: Page) -> Page:
    expect(page.locator("#status")).to_have_text("Ready.")
    return page


def ask(page: Page, text: str, language: str = "") -> list[str]:
    """Answers of the models, as the page shows them."""
    page.locator("#text").fill(text)
    page.locator("#language").select_option(language)
    page.evaluate("document.getElementById('answers').replaceChildren()")
    page.get_by_role("button", name="Answer").click()
    page.locator("#answers section").first.wait_for()
    return page.locator("#answers section").all_inner_texts()


def test_the_page_gives_the_answers_of_python(opened, exports) -> None:
    """With probabilities; the operators of the two runtimes round differently, which 8 bits make visible."""
    page = opened.page
    words, names = (Predictor(exports / "models/onnx" / name, 1) for name in ("words/int8", "names/fp32"))
    texts = [TEXT, *(text for each in sentences(2).values() for text in each)]
    for text in texts:
        (expected,), (tagged,) = words.predict([text]), names.predict([text])
        ask(page, text)
        classified, marked = page.locator("#answers section").all()
        label, *_ = classified.locator("strong").all_inner_texts()
        rows = [row.split("\t") for row in classified.locator("tr").all_inner_texts()]
        shown = {row[0]: float(row[-1].removesuffix(" %")) / 100 for row in rows}
        assert shown == pytest.approx(expected["scores"], abs=0.004), text
        assert label == max(shown, key=lambda name: shown[name])
        first = list(expected["scores"].values())
        assert label == expected["label"] or max(first) - sorted(first)[-2] < 0.004
        entities = [mark.rpartition(" ") for mark in marked.locator("mark").all_inner_texts()]
        assert [entity for entity, _, _ in entities] == spans(tagged["tokens"], tagged["tags"]), text
        assert {name for _, _, name in entities} <= {"PER"}
    assert opened.complaints == []


def spans(tokens: list[str], tags: list[str]) -> list[str]:
    """Entities of valid IOB2 tags of one type."""
    found: list[list[str]] = []
    for token, tag in zip(tokens, tags, strict=True):
        if tag.startswith("B-"):
            found.append([token])
        elif tag.startswith("I-"):
            found[-1].append(token)
    return [" ".join(entity) for entity in found]


def test_it_asks_no_other_host_and_then_works_without_any(visit, demo) -> None:
    opened = visit(demo)
    page = ready(opened.page)
    expect(page.locator("#offline")).to_have_text("Works without a network from now on.")
    before = ask(page, TEXT)
    assert opened.requests and all(request.startswith(opened.site.address) for request in opened.requests)
    opened.site.stop()
    page.reload()
    after = ask(ready(page), TEXT)
    assert [without_times(card) for card in after] == [without_times(card) for card in before]
    assert opened.complaints == []


def without_times(card: str) -> list[str]:
    return [line for line in card.splitlines() if " ms, " not in line]


def test_the_language_is_guessed_or_chosen_and_a_model_without_it_says_so(visit, own) -> None:
    settings = read_json(own / "settings.json", "")
    settings["models"][0] |= {"languages": ["yor"], "companion": True}
    write_json(own / "settings.json", settings)
    page = ready(visit(own).page)
    swahili, yoruba = (sentences(1)[code][0] for code in ("swa", "yor"))
    first, second = ask(page, swahili)
    assert "The text looks like Swahili, and this model is for Yoruba: the answer may be wrong." in first
    assert " ms, " in first and " ms, " in second and "wrong" not in second
    assert "Without the linear companion that distil predict adds." in first and "companion" not in second
    assert page.locator("#status").inner_text() == "Language: Swahili (guessed)."
    assert not any("wrong" in card for card in ask(page, yoruba))
    first, second = ask(page, swahili, "swa")
    assert "No answer in Swahili: this model is for Yoruba; choose another model." in first
    assert " ms, " not in first and " ms, " in second
    ask(page, "😀")
    assert page.locator("#status").inner_text() == "Language: not sure."


def test_a_text_that_cannot_be_answered_gets_one_sentence_and_the_next_one_an_answer(opened) -> None:
    page = opened.page
    cards = ask(page, "a" * 100_000)
    assert len(cards) == 2
    for card in cards:
        assert "100,000 bytes in one text; expected at most 65,536: give a shorter text." in card
    assert all("The text is empty; write one." in card for card in ask(page, " \u200b\n"))
    assert all(" ms, " in card for card in ask(page, "a " * 30_000)) and opened.complaints == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("no model", "models/1/model.onnx: not there (status 404); copy the demo's folder again."),
        pytest.param("cut", "models/1/model.onnx: 10 bytes, expected ", marks=pytest.mark.slow),
        pytest.param("noise", "models/1/model.onnx: not read by ONNX Runtime ", marks=pytest.mark.slow),
        pytest.param(
            "no head",
            "words: no task head (masked_lm); write the demo of a classifier or a tagger.",
            marks=pytest.mark.slow,
        ),
        ("settings", "settings.json: damaged; copy the demo's folder again."),
        ("no script", "A file of the page could not be loaded "),
        pytest.param("pieces", "models/1/tokenizer.json: ", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_folder_is_told_in_a_sentence(visit, own, damage, said) -> None:
    model, settings = own / "models/1/model.onnx", read_json(own / "settings.json", "")
    match damage:
        case "no model":
            model.unlink()
        case "cut":
            model.write_bytes(model.read_bytes()[:10])
        case "noise":
            model.write_bytes(bytes(model.stat().st_size))
        case "no head":
            settings["models"][0]["kind"] = "masked_lm"
        case "no script":
            (own / "tags.js").unlink()
        case "pieces":
            settings["models"][0]["pieces"] = 7
    write_json(own / "settings.json", settings)
    if damage == "settings":
        (own / "settings.json").write_text("{")
    page = visit(own).page
    expect(page.locator("#status")).to_contain_text(said)
    assert page.locator("#answer").is_disabled()


def test_a_model_with_another_head_is_refused_instead_of_read_wrongly(visit, own, exports) -> None:
    settings = read_json(own / "settings.json", "")
    shutil.copyfile(exports / "models/onnx/masked_lm/int8/model.onnx", own / "models/1/model.onnx")
    settings["models"][0]["files"]["model.onnx"] = (own / "models/1/model.onnx").stat().st_size
    write_json(own / "settings.json", settings)
    expect(visit(own).page.locator("#status")).to_contain_text("models/1/model.onnx: no head for 3 labels ")


def test_opened_from_a_file_it_says_what_to_do(browser, demo) -> None:
    page = browser.new_page()
    page.goto((demo / "index.html").as_uri())
    expect(page.locator("#status")).to_contain_text("run `python -m http.server` in this folder")
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_it_fits_and_axe_finds_no_fault(opened, width, scheme) -> None:
    page = opened.page
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    ask(page, TEXT + " supercalifragilistic" + "x" * 100)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(fault["id"], [node["html"][:120] for node in fault["nodes"][:3]]) for fault in found] == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)")


def test_the_keyboard_is_enough(opened) -> None:
    page = opened.page
    page.locator("body").click(position={"x": 1, "y": 1})
    for expected in ("text", "language", "answer"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == expected
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.locator("#text").focus()
    page.keyboard.type("zuri sana")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answers section")).to_have_count(2)
    assert page.locator("#answers").get_attribute("aria-live") == "polite"
