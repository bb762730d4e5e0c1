"""A second start of `corpuscope`, from the command to the first painted page in Chromium, and until all of it is there.

The first start, which makes the database, is not measured. The browser is open already, as a person's is.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from rag.commands.appserver import answers
from rag.commands.children import settings_environment
from rag.settings import Settings

TARGET_S = 4.0
ROUNDS = 3
_LIMIT_S = 120.0

#: Something of ours is on the screen: a heading of the page, not Streamlit's skeleton.
PAINTED = "[data-testid=stMain] h1, [data-testid=stMain] h2, [data-testid=stMain] [data-testid=stMarkdown]"


def run(rounds: int = ROUNDS) -> list[dict[str, object]]:
    """Two rows: seconds to the first paint, and to the page with its database."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory(prefix="start-", ignore_cleanup_errors=True) as home, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        _measure(Path(home), browser.new_page())
        measured = [_measure(Path(home), browser.new_page()) for _ in range(rounds)]
        browser.close()
    paint = statistics.median(painted for painted, _ in measured)
    full = statistics.median(complete for _, complete in measured)
    return [
        {
            "name": "second start: command to first painted page",
            "value": round(paint, 2),
            "unit": "s",
            "ratio": round(paint / TARGET_S, 3),
            "target": f"<= {TARGET_S:g} s",
            "ok": paint <= TARGET_S,
        },
        {"name": "second start: command to the page with its database", "value": round(full, 2), "unit": "s"},
    ]


def _measure(home: Path, page: Page) -> tuple[float, float]:
    """Seconds until something of ours is painted, and until no page says that the database is starting."""
    port = _free_port()
    settings = Settings(_env_file=None, corpuscope_home=home, corpuscope_port=port, corpuscope_workers=1)
    began = time.perf_counter()
    launcher = subprocess.Popen(
        [sys.executable, "-m", "rag.cli"],
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, **settings_environment(settings)},
        stdout=subprocess.DEVNULL,
    )
    try:
        # As a person does, who opens the address when it is printed: a browser asked twenty times a second before that
        # draws twenty error pages, and takes a third of the machine from what is measured.
        _until(lambda: launcher.poll() is not None or answers(settings))
        page.goto(f"http://127.0.0.1:{port}", wait_until="commit")
        page.wait_for_selector(PAINTED, timeout=_LIMIT_S * 1000)
        painted = time.perf_counter() - began
        page.wait_for_selector("[data-testid=stMain] button", timeout=_LIMIT_S * 1000)
        return painted, time.perf_counter() - began
    finally:
        page.close()
        launcher.send_signal(signal.SIGINT)
        if launcher.wait(60):
            raise RuntimeError("Corpuscope failed; run `corpuscope` to see why.")


def _until(condition: Callable[[], Any]) -> None:
    deadline = time.perf_counter() + _LIMIT_S
    while not condition():
        if time.perf_counter() > deadline:
            raise TimeoutError("The app did not answer.")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
