"""The one Chromium of a test process.

Playwright's synchronous interface can be started once in a thread: whichever file needs a browser takes these fixtures.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright


def find_chromium() -> str | None:
    for name in ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    return None


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=30_000)  # two cores that others use too
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("Chromium is not installed: no browser test can run. Install it, then run `make test` again.")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    running = playwright.chromium.launch(executable_path=program, args=flags)
    yield running
    running.close()
