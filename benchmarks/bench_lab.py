"""Moving sliders of the Search lab over 100,000 chunks in Chromium: from the release to the new results on the screen.

The app runs by its own command without workers, over a database that was filled beforehand, with the product's own
question encoder. Playwright drags a slider and lets go at once; a script in the page notes when the mouse was released,
when the browser asked the app, when the app's last answer came, and when the frame after the new list was drawn. How
long the search itself took is what the page says of it.

``python -m benchmarks.bench_lab fill HOME`` and ``… measure HOME`` do the two halves on their own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from playwright.sync_api import Page, sync_playwright

from benchmarks.search_corpus import Row, cluster, store_collection, write_texts
from rag.settings import Settings
from rag.store.database import open_embedded
from rag.store.postgres import EmbeddedPostgres
from rag.vectors.embedders import load_embedder
from rag.vectors.models import PACKAGED

ROWS = 100_000
MOVES = 40
WARM_UP = 4
TARGET_MS = 300
ROOT = Path(__file__).resolve().parents[1]
_START_S = 120.0

#: Notes times in the page: of the release, the first message to the app after it, the last one from it, and the paint.
_PROBE = """
(() => {
  const lab = (window.lab = { released: 0, sent: 0, heard: 0, painted: 0 })
  const send = WebSocket.prototype.send
  WebSocket.prototype.send = function (data) {
    if (!this.watched) {
      this.watched = true
      this.addEventListener("message", () => { if (!lab.painted) lab.heard = performance.now() })
    }
    if (lab.released && !lab.sent) lab.sent = performance.now()
    return send.call(this, data)
  }
  lab.arm = () => {
    Object.assign(lab, { released: 0, sent: 0, heard: 0, painted: 0 })
    const before = document.querySelector(".st-key-results")?.textContent
    const watch = new MutationObserver(() => {
      const now = document.querySelector(".st-key-results")?.textContent
      if (!lab.released || now === undefined || now === before) return
      watch.disconnect()
      requestAnimationFrame(() => requestAnimationFrame(() => (lab.painted = performance.now())))
    })
    watch.observe(document.body, { childList: true, subtree: true, characterData: true })
    addEventListener("pointerup", () => (lab.released = performance.now()), { once: true, capture: true })
  }
})()
"""


def run(rows: int = ROWS) -> list[Row]:
    """Fill a database, then measure; about five minutes, without Chromium one sentence."""
    if _chromium() is None:
        return [{"name": "sliders of the Search lab: Chromium is not installed", "ok": None}]
    with tempfile.TemporaryDirectory(prefix="corpuscope-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        fill(home, rows)
        return measure(home)


def fill(home: Path, rows: int = ROWS) -> None:
    """A collection of so many chunks under the product's model, and the model exported."""
    load_embedder(Settings(_env_file=None, corpuscope_home=home))
    with (
        EmbeddedPostgres(home) as server,
        open_embedded(server) as database,
        psycopg.connect(server.dsn("supabase_admin"), autocommit=True) as admin,
    ):
        register_vector(admin)
        vectors, _ = cluster(rows, 1)
        corpus = store_collection(admin, database, PACKAGED, "Lab", vectors)
        admin.execute("update embedding_models set random_mean = 0.02, random_p95 = 0.12")
        admin.execute("vacuum analyze")
        admin.execute("select corpuscope.ensure_vector_index(%s)", [corpus.model])
        admin.execute("vacuum analyze")


def measure(home: Path) -> list[Row]:
    """Medians of the moves of two sliders, and where the time goes."""
    text = write_texts(1)[0]
    question = " ".join(text.split()[:8])
    with running_app(home) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(base_url=address, viewport={"width": 1360, "height": 860})
        page.add_init_script(_PROBE)
        page.goto(f"/search?{urlencode({'q': question})}")
        page.locator(".st-key-results .cs-hit").first.wait_for(timeout=60_000)
        page.locator(".cs-chart").wait_for(timeout=60_000)
        page.locator(".st-key-k input").wait_for(state="attached", timeout=60_000)
        moves = [_move(page, ("k", "dense_weight")[n % 2], n) for n in range(MOVES + WARM_UP)][WARM_UP:]
        browser.close()
    return _report(moves)


def _move(page: Page, key: str, number: int) -> dict[str, float]:
    """Drag that slider somewhere else; the milliseconds of each part."""
    track = page.locator(f".st-key-{key} [role=group] > div").bounding_box()
    thumb = page.locator(f".st-key-{key} [role=group] div[data-rac]:has(input)").last.bounding_box()
    assert track is not None
    assert thumb is not None
    y = thumb["y"] + thumb["height"] / 2
    share = (0.12, 0.3, 0.2, 0.4)[number // 2 % 4]
    page.evaluate("lab.arm()")
    page.mouse.move(thumb["x"] + thumb["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * share, y, steps=8)
    page.mouse.up()
    page.wait_for_function("lab.painted > 0", timeout=20_000)
    times = page.evaluate("({...lab})")
    found = re.search(r"in (\d+) ms", page.locator(".st-key-result-line").inner_text())
    assert found is not None
    page.wait_for_timeout(150)
    return {
        "all": times["painted"] - times["released"],
        "wait": times["sent"] - times["released"],
        "app": times["heard"] - times["sent"],
        "browser": times["painted"] - times["heard"],
        "search": float(found[1]),
    }


_NAMES = {
    "wait": "of this until the slider tells the app",
    "app": "of this the app and the way there and back",
    "search": "of this the search: SQL and transaction",
    "browser": "of this the browser's drawing",
}


def _report(moves: list[dict[str, float]]) -> list[Row]:
    name = f"a slider of the Search lab over {ROWS:,} chunks, release to painted results"
    everything = [move["all"] for move in moves]
    p50 = round(float(np.median(everything)), 1)
    rows: list[Row] = [
        {"name": f"{name}, p50", "value": p50, "unit": "ms", "target": f"<= {TARGET_MS}", "ok": p50 <= TARGET_MS},
        {"name": f"{name}, p95", "value": round(float(np.percentile(everything, 95)), 1), "unit": "ms"},
    ]
    for key, words in _NAMES.items():
        rows.append({"name": words, "value": round(float(np.median([move[key] for move in moves])), 1), "unit": "ms"})
    return rows


@contextlib.contextmanager
def running_app(home: Path) -> Iterator[str]:
    """`corpuscope` without workers over that home, on a free port; its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"CORPUSCOPE_HOME": str(home), "CORPUSCOPE_PORT": str(port), "CORPUSCOPE_WORKERS": "0"}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    command = [sys.executable, "-m", "rag.cli"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings | {"LOG_LEVEL": "WARNING"}, **quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_open(address)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_until_open(address: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the app did not answer at {address} within {_START_S:.0f} s")


def _chromium() -> str | None:
    names = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


if __name__ == "__main__":
    what, place = sys.argv[1], Path(sys.argv[2])
    if what == "fill":
        fill(place, *map(int, sys.argv[3:]))
    else:
        for measured in measure(place):
            print(measured)
