"""The whole product in Chromium: started by its own command in a home of its own, on a free port.

`product` is shared by all of them and begins empty: the files run in the order of their names, the first ones before
there is anything. `page` is a fresh tab. SCREENSHOTS=1 rewrites docs/screenshots with what the tests see.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.folders import temporary_folder

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "docs" / "screenshots"
PATIENCE_S = 120

Shoot = Callable[..., None]


@dataclass
class Running:
    """One running product: where it answers, where it lives, and what its pages asked the outside world for."""

    address: str
    home: Path
    process: subprocess.Popen[bytes]
    outside: list[str] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        return environment(self.home, int(self.address.rpartition(":")[2]))

    def command(self, *arguments: str) -> str:
        """Run a `corpuscope` command against it and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "rag.cli", *arguments],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout


def environment(home: Path, port: int) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CORPUSCOPE_", "OPENAI_", "SUPABASE_"))
    }
    for name in ("DATABASE_URL", "CHAT_MODEL", "EMBEDDING_PROVIDER", "AUTH", "PUBLIC_URL", "ORIGINALS", "LIVE_UPDATES"):
        kept.pop(name, None)
    return kept | {"CORPUSCOPE_HOME": str(home), "CORPUSCOPE_PORT": str(port), "PYTHONWARNINGS": "ignore"}


@pytest.fixture(scope="session")
def product(browser: Browser) -> Iterator[Running]:
    """`corpuscope` itself, as `make run` starts it."""
    with temporary_folder() as folder:
        with running_product(folder / "home") as running:
            yield running
        assert not running.outside, f"pages fetched from outside: {running.outside}"


@contextlib.contextmanager
def running_product(home: Path, port: int | None = None, **settings: str) -> Iterator[Running]:
    """Start it in ``home`` with more ``settings``, and stop it at the end as Ctrl-C does."""
    port = port or _free_port()
    home.parent.mkdir(exist_ok=True)
    with (home.parent / "output.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rag.cli"],
            cwd=ROOT,
            env=environment(home, port) | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Running(f"http://127.0.0.1:{port}", home, process)
    try:
        _wait_until_it_answers(running)
        yield running
    finally:
        _stop(process)


@pytest.fixture
def page(browser: Browser, product: Running) -> Iterator[Page]:
    """A fresh tab in light mode."""
    with open_tab(browser, product) as tab:
        yield tab


@contextlib.contextmanager
def open_tab(browser: Browser, product: Running, *, dark: bool = False, width: int = 1360) -> Iterator[Page]:
    """A tab of its own session; what it asks from other hosts is noted and fails the run."""
    context = browser.new_context(
        viewport={"width": width, "height": 860},
        color_scheme="dark" if dark else "light",
        base_url=product.address,
        timezone_id="Europe/Berlin",
        accept_downloads=True,
    )
    context.set_default_timeout(45_000)
    tab = context.new_page()
    tab.on("request", lambda request: _note_outside(product, request.url))
    try:
        yield tab
    finally:
        context.close()


def _note_outside(product: Running, url: str) -> None:
    if not url.startswith((product.address, product.address.replace("http", "ws", 1), "data:", "blob:")):
        product.outside.append(url)


@pytest.fixture(scope="session")
def shoot() -> Shoot:
    """`shoot(page, "search")` writes docs/screenshots/search.png when SCREENSHOTS is set."""

    def write(page: Page, name: str) -> None:
        page.mouse.move(0, 0)
        page.wait_for_timeout(400)
        if os.environ.get("SCREENSHOTS"):
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")

    return write


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(running: Running) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert running.process.poll() is None, "the product ended at its start"
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{running.address}/_stcore/health", timeout=2):
            return
        time.sleep(0.1)
    pytest.fail(f"The product did not answer within {PATIENCE_S} s.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
