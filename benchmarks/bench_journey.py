"""A first visit, in an empty home: from the command to the first page, the searchable sample corpus and a cited answer.

The install is not in it. Needs Chromium and Playwright (the test extra). There are no raw parts to make a ratio with.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
LIMIT_MS = 180_000
QUESTION = "How many days of paid leave does an employee have?"


def run() -> list[dict[str, Any]]:
    """Seconds since the command was given, by milestone."""
    with tempfile.TemporaryDirectory(prefix="corpuscope-", ignore_cleanup_errors=True) as folder:
        began = time.monotonic()
        with _product(Path(folder) / "home") as address, _tab() as page:
            return [
                {"name": f"first visit: {name}", "value": round(time.monotonic() - began, 1), "unit": "s"}
                for name in _visit(page, address)
            ]


def _visit(page: Page, address: str) -> Iterator[str]:
    while not _opens(page, f"{address}/documents"):
        time.sleep(0.05)
    expect(page.get_by_role("button", name="Try the sample corpus")).to_be_visible(timeout=LIMIT_MS)
    yield "first page"
    page.get_by_role("button", name="Try the sample corpus").click()
    expect(page.get_by_text(re.compile(r"\d+ ready"))).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_text(re.compile(r"\d in work"))).to_have_count(0, timeout=LIMIT_MS)
    yield "sample corpus searchable"
    page.get_by_role("link", name="Chat", exact=True).click()
    page.get_by_role("button", name=QUESTION).click()
    expect(page.get_by_text(re.compile(r"^Complete ·"))).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_text("28 days of paid leave").first).to_be_visible(timeout=LIMIT_MS)
    yield "cited answer"


def _opens(page: Page, address: str) -> bool:
    try:
        page.goto(address)
    except Error:  # nobody listens yet
        return False
    return True


@contextmanager
def _product(home: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"CORPUSCOPE_HOME": str(home), "CORPUSCOPE_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "rag.cli"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@contextmanager
def _tab() -> Iterator[Page]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield browser.new_page()
        finally:
            browser.close()
