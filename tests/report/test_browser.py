"""The report in a real browser, headless Chromium: loads, fits, can be used with a keyboard, passes axe."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from distil.report.data import load_report
from distil.report.html import render_html
from tests.support.browser import chromium, needs_browser
from tests.support.report_fixture import write_inputs

WIDTHS, SCHEMES = (375, 1280), ("light", "dark")
LONG = "reply to everybody: " + "supercalifragilistic" * 12  # a word that no line can break

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    write_inputs(
        root, tasks=["sentiment", "names"], tagged=("names",), rows=40,
        texts=[f"{LONG} <b>{row}</b>" for row in range(40)],
    )  # fmt: skip
    (root / "report.html").write_text(render_html(load_report(root)), encoding="utf-8")
    return (root / "report.html").as_uri()


@pytest.fixture(scope="module")
def short_address(tmp_path_factory):
    """A page of one task."""
    root = tmp_path_factory.mktemp("short")
    write_inputs(root, rows=40)
    (root / "report.html").write_text(render_html(load_report(root)), encoding="utf-8")
    return (root / "report.html").as_uri()


@pytest.fixture
def opened(browser, address):
    """Opens the page at a width, light or dark, and with it what the browser complained of and asked for."""
    contexts = []

    def open_page(width: int, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page, complaints, requests = context.new_page(), [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        return page, complaints, requests

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_loads_alone_without_a_complaint_and_nothing_overflows(opened, address, width, scheme):
    page, complaints, requests = opened(width, scheme)
    assert complaints == [] and requests == [address]
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = page.evaluate(
        """width => [...document.querySelectorAll('body *')].filter(part => {
            const box = part.getBoundingClientRect();
            return box.width && box.right > width + 1 && !part.closest('.scroll, svg');
        }).map(part => part.outerHTML.slice(0, 80))""",
        width,
    )
    assert beyond == []
    over = page.evaluate(
        """width => [...document.querySelectorAll('svg text')].filter(part => {
            const box = part.getBoundingClientRect();
            return box.left < -1 || box.right > width + 1;
        }).map(part => part.textContent)""",
        width,
    )
    assert over == []


@pytest.mark.parametrize("width", [1024, 1280, 1440])
def test_no_table_is_wider_than_its_box(opened, width):
    """On a screen of a laptop every value is in sight, folded tables included once they are open."""
    page, _, _ = opened(width)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    boxes = page.evaluate(
        """[...document.querySelectorAll('.scroll')].map(
            box => [box.getAttribute('aria-labelledby'), box.scrollWidth, box.clientWidth])"""
    )
    assert len(boxes) > 20 and [box for box in boxes if box[1] > box[2]] == []


def test_a_page_of_one_task_is_shorter_than_six_screens(browser, short_address):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(short_address)
    height = page.evaluate("document.documentElement.scrollHeight")
    page.close()
    assert height < 6 * 900


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_fault(opened, width, scheme):
    """Landmarks, order of headings, names of pictures, contrast, tables, languages: WCAG 2.2 AA and best practices."""
    page, _, _ = opened(width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = Axe().run(page).response["violations"]
    assert [(fault["id"], [node["html"][:120] for node in fault["nodes"][:3]]) for fault in found] == []


def test_dark_and_light_are_different_pages(opened):
    papers = [opened(1280, scheme)[0].evaluate("getComputedStyle(document.body).backgroundColor") for scheme in SCHEMES]
    assert papers == ["rgb(255, 255, 255)", "rgb(20, 23, 26)"]


def test_the_first_screen_shows_size_speed_distances_and_the_picture_of_retention(opened):
    page, _, _ = opened(1280)
    for text in (
        "Size in 8 bits",
        "Speed in 8 bits",
        "Parameters",
        "Gain over no teacher",
        "Gain over TF-IDF",
        "Share of the teacher",
    ):
        assert page.get_by_text(text, exact=True).first.bounding_box()["y"] < 900, text
    picture = page.locator("#kept-sentiment-t").locator("xpath=..").bounding_box()
    assert picture["y"] + picture["height"] <= 900


def test_the_keyboard_reaches_everything_from_top_to_bottom_and_shows_where_it_is(opened):
    page, _, _ = opened(1280)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0  # it is seen while it has the focus
    stops, tops = page.evaluate("document.querySelectorAll('a, summary, [tabindex=\"0\"]').length"), []
    for _ in range(stops - 1):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break  # past the last one; those in folded tables are no stops
        top, outline = page.evaluate(
            """() => { const part = document.activeElement;
            return [part.getBoundingClientRect().top + scrollY, getComputedStyle(part).outlineStyle]; }"""
        )
        tops.append(top)
        assert outline != "none"
    assert len(tops) > 20 and tops == sorted(tops)


def test_a_folded_table_opens_with_the_keyboard(opened):
    page, _, _ = opened(375)
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('details').open")


def test_the_link_skips_to_the_report(opened):
    page, _, _ = opened(375)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
