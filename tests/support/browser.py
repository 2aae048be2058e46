"""Headless Chromium for tests of pages. Without it they are skipped with a reason; where CI is set they fail."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_browser = pytest.mark.skipif(
    BROWSER is None and not os.environ.get("CI"), reason="no Chromium here; `apt-get install chromium` brings one"
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser."""
    if BROWSER is None:
        pytest.fail("CI is set and there is no Chromium; .ci/run installs it")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield running
        running.close()
