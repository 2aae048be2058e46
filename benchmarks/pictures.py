"""Pictures of the results of this checkout for docs: the report's first screen, and MLflow's table of runs.

    dvc repro && dvc exp run -S loss.alpha=0.5       # and others; the report is that of the workspace
    python -m benchmarks.pictures [--out FOLDER]     # writes docs/images/report.png and docs/images/mlflow-runs.png

Needs Chromium. MLflow's page is that of a server on a free port, which ends with the command.
"""

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from benchmarks.svg import IMAGES
from distil.core.errors import UserError
from distil.core.files import atomic_path
from distil.runtime.process import run_command
from distil.tracking.view import find_view_address

REPORT, STORE = Path("metrics/report.html"), Path("mlflow.db")
WIDTH = 1900  # of MLflow's page, px: all columns of the saved view
COLOURS = 128  # of a PNG with a palette, a third of the bytes
START_SECONDS = 120.0


def main() -> None:
    """Write both pictures."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    out = arguments.parse_args().out
    for path in (REPORT, STORE):
        if not path.is_file():
            raise UserError(f"{path}: no such file; run `dvc repro` first")
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        save(report(browser), out / "report.png")
        with server() as address:
            save(runs(browser, address), out / "mlflow-runs.png")
        browser.close()


def chromium_path() -> str:
    """The browser's program.

    Raises:
        UserError: there is none.
    """
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise UserError("no Chromium here; `apt-get install chromium` brings one")
    return found


def report(browser: Browser) -> bytes:
    """The first screen of metrics/report.html on a laptop."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.goto(REPORT.absolute().as_uri())
    return page.screenshot()


def runs(browser: Browser, server_address: str) -> bytes:
    """MLflow's table of runs in the saved view, down to the last run."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
    page.goto(server_address + "/#/" + find_view_address().partition("/#/")[2])
    rows = page.locator(".ag-center-cols-container .ag-row")
    rows.first.wait_for()
    page.wait_for_timeout(1000)  # the assistant opens a moment later
    for name in ("Close", "Hide banner", "Toggle sidebar"):
        for button in page.get_by_role("button", name=name, exact=True).all():
            button.click()
    page.wait_for_timeout(2000)  # columns find their width
    bottom = max(row.bounding_box()["y"] + row.bounding_box()["height"] for row in rows.all())  # type: ignore[index]
    return page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": bottom + 12})


@contextmanager
def server() -> Iterator[str]:
    """The address of MLflow's server for the store of this checkout."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{STORE.absolute()}",
    ]  # fmt: skip
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(f"{address}/health", process)
            yield address
        finally:
            process.terminate()


def wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    """Until the server answers.

    Raises:
        UserError: it ended, or START_SECONDS went by.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise UserError(f"{address}: MLflow's server did not answer; `make mlflow` shows why")


def save(png: bytes, path: Path) -> None:
    """Write a picture with a palette."""
    with atomic_path(path) as temporary:
        Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS).save(temporary, format="PNG", optimize=True)


if __name__ == "__main__":
    run_command(main)
